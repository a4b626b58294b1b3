"""Pure steps from stream messages to what reports say; whatever cannot take a step becomes a `Refused`.

``Message`` → ``Report`` → ``Decoded``; `placing` goes on from there. One bad report never costs another anything.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from metering import envelope
from metering.envelope import Report
from metering.errors import DecodeError, EnvelopeError
from metering.model import AHEAD_S, Authentication, DecodedReport, Door

from .decoders import STANDARD, Decoders
from .device_clock import lateness_s
from .gateway_clock import SECOND_US, Witness, is_behind, is_delayed
from .installations import Device

UNKNOWN_DOOR = cast(Door, "unknown")
"""The door of a stream message that is no envelope: nobody can say how it came in."""

EARLIEST_RECEIVED_US = 1_577_836_800_000_000
"""2020-01-01 UTC. A gateway whose clock says less has none; the stream's own time is used."""
INT64_MAX = 2**63 - 1
MAX_NAME_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Message:
    """One stream message. `stored_at_us` is when the stream took it."""

    sequence: int
    stored_at_us: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Repeats:
    """Retransmissions that a gateway answered from memory."""

    door: str
    at_us: int
    count: int


class Bounds(NamedTuple):
    """The least and the greatest time and index of some readings."""

    first_s: int
    last_s: int
    low_ml: int
    high_ml: int


class Decoded(NamedTuple):
    """`bounds`: of the report's readings; None when none has a time."""

    report: Report
    decoder: str
    content: DecodedReport
    bounds: Bounds | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A report for the dead letters. `device` where the registry knows it."""

    report: Report
    reason: str
    message: str
    device: Device | None = None
    decoder: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that can be known of some messages without the database."""

    decoded: list[Decoded]
    refused: list[Refused]
    repeats: list[Repeats]
    sequences: dict[bytes, int] = field(default_factory=dict)
    """Stream sequence of the message each report came in, by report id; empty for what comes from no stream."""
    dated_anew: int = 0
    """Reports that a gateway whose clock is behind dated, and the stream's clock dates now."""

    @property
    def reports(self) -> int:
        return len(self.decoded) + len(self.refused)

    @property
    def devices(self) -> set[str]:
        """Names of all devices that speak here."""
        return {d.report.device for d in self.decoded} | {r.report.device for r in self.refused}


def prepare(messages: Iterable[Message], decoders: Decoders = STANDARD, now_us: int = 0) -> Prepared:
    """Open the envelopes and decode the reports. `now_us`: our own clock, a witness beside the stream's."""
    sequences: dict[bytes, int] = {}
    known = list(messages)
    reports, refused, repeats = open_envelopes(known, sequences, now_us)
    by_us = _gateways_behind(
        reports, sequences, {message.sequence: message.stored_at_us for message in known}, decoders
    )
    prepared = prepare_reports(_dated_anew(reports, sequences, by_us) if by_us else reports, decoders)
    dated_anew = sum(sequences[report.report_id] in by_us for report in reports) if by_us else 0
    return Prepared(prepared.decoded, refused + prepared.refused, repeats, sequences, dated_anew)


def _gateways_behind(
    reports: list[Report], sequences: dict[bytes, int], stored_us: dict[int, int], decoders: Decoders
) -> dict[int, int]:
    """By how much (microseconds) the gateway's clock was behind, by the sequence of messages where it was."""
    newest_us: dict[int, int] = {}
    for report in reports:
        sequence = sequences[report.report_id]
        newest_us[sequence] = max(newest_us.get(sequence, 0), report.received_at_us)
    delayed = {sequence: us for sequence, us in newest_us.items() if is_delayed(us, stored_us[sequence])}
    if not delayed:
        return {}
    by_us = {sequence: stored_us[sequence] - us for sequence, us in delayed.items()}
    of_delayed = [report for report in reports if sequences[report.report_id] in delayed]
    said: dict[int, list[Witness]] = {sequence: [] for sequence in delayed}
    # by a receive time that is days back decoders would refuse them, and no device would speak
    for step in prepare_reports(_dated_anew(of_delayed, sequences, by_us), decoders).decoded:
        sequence = sequences[step.report.report_id]
        said[sequence].append(_witness(step, by_us[sequence]))
    return {
        sequence: us for sequence, us in by_us.items()
        if is_behind(said[sequence], delayed[sequence], stored_us[sequence])
    }  # fmt: skip


def _dated_anew(reports: list[Report], sequences: dict[bytes, int], by_us: dict[int, int]) -> list[Report]:
    """As if they had been received so much later, by their message's sequence."""
    return [
        report._replace(received_at_us=report.received_at_us + by_us.get(sequences[report.report_id], 0))
        for report in reports
    ]


