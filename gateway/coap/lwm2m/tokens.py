"""Tokens that name the registration and the observed path, so that any process knows a notification. Pure.

Eight bytes (RFC 7252 section 3): the registration's id, then a number: below 128 that of an observed path in the
registration, from 128 on that of a request in flight.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.coap.lwm2m.registration import ID_BYTES

REQUESTS_FROM = 128
TOKEN_BYTES = ID_BYTES + 1


class Token(NamedTuple):
    registration_id: bytes
    number: int

    @property
    def is_observation(self) -> bool:
        return self.number < REQUESTS_FROM

    def encode(self) -> bytes:
        return self.registration_id + bytes((self.number,))


def read_token(token: bytes) -> Token | None:
    """None for a token that is not of this form."""
    if len(token) != TOKEN_BYTES:
        return None
    return Token(token[:ID_BYTES], token[ID_BYTES])


def next_request_number(number: int) -> int:
    return REQUESTS_FROM + (number + 1) % (256 - REQUESTS_FROM)
