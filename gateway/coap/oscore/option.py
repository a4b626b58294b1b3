"""The OSCORE option (RFC 8613 section 6.1), and the one form of datagram in which meters send it. Pure."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from gateway.coap.message import POST

OSCORE = 9
MAX_NUMBER_BYTES = 5
MAX_ID_BYTES = 7
"""Of AES-CCM-16-64-128: nonce length (13) less 6 (section 3.3)."""

_HAS_KID = 0x08
_HAS_CONTEXT = 0x10
_RESERVED = 0xE0
_OPTION_HEAD = 0x90
"""Option 9, first of the message."""
_PAYLOAD_MARKER = 0xFF


class OptionError(Exception):
    """Bytes that are no OSCORE option of a request."""


class RequestOption(NamedTuple):
    """What a request's option says. `number`: the Partial IV as it came, 1 to 5 bytes. `context`: the kid context."""

    number: bytes
    kid: bytes
    context: bytes | None


def read_request_option(value: bytes) -> RequestOption:
    """Raises OptionError for what section 6.1 calls malformed, and for a request without Partial IV or kid."""
    if not value:
        raise OptionError("no Partial IV")
    flags, at = value[0], 1 + (value[0] & 7)
    number = value[1:at]
    if flags & _RESERVED or not 1 <= len(number) <= MAX_NUMBER_BYTES or at > len(value):
        raise OptionError("flags")
    context = None
    if flags & _HAS_CONTEXT:
        if at >= len(value) or at + 1 + value[at] > len(value):
            raise OptionError("kid context")
        context, at = value[at + 1 : at + 1 + value[at]], at + 1 + value[at]
    if not flags & _HAS_KID or len(value) - at > MAX_ID_BYTES:
        raise OptionError("kid")
    # Section 5: "The Partial IV MUST be encoded ... with leading zeroes removed", zero itself being one byte.
    if len(number) > 1 and not number[0]:
        raise OptionError("Partial IV")
    return RequestOption(number, value[at:], context)


def response_option(number: bytes) -> bytes:
    """Of an answer under a Partial IV of ours; empty for one under the request's nonce (section 8.3)."""
    return bytes((len(number),)) + number if number else b""


def request_option(number: bytes, kid: bytes) -> bytes:
    """Of a request of ours; without kid context, which whoever has the key knows."""
    return bytes((len(number) | _HAS_KID,)) + number + kid


def read_response_option(value: bytes) -> bytes:
    """The Partial IV of an answer; empty when it has none of its own. Raises OptionError as `read_request_option`."""
    if not value:
        return b""
    number = value[1 : 1 + (value[0] & 7)]
    if value[0] & _RESERVED or len(number) != value[0] & 7 or len(number) > MAX_NUMBER_BYTES:
        raise OptionError("flags")
    if len(number) > 1 and not number[0]:
        raise OptionError("Partial IV")
    return number


ProtectedMessage: TypeAlias = tuple[int, int, bytes, bytes]
"""Type, where the token ends, value of the OSCORE option, ciphertext."""


def read_protected(datagram: bytes) -> ProtectedMessage | None:
    """A confirmable or non-confirmable POST whose only option is OSCORE, of at most 12 bytes, then a payload; None for
    any other bytes. What this reads `gateway.coap.message.parse` reads alike: it saves time and decides nothing."""
    size = len(datagram)
    if size < 8 or datagram[0] & 0xE0 != 0x40 or datagram[1] != POST:
        return None
    token_end = 4 + (datagram[0] & 15)
    if token_end > 12 or size < token_end + 4:
        return None
    length = datagram[token_end] - _OPTION_HEAD
    end = token_end + 1 + length
    if not 0 <= length <= 12 or size < end + 2 or datagram[end] != _PAYLOAD_MARKER:
        return None
    return datagram[0] >> 4 & 3, token_end, datagram[token_end + 1 : end], datagram[end + 1 :]
