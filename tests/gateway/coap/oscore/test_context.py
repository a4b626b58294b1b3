"""RFC 8613 appendix C, all of it, by the gateway's side and by the simulators', which were written apart."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from gateway.coap import message as coap
from gateway.coap.exchange import Exchange
from gateway.coap.oscore.context import Context, Keys, derive
from gateway.coap.oscore.numbers import SenderNumbers
from gateway.coap.oscore.option import OSCORE, read_request_option
from gateway.coap.oscore.seal import Call, Sealer, inner_datagram
from metering.credentials import OscoreSecret
from metering.errors import CredentialError
from simulators import message
from simulators.oscore import ProtectedMeter, ProtectionError

SECRET = bytes.fromhex("0102030405060708090a0b0c0d0e0f10")
SALT = bytes.fromhex("9e7ca92223786340")
ID_CONTEXT = bytes.fromhex("37cbf3210017a2d3")


class Derived(NamedTuple):
    """C.1 to C.3: the client's keys, Common IV, the nonces of Partial IV 0 of client and server."""

    secret: OscoreSecret
    kid: bytes
    client_key: str
    server_key: str
    common_iv: str
    client_nonce: str
    server_nonce: str


C1 = Derived(
    OscoreSecret(SECRET, SALT, None, b"\x01"), b"", "f0910ed7295e6ad4b54fc793154302ff",
    "ffb14e093c94c9cac9471648b4f98710", "4622d4dd6d944168eefb54987c", "4622d4dd6d944168eefb54987c",
    "4722d4dd6d944169eefb54987c",
)  # fmt: skip
C2 = Derived(
    OscoreSecret(SECRET, b"", None, b"\x01"), b"\x00", "321b26943253c7ffb6003b0b64d74041",
    "e57b5635815177cd679ab4bcec9d7dda", "be35ae297d2dace910c52e99f9", "bf35ae297d2dace910c52e99f9",
    "bf35ae297d2dace810c52e99f9",
)  # fmt: skip
C3 = Derived(
    OscoreSecret(SECRET, SALT, ID_CONTEXT, b"\x01"), b"", "af2a1300a5e95788b356336eeecd2b92",
    "e39a0c7c77b43f03b4b39ab9a268699f", "2ca58fb85ff1b81c0b7181b85e", "2ca58fb85ff1b81c0b7181b85e",
    "2da58fb85ff1b81d0b7181b85e",
)  # fmt: skip

REQUESTS = {
    "C.4": (
        C1, "44015d1f00003974396c6f63616c686f737483747631",
        "44025d1f00003974396c6f63616c686f7374620914ff612f1092f1776f1c1668b3825e",
        "8368456e63727970743040488501810a40411440",
    ),
    "C.5": (
        C2, "440171c30000b932396c6f63616c686f737483747631",
        "440271c30000b932396c6f63616c686f737463091400ff4ed339a5a379b0b8bc731fffb0",
        "8368456e63727970743040498501810a4100411440",
    ),
    "C.6": (
        C3, "44012f8eef9bbf7a396c6f63616c686f737483747631",
        "44022f8eef9bbf7a396c6f63616c686f73746b19140837cbf3210017a2d3ff72cd7273fd331ac45cffbe55c3",
        "8368456e63727970743040488501810a40411440",
    ),
}  # fmt: skip
"""Context, the request in the clear, protected under Partial IV 20, and its additional data."""

ANSWER = bytes.fromhex("64455d1f00003974ff48656c6c6f20576f726c6421")
PROTECTED_C7 = bytes.fromhex("64445d1f0000397490ffdbaad1e9a7e7b2a813d3c31524378303cdafae119106")
PROTECTED_C8 = bytes.fromhex("64445d1f00003974920100ff4d4c13669384b67354b2b6175ff4b8658c666a6cf88e")


def context_of(vector: Derived) -> Context:
    return Context(derive(vector.secret, vector.kid), vector.kid, vector.secret.server_id)


def meter_of(vector: Derived) -> ProtectedMeter:
    secret = vector.secret
    return ProtectedMeter(secret.master_secret, vector.kid, secret.server_id, secret.master_salt, secret.id_context)


