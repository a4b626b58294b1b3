"""Requests protected by OSCORE (RFC 8613): reports of one datagram are taken here, longer exchanges go to aiocoap.

A report's Partial IV counts as seen from its arrival; it is in the journal before the answer leaves; when the stream
did not take the report, it may come again. All state of a context is in the process that owns its kid. How answers are
sealed: `gateway.coap.oscore.seal`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial

from gateway.coap import message as coap
from gateway.coap.exchange import Exchange, Peer, command_payload
from gateway.coap.lanes import Port, SlowLane
from gateway.coap.message import Message, Request
from gateway.coap.oscore.answers import AnswerMemory, Usual
from gateway.coap.oscore.contexts import Contexts
from gateway.coap.oscore.echo import ECHO, EchoValues
from gateway.coap.oscore.option import OptionError, read_request_option
from gateway.coap.oscore.refusals import (
    FOREIGN_NAME,
    NO_CONTEXT,
    NOT_DECODED,
    NOT_DECRYPTED,
    REPLAYED,
    UNKNOWN_NAME,
    UNREADABLE,
)
from gateway.coap.oscore.seal import Call, Sealer, inner_datagram
from gateway.coap.oscore.windows import Seen
from gateway.coap.refusal import FORMATS, Refusal, is_report_path, refusal_of
from gateway.coap.remote import Vouched
from gateway.coap.short_report import read_short_report
from gateway.coap.siblings import Passed, Siblings
from gateway.devices import Devices
from gateway.intake import Intake
from gateway.metrics import Counters, Readings
from metering.commands import WaitingCommand
from metering.errors import AdmissionError, CustodyError
from metering.model import Authentication, Door


class ProtectedLane:
    """`receive` is called by the fast lane with what it read; nothing here awaits."""

    def __init__(
        self,
        contexts: Contexts,
        devices: Devices,
        intake: Intake,
        counters: Counters,
        max_payload_bytes: int,
        retry_after_s: int,
        clock: Callable[[], float],
        siblings: Siblings | None = None,
    ) -> None:
        self.contexts = contexts
        self._ring, self._windows, self._numbers, self._journal, self._ask_by_echo = contexts
        self._devices, self._intake, self._counters = devices, intake, counters
        self._max_payload_bytes, self._clock, self._siblings = max_payload_bytes, clock, siblings
        self._max_age = (coap.MAX_AGE, coap.uint(retry_after_s))
        self._echo, self._answers, self._sealer = EchoValues(), AnswerMemory(), Sealer(contexts.numbers)
        self._pending: dict[bytes, Exchange] = {}
        """By datagram: where to answer. Bounded by what custody takes."""
        self._outgoing: list[tuple[Exchange, bytes]] = []
        """Answers of this turn of the event loop, until their windows are in the journal."""
        self._counts: Counter[str] = Counter()
        self.numbers_wanted = asyncio.Event()
        self._port: Port
        self._slow: SlowLane | None = None

    def start(self, port: Port, slow: SlowLane | None) -> None:
        self._port, self._slow = port, slow

    def stop(self) -> None:
        """All that was taken is answered."""
        self._flush()
        if self._journal is not None:
            self._journal.close()

    def gauges(self) -> Readings:
        """For /metrics."""
        journal = self._journal
        return {
            "oscore_cached_contexts": ("Security contexts kept derived", lambda: len(self._ring)),
            "oscore_unopened_keys": ("Requests whose key did not open", lambda: self._ring.unopened),
            "oscore_windows": ("Replay windows kept", lambda: len(self._windows)),
            "oscore_journal_bytes": ("Size of the file of windows", lambda: journal.bytes if journal else 0),
            "oscore_journal_failures": ("Files of windows given up", lambda: journal.failures if journal else 0),
            "oscore_spare_numbers": ("Partial IVs leased and not used", lambda: self._numbers.spare),
            "oscore_pending": ("Protected reports that wait for custody", lambda: len(self._pending)),
            "oscore_kept_answers": ("Protected answers kept for retransmissions", lambda: len(self._answers)),
            "oscore_answer_evictions": ("Answers forgotten early", lambda: self._answers.evictions),
        }

    def totals(self) -> Readings:
        """For /metrics."""
        counts = self._counts
        return {
            "oscore_reports": ("Protected reports answered with success", lambda: counts["reports"]),
            "oscore_repeats": ("Retransmissions of protected requests", lambda: counts["repeats"]),
            "oscore_echo_challenges": ("Contexts asked by Echo", lambda: counts["echo_challenges"]),
        }

    # a request

    def receive(
        self, option: bytes, ciphertext: bytes, datagram: bytes, exchange: Exchange, shown: str, passed: bool
    ) -> None:
        """RFC 8613 section 8.2. `passed`: a sibling gave it to us, the owner of its kid."""
        now = self._clock()
        try:
            said = read_request_option(option)
        except OptionError:
            self._port.refuse(exchange, NOT_DECODED, now)
            return
        if self._passed_on(said.kid, exchange, datagram, now, passed):
            return
        holder = self._ring.find(said.kid, said.context) if self._devices.ready else None
        if holder is None:
            known = self._devices.ready and self._devices.complete
            self._port.refuse(exchange, NO_CONTEXT if known else self._unavailable("registry_not_loaded"), now)
            return
        window = self._windows.find(holder.context.fingerprint)
        call = Call(holder.device, holder.context, window, said.number, datagram, exchange, shown)
        seen = self._windows.look(window, call.sequence)
        if seen is Seen.YES:
            self._seen_before(call, ciphertext, now)
            return
        plaintext = call.context.open(call.number, ciphertext)
        if plaintext is None:
            self._port.refuse(exchange, NOT_DECRYPTED, now)
            return
        inner = inner_datagram(call, plaintext)
        if seen is Seen.UNKNOWN:
            call = call._replace(window=self._begin(call, inner, now))
        if call.window >= 0:
            self._windows.mark(call.window, call.sequence)
            self._ring.proven(call.device, said.kid)
            self._serve(call, inner, now)

    def _passed_on(self, kid: bytes, exchange: Exchange, datagram: bytes, now: float, passed: bool) -> bool:
        """Whether the context is another process's, which alone knows what was seen, and this request dealt with."""
        siblings = self._siblings
        if siblings is None or (owner := siblings.owner_of(kid)) == siblings.worker:
            return False
        if passed or siblings.pass_on(owner, datagram, exchange.peer) is Passed.AWAY:
            # `passed` by a DTLS session, which no other process has.
            self._port.refuse(exchange, NO_CONTEXT if passed else self._unavailable("owner_away"), now)
        return True

    def _seen_before(self, call: Call, ciphertext: bytes, now: float) -> None:
        """A retransmission gets what the request got, or will get; anything else is a replay and changes nothing."""
        if call.datagram in self._pending:
            self._counts["repeats"] += 1
            self._pending[call.datagram] = call.exchange  # the newest address that a NAT gave it
            return
        answer = self._answers.recall(call.datagram, now)
        if answer is None:
            self._port.refuse(call.exchange, REPLAYED, now)
            return
        self._counts["repeats"] += 1
        if answer is Usual.SLOW:
            if plaintext := call.context.open(call.number, ciphertext):
                self._to_slow_lane(call, inner_datagram(call, plaintext), now)
            return
        self._send(call.exchange, self._sealer.usual(call) if answer is Usual.PLAIN else bytes(answer))

    def _begin(self, call: Call, inner: bytes, now: float) -> int:
        """The window of a context that has none yet. Negative: the request was answered by a question, 4.01 with Echo
        (appendix B.1.2), and has to come again."""
        message = coap.parse(inner)
        options = message.options if isinstance(message, Message) else []
        fingerprint = call.context.fingerprint
        proven = any(n == ECHO and self._echo.proves(value, fingerprint, now) for n, value in options)
        if proven or not self._ask_by_echo:
            window = self._windows.open(fingerprint, call.sequence)
            if window < 0:
                self._port.refuse(call.exchange, self._unavailable("oscore_windows_full"), now)
            return window
        if (value := self._echo.ask(fingerprint, now)) is not None:
            self._counts["echo_challenges"] += 1
            self._refuse(call, Refusal(coap.UNAUTHORIZED, "oscore_echo", (ECHO, value)), now, once=False)
        self._counters.silenced += value is None
        return -1

    def _serve(self, call: Call, inner: bytes, now: float) -> None:
        short = read_short_report(inner)
        if short is not None and short[3] in FORMATS and len(short[4]) <= self._max_payload_bytes:
            self._report(call, short[2], short[3], short[4], now)
            return
        message = coap.parse(inner)
        if not isinstance(message, Message) or not 0 < message.code < 32:
            self._refuse(call, UNREADABLE, now)
            return
        request = coap.read_request(message.options)
        refusal = refusal_of(message, request, self._max_payload_bytes)
        if refusal is not None:
            self._refuse(call, refusal, now)
        elif is_report_path(request.path) and request.block1 is None:
            self._report(call, request.path[1], request.content_format or 0, message.payload, now)
        else:
            self._give_to_slow_lane(call, request, inner, now)

    def _misnamed(self, call: Call, name: str) -> Refusal | None:
        """The path must name the device whose key it is, by whatever name."""
        found = self._devices.find(name)
        if found is None:
            return UNKNOWN_NAME
        return None if found[0] == call.device else FOREIGN_NAME

    def _report(self, call: Call, device: bytes, content_format: int, payload: bytes, now: float) -> None:
        name = device.decode("utf-8", "replace")
        if misnamed := self._misnamed(call, name):
            self._refuse(call, misnamed, now)
            return
        exchange = call.exchange
        self._pending[call.datagram] = exchange
        try:
            self._intake.take(
                Door.OSCORE,
                name,
                exchange.address,
                f"{call.shown}:{exchange.peer[1]}",
                content_format,
                payload,
                partial(self._settled, call),
                Authentication.OSCORE,
                carries_commands=self._numbers.spare > 0,
            )
        except (AdmissionError, CustodyError) as error:
            self._not_taken(call, self._refusal(error), now)

    def _settled(self, call: Call, failure: CustodyError | None, command: WaitingCommand | None = None) -> None:
        now = self._clock()
        if failure is not None:
            self._not_taken(call, self._refusal(failure), now)
            return
        self._counters.reports_answered += 1
        self._counts["reports"] += 1
        exchange = self._pending.pop(call.datagram, call.exchange)
        carrying = None if command is None else self._sealer.changed(call, command_payload(command))
        self._answers.remember(call.datagram, carrying or Usual.PLAIN, now)
        self._answer_noted(call, exchange, carrying or self._sealer.usual(call))
        self.want_numbers()

    def _not_taken(self, call: Call, refusal: Refusal, now: float) -> None:
        """It may come again, byte for byte."""
        exchange = self._pending.pop(call.datagram, call.exchange)
        self._windows.clear(call.window, call.sequence)
        self._refuse(call._replace(exchange=exchange), refusal, now, once=False)

    # longer exchanges

    def _give_to_slow_lane(self, call: Call, request: Request, inner: bytes, now: float) -> None:
        is_report = is_report_path(request.path)
        if self._slow is None or not (is_report or self._slow.serves(request.path)):
            self._refuse(call, Refusal(coap.NOT_FOUND, "path"), now)
        elif is_report and (misnamed := self._misnamed(call, request.path[1].decode("utf-8", "replace"))):
            self._refuse(call, misnamed, now)
        else:
            self._answers.remember(call.datagram, Usual.SLOW, now)
            if self._journal is not None:
                self._journal.note(call.window)
            self._to_slow_lane(call, inner, now)

    def _to_slow_lane(self, call: Call, inner: bytes, now: float) -> None:
        exchange, slow = call.exchange, self._slow
        self._flush()
        if slow is None or not slow.has_room(exchange.address):
            self._refuse(call, self._unavailable("slow_lane_full"), now, once=False)
            return
        self._counters.slow_lane += 1
        who = Vouched(call.device, Authentication.OSCORE, call.context.kid)
        slow.receive_vouched(inner, exchange.peer, exchange.address, who, partial(self._send_sealed, call))

    def _send_sealed(self, call: Call, answer: bytes, peer: Peer) -> None:
        """What aiocoap says, each time under a number of its own; without one it is as if the network had lost it."""
        sealed = self._sealer.message(call, answer)
        self.want_numbers()
        if sealed is not None:
            self._port.send(sealed, peer)

    # answers

    def _refuse(self, call: Call, refusal: Refusal, now: float, once: bool = True) -> None:
        """Protected, and without a limit: whoever asked has the key. `once`: for good, so that a retransmission gets
        the same and the Partial IV is not taken again."""
        if self._numbers.spare == 0:
            self.want_numbers()
            if once:
                self._windows.clear(call.window, call.sequence)
            self._port.refuse(call.exchange, self._unavailable("oscore_numbers"), now)
            return
        self._counters.refused[refusal.reason] += 1
        sealed = self._sealer.refusal(call, refusal)
        self.want_numbers()
        if sealed is None:
            return
        self._counters.answers[coap.code_name(refusal.code)] += 1
        if once:
            self._answers.remember(call.datagram, sealed, now)
            self._answer_noted(call, call.exchange, sealed)
        else:
            self._send(call.exchange, sealed)

    def _answer_noted(self, call: Call, exchange: Exchange, said: bytes) -> None:
        """Answer at the end of this turn: one write to the journal serves all of it."""
        if self._journal is not None:
            self._journal.note(call.window)
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append((exchange, said))

    def _flush(self) -> None:
        if self._journal is not None:
            self._journal.flush()
        outgoing, self._outgoing = self._outgoing, []
        for exchange, said in outgoing:
            self._send(exchange, said)

    def _send(self, exchange: Exchange, said: bytes) -> None:
        self._port.send(self._port.head(exchange) + said, exchange.peer)

    def want_numbers(self) -> None:
        if self._numbers.low:
            self.numbers_wanted.set()

    def _refusal(self, error: AdmissionError | CustodyError) -> Refusal:
        reason = error.reason if isinstance(error, AdmissionError) else error.label
        code = coap.code_of(error.coap)
        return Refusal(code, reason, self._max_age if code == coap.SERVICE_UNAVAILABLE else None)

    def _unavailable(self, reason: str) -> Refusal:
        return Refusal(coap.SERVICE_UNAVAILABLE, reason, self._max_age)