def _witness(step: Decoded, by_us: int) -> Witness:
    report, content = step.report, step.content
    sent_then = lateness_s(content, step.decoder, report.door, report.received_at_us // SECOND_US) is not None
    return Witness(report.received_at_us - by_us, content.state.device_time_s, sent_then)


def prepare_reports(reports: Iterable[Report], decoders: Decoders = STANDARD) -> Prepared:
    """Decode reports that are out of their envelopes."""
    steps = [_read(report, decoders) for report in reports]
    refused = [step for step in steps if isinstance(step, Refused)]
    decoded = [step for step in steps if isinstance(step, Decoded)]
    timed = [step for step in decoded if step.content.ts_s]
    untimed = [step for step in decoded if not step.content.ts_s]
    bounds = bounds_of([step.content for step in timed])
    bounded = [Decoded(*step[:3], of) for step, of in zip(timed, bounds, strict=True)]
    return Prepared(bounded + untimed, refused, [])


def bounds_of(contents: Sequence[DecodedReport]) -> list[Bounds]:
    """The bounds of each; all must have readings."""
    if not contents:
        return []
    lengths = np.array([len(content.ts_s) for content in contents], np.int64)
    starts = np.cumsum(lengths) - lengths
    columns: list[list[int]] = []
    for numbers in ([content.ts_s for content in contents], [content.index_ml for content in contents]):
        joined = joined_int64s(numbers)
        columns += [np.minimum.reduceat(joined, starts).tolist(), np.maximum.reduceat(joined, starts).tolist()]
    return list(map(Bounds._make, zip(*columns, strict=True)))


def joined_int64s(numbers: Iterable[Sequence[int]]) -> npt.NDArray[np.int64]:
    """One array after the other."""
    return np.frombuffer(b"".join([n if type(n) is array else array("q", n) for n in numbers]), np.int64)


def open_envelopes(
    messages: Iterable[Message], sequences: dict[bytes, int], now_us: int = 0
) -> tuple[list[Report], list[Refused], list[Repeats]]:
    """All reports; messages that are no envelope; repeats. A report id that comes twice is one report and a repeat.

    `sequences` is given each report's stream sequence.
    """
    reports: dict[bytes, Report] = {}
    refused: list[Refused] = []
    repeats: list[Repeats] = []
    for message in messages:
        try:
            batch = envelope.decode(message.body)
        except EnvelopeError as error:
            refused.append(Refused(_whole_message(message), "envelope", str(error)))
            sequences[refused[-1].report.report_id] = message.sequence
            continue
        repeats += _repeats(batch.repeats, message.stored_at_us)
        for raw in batch.reports:
            report = _storable(raw, message.stored_at_us, now_us)
            if report.report_id in reports:
                repeats.append(Repeats(report.door, report.received_at_us, 1))
            reports.setdefault(report.report_id, report)
            sequences.setdefault(report.report_id, message.sequence)
    return list(reports.values()), refused, repeats


def _whole_message(message: Message) -> Report:
    """A report that stands for a message nobody can open; its id is the same at each delivery."""
    tail = blake2b(b"%d\0" % message.sequence + message.body, digest_size=10).digest()
    report_id = (message.stored_at_us // 1000).to_bytes(6, "big") + tail
    return Report(
        report_id, message.stored_at_us, UNKNOWN_DOOR, Authentication.CLAIMED, "", 0, message.body, "stream"
    )  # fmt: skip


def _repeats(counts: dict[str, int], at_us: int) -> Iterable[Repeats]:
    for door, count in counts.items():
        if isinstance(door, str) and isinstance(count, int) and 0 < count <= INT64_MAX:
            yield Repeats(_text(door)[:32], at_us, count)


def _storable(report: Report, stored_at_us: int, now_us: int) -> Report:
    """The report with nothing in it that a database column cannot hold.

    A gateway's clock is ahead when both the stream's and ours say so. By the stream's alone, a nats-server whose clock
    fell back by days would date every report back, and its readings would lie in the future.
    """
    latest_us = max(stored_at_us, now_us) + AHEAD_S * 1_000_000
    timely = EARLIEST_RECEIVED_US <= report.received_at_us <= latest_us
    if timely and 0 <= report.content_format < 65_536 and _is_text(report.device) and _is_text(report.source):
        return report
    return report._replace(
        received_at_us=report.received_at_us if timely else stored_at_us,
        content_format=report.content_format if 0 <= report.content_format < 65_536 else -1,
        device=_text(report.device),
        source=_text(report.source),
    )


def _is_text(value: str) -> bool:
    return len(value) <= MAX_NAME_CHARACTERS and "\0" not in value


def _text(value: str) -> str:
    """PostgreSQL's text has no NUL."""
    return value.replace("\0", "\ufffd")[:MAX_NAME_CHARACTERS]


def decode_report(report: Report, decoders: Decoders = STANDARD) -> Decoded | Refused:
    """What the report says, or why nobody can tell."""
    prepared = prepare_reports([report], decoders)
    return prepared.decoded[0] if prepared.decoded else prepared.refused[0]


def _read(report: Report, decoders: Decoders) -> Decoded | Refused:
    try:
        decoder, content = decoders.decode(report.content_format, report.payload, report.received_at_us // 1_000_000)
    except DecodeError as error:
        return Refused(report, error.reason, str(error))
    except Exception as error:  # a decoder's defect must cost this report only, which can be replayed when it is mended
        return Refused(report, "decoder_error", f"{type(error).__name__}: {error}")
    if fault := _unusable(content):
        return Refused(report, "decoder_error", fault, decoder=decoder)
    return Decoded(report, decoder, content, None)


def _unusable(content: DecodedReport) -> str | None:
    """What in a decoder's result breaks its contract, or goes beyond what the database can hold."""
    if len(content.ts_s) != len(content.index_ml):
        return f"{len(content.ts_s)} times for {len(content.index_ml)} indices"
    untimed = [] if content.untimed_index_ml is None else [content.untimed_index_ml]
    for numbers in (content.ts_s, content.index_ml, untimed):
        if type(numbers) is array and numbers.typecode == "q":
            continue
        if not set(map(type, numbers)) <= {int}:
            return "a time or index that is no integer"
        if numbers and max(max(numbers), -min(numbers)) > INT64_MAX:
            return "a number beyond 64 bits"
    return None