@pytest.mark.parametrize("vector", [C1, C2, C3], ids=["C.1", "C.2", "C.3"])
def test_keys_and_nonces(vector: Derived) -> None:
    keys = derive(vector.secret, vector.kid)
    assert (keys.recipient_key.hex(), keys.sender_key.hex(), keys.common_iv.hex()) == vector[2:5]
    mirrored = derive(vector.secret._replace(server_id=vector.kid), vector.secret.server_id)  # the client's own view
    assert (mirrored.recipient_key, mirrored.sender_key) == (keys.sender_key, keys.recipient_key)
    context = context_of(vector)
    assert context._nonce(vector.kid, b"\0").hex() == vector.client_nonce
    assert context._nonce(vector.secret.server_id, b"\0").hex() == vector.server_nonce
    assert Keys.unpack(keys.pack()) == keys


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(name: str) -> None:
    vector, plain, protected, additional = REQUESTS[name]
    parsed = coap.parse(bytes.fromhex(protected))
    assert isinstance(parsed, coap.Message)
    option = read_request_option(next(value for number, value in parsed.options if number == OSCORE))
    assert option == (b"\x14", vector.kid, vector.secret.id_context)
    context = context_of(vector)
    assert context.additional_data(option.number).hex() == additional
    plaintext = context.open(option.number, parsed.payload)
    assert plaintext == b"\x01\xb3tv1"  # GET /tv1; Uri-Host stays outside
    call = Call("", context, 0, option.number, bytes.fromhex(protected), Exchange(0, b"", (), 0, 0), "")
    assert inner_datagram(call, plaintext) == bytes.fromhex(plain[:16]) + b"\xb3tv1"
    sent = message.decode(b"\x40\x02\0\0" + meter_of(vector).protect_as(20, 1, b"\xb3tv1"))
    assert sent.payload == parsed.payload


def test_answers() -> None:
    """C.7 under the request's nonce, C.8 under Partial IV 0 of the server."""
    context = context_of(C1)
    call = Call("", context, 0, b"\x14", bytes.fromhex(REQUESTS["C.4"][2]), Exchange(0, b"", (), 0, 0), "")
    assert (
        ANSWER[:1] + b"\x44" + ANSWER[2:8] + b"\x90\xff" + context.seal(b"\x14", b"\x45" + ANSWER[8:]) == PROTECTED_C7
    )
    numbers = SenderNumbers()
    numbers.add(0)
    assert Sealer(numbers).message(call, ANSWER) == PROTECTED_C8
    for protected in (PROTECTED_C7, PROTECTED_C8):
        opened = meter_of(C1).open(20, message.decode(protected))
        assert (opened.code, opened.payload) == (0x45, b"Hello World!")
        with pytest.raises(ProtectionError):
            meter_of(C1).open(21, message.decode(protected))


def test_what_is_not_sealed_with_the_keys_does_not_open() -> None:
    context = context_of(C1)
    ciphertext = bytes.fromhex("612f1092f1776f1c1668b3825e")
    assert context.open(b"\x14", ciphertext) is not None
    for at in range(len(ciphertext)):
        assert context.open(b"\x14", ciphertext[:at] + bytes((ciphertext[at] ^ 1,)) + ciphertext[at + 1 :]) is None
    assert context.open(b"\x15", ciphertext) is None
    assert context.open(b"\x14", ciphertext[:8]) is None
    assert context_of(C2).open(b"\x14", ciphertext) is None


@pytest.mark.parametrize(
    ("secret", "kid"),
    [
        (OscoreSecret(SECRET, b"", None, b"\x01"), b"\x01"),
        (OscoreSecret(SECRET, b"", None, b"\x01"), bytes(8)),
        (OscoreSecret(SECRET, b"", None, bytes(8)), b"\x01"),
        (OscoreSecret(SECRET[:15], b"", None, b""), b"\x01"),
        (OscoreSecret(SECRET, bytes(256), None, b""), b"\x01"),
        (OscoreSecret("text", b"", None, b""), b"\x01"),  # type: ignore[arg-type]  # wrong on purpose
    ],
)
def test_what_is_no_context_is_refused(secret: OscoreSecret, kid: bytes) -> None:
    with pytest.raises(CredentialError):
        derive(secret, kid)


def test_a_long_salt_and_id_context_agree_with_the_other_side() -> None:
    secret = OscoreSecret(SECRET, bytes(range(100)), bytes(range(200)), b"\x07")
    meter = ProtectedMeter(SECRET, b"meter", b"\x07", secret.master_salt, secret.id_context)
    context = Context(derive(secret, b"meter"), b"meter", b"\x07")
    sent = message.decode(b"\x40\x02\0\0" + meter.protect_as(2**40 - 1, 2, b"\xff?"))
    assert context.open(b"\xff" * 5, sent.payload) == b"\x02\xff?"
