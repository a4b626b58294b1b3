"""What the door does with a push: whose it is, what is in it, and when it is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, Protocol

import structlog

from gateway.custody import mint
from gateway.devices import Devices, Policy
from gateway.push import ctwing, huawei
from gateway.push.aliases import Aliases
from gateway.push.counts import Counts
from gateway.push.http import OK, SERVICE_UNAVAILABLE, TOO_MANY, Headers, Judged
from gateway.push.messages import Kind, Message
from gateway.push.products import Host, Platform, Product, Pushers, Refused
from gateway.push.spool_file import Kept
from gateway.push.taking import Taking
from gateway.push.turns import Turns
from gateway.push.watch import GapWatch
from gateway.refusals import RefusalLimiter, bits_of
from gateway.strangers import Strangers
from metering.following import Pace
from metering.model import Authentication, ContentFormat, Door
from metering.pushers import STAMPS, Standing, standing

PATH = b"/push/"
FOREIGN_LOG_PAUSE_S = 60.0
"""Between two log lines of products that speak for devices of others; the metric counts each."""

_log = structlog.get_logger()
_STATUS = {Refused.PATH: 404, Refused.TOKEN: 401, Refused.NETWORK: 404}


class _Reading(NamedTuple):
    read: Callable[[bytes], list[Message]]
    door: Door
    content_format: ContentFormat


_READINGS: Mapping[Platform, _Reading] = MappingProxyType(
    {
        Platform.CTWING: _Reading(ctwing.read, Door.CTWING, ContentFormat.CTWING),
        Platform.OCEANCONNECT: _Reading(huawei.read_oceanconnect, Door.IOTDA, ContentFormat.OCEANCONNECT),
        Platform.IOTDA: _Reading(huawei.read_iotda, Door.IOTDA, ContentFormat.IOTDA),
    }
)


class Courier(Protocol):
    """Brings commands to platforms."""

    def heard(self, product: Product, device: str, message: Message) -> None:
        """The device has just spoken, or its platform has of a command."""
        ...


class Desk:
    """`gateway.push.http.PushHandler`."""

    def __init__(
        self,
        pushers: Pushers,
        devices: Devices,
        aliases: Aliases,
        taking: Taking,
        watch: GapWatch,
        limiter: RefusalLimiter,
        counts: Counts,
        courier: Courier,
        clock: Callable[[], float],
        strangers: Strangers,
        turns: Turns,
    ) -> None:
        self._pushers, self._devices, self._aliases, self._taking = pushers, devices, aliases, taking
        self._watch, self._limiter, self._counts, self._courier = watch, limiter, counts, courier
        self._clock, self._strangers, self._turns = clock, strangers, turns
        self._foreign_pace = Pace(FOREIGN_LOG_PAUSE_S)

    def may_come(self, host: Host) -> bool:
        """Whether any product pushes from there."""
        return self._pushers.may_come(host)

    def use(self, pushers: Pushers) -> None:
        """From the next request on."""
        self._pushers = pushers
        self._turns.keep(product.name for product in pushers.products)

    def judge(self, method: bytes, target: bytes, headers: Headers, host: Host) -> Judged:
        """A stranger gets 404 or 401 within the share of its prefix, and beyond it nothing."""
        secret_path = target[len(PATH) :].decode("latin-1") if target.startswith(PATH) else ""
        found = self._pushers.recognise(secret_path, headers, host)
        if isinstance(found, Refused):
            self._counts.refused[found] += 1
            allowed = self._limiter.allow(bits_of(host), self._clock())
            return Judged(_STATUS[found] if allowed else None)
        return Judged(0 if method == b"POST" else 405, found)

    def take(self, product: Product, host: Host, body: bytes, answer: Callable[[int], None]) -> None:
        """When it is the product's turn; 429 when that does not come in time."""
        answer = partial(self._answer, product.name, self._clock(), answer)
        if self._turns.come(
            product.name, partial(self._take, product, host, body, answer), partial(answer, TOO_MANY)
        ):  # fmt: skip
            self._counts.delayed[product.name] += 1

    def _take(self, product: Product, host: Host, body: bytes, answer: Callable[[int], None]) -> int:
        """A push of several messages is answered when all of them are on a disk. How many messages it has. A defect
        costs this push only."""
        reading = _READINGS[product.platform]
        source = f"{product.name} {host}"
        messages = reading.read(body)
        kept = [report for m in messages if (report := self._kept(m, product, reading, source)) is not None]
        self._watch.pushed(product.name)
        if not kept:
            answer(OK)
        elif len(kept) == 1:
            self._taking.take(kept[0], lambda taken: answer(OK if taken else SERVICE_UNAVAILABLE))
        else:
            self._take_all(kept, answer)
        return len(messages)

    def _take_all(self, kept: Sequence[Kept], answer: Callable[[int], None]) -> None:
        outcomes: list[bool] = []

        def done(taken: bool) -> None:
            outcomes.append(taken)
            if len(outcomes) == len(kept):
                answer(OK if all(outcomes) else SERVICE_UNAVAILABLE)

        for report in kept:
            self._taking.take(report, done)

    def _kept(self, message: Message, product: Product, reading: _Reading, source: str) -> Kept | None:
        """The report of a message; None for a platform's remark about a device that cannot be placed."""
        counts, name = self._counts, product.name
        counts.messages[name, message.kind] += 1
        stamp = STAMPS[product.unbound_devices]
        known = self._known(name, message)
        names = message.names
        if known is not None:
            names = (known[0],)
            self._listen(product, stamp, *known, message)
        elif self._devices.complete:
            if message.kind is not Kind.DATA:
                counts.unplaced[name, "counted"] += 1
                return None
            counts.unplaced[name, "dead_letter"] += 1
            self._strangers.knock(next(iter(names), message.platform_id), reading.door, source, "unknown_device")
        return Kept(*mint(), reading.door, names, reading.content_format, message.text, source, stamp)

    def _listen(self, product: Product, stamp: Authentication, device: str, policy: Policy, message: Message) -> None:
        """Believe what the message says beside its report, as far as the product may speak for the device. The report
        goes its way all the same: ingest decides, and may know of a binding that has not come here yet."""
        stands = standing(product.name, stamp, policy.pushers, closed=policy.only_bound)
        if stands is Standing.FOREIGN:
            self._counts.foreign[product.name] += 1
            if self._foreign_pace.allows(self._clock()):
                _log.warning("push_foreign", product=product.name, device=device, bound_to=list(policy.pushers))
            return
        is_bound = stands is Standing.BOUND
        if message.platform_id:
            self._aliases.learn(
                message.platform_id, device, product.name, message.platform_product, is_way=is_bound
            )  # fmt: skip
        if is_bound:
            self._courier.heard(product, device, message)

    def _known(self, product: str, message: Message) -> tuple[str, Policy] | None:
        """Canonical name and rights of whom the message is of. What the platform calls a device counts only where the
        message says nothing else: one with an IMEI nobody knows is of nobody, whatever was in its place before."""
        for name in message.names:
            if (found := self._devices.find(name)) is not None:
                return found
        if message.names != (message.platform_id,):
            return None
        known = self._aliases.device(product, message.platform_id)
        return self._devices.find(known) if known is not None else None

    def _answer(self, product: str, came_at: float, answer: Callable[[int], None], status: int) -> None:
        self._counts.answers[product, str(status)] += 1
        self._counts.answered_s.observe(self._clock() - came_at)
        answer(status)
