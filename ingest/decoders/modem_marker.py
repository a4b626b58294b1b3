"""What a modem says on its own account where a meter's frame is expected: connect and disconnect markers, heartbeats,
answers to AT commands (PROTOCOLS A). They are no error of the meter: a report without readings."""

from __future__ import annotations

import re
from typing import Final

from metering.errors import DecodeError
from metering.model import DecodedReport, DeviceState, ReadingKind

from .contract import Decoder

MAX_MARKER_BYTES: Final = 128

_MARKER = re.compile(
    rb"[\0\s]*(?:\+[A-Z]{2,16}[:=].{0,100}|AT[+&^][A-Z].{0,100}|OK|ERROR|CONNECT(?:ED|ION)?|DISCONNECT(?:ED|ION)?|CLOSED?"
    rb"|ON-?LINE|OFF-?LINE|LOG-?(?:IN|ON|OUT|OFF)|REG(?:ISTER)?|HEART(?:-?BEAT)?|HELLO|PING|PONG|KEEP-?ALIVE"
    rb"|IMEI[:=]?\d{15})[\s.:;,!]*(?:OK|FAIL(?:ED)?|IMEI)?[:=,\s]*\d{0,20}[\0\s]*",
    re.IGNORECASE,
)
"""A word that modems are known by, alone or with a number behind it."""


def recognises(payload: bytes) -> bool:
    """Whether the payload is such a text and nothing else."""
    return 0 < len(payload) <= MAX_MARKER_BYTES and payload.isascii() and _MARKER.fullmatch(payload) is not None


def decode(payload: bytes, received_at_s: int) -> DecodedReport:  # noqa: ARG001 - a marker has no time
    """A report that only says the marker. Raises DecodeError [marker] for what is none."""
    if not recognises(payload):
        raise DecodeError("marker", "no marker of a modem")
    text = payload.strip(b"\0 \r\n\t").decode("ascii")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return DecodedReport(DeviceState(), [], [], ReadingKind.EVENT, extra={"marker": printable})


DECODER = Decoder("modem_marker", recognises, decode)
