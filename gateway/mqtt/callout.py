"""nats-server's question whether somebody may log in, and the signed answer (NATS ADR-26, auth callout). Pure.

The server asks on SUBJECT with a JWT that holds what the client sent, sealed for our curve key (NaCl box, ``xkv1``);
we answer with a JWT of the account's key, which holds the user's own JWT: what it may publish and hear, and until when.
Who asks is not proved by the signature, which anybody's key could make: only nats-server may publish on SUBJECT.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any, NamedTuple

import nacl.exceptions
import nacl.public
import nkeys

from gateway.mqtt.topics import down, subject, up
from metering.errors import CredentialError, SettingsError

SUBJECT = "$SYS.REQ.USER.AUTH"
XKEY_HEADER = "Nats-Server-Xkey"
ACCOUNT = "$G"
SECRET_BYTES = 32
MAX_REQUEST_BYTES = 64 * 1024

_SEALED = b"xkv1"
_CURVE_PREFIX = 23 << 3  # base32 of it begins with X
_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
_AUDIENCE = "nats-authorization-request"


class LoginRequest(NamedTuple):
    """What a client showed. `password` is a secret: never log one of these. `host`: its address as text."""

    server: str
    user_nkey: str
    user: str
    password: str
    client_id: str
    host: str
    is_mqtt: bool

    def __repr__(self) -> str:
        return f"LoginRequest({self.user!r} from {self.host})"


class CalloutKeys:
    """All keys of the callout, from one secret of 64 hexadecimal digits that gateways and nobody else have.

    `issuer` and `xkey` are the public halves, which stand in nats-server's configuration.
    """

    def __init__(self, secret: str) -> None:
        """Raises SettingsError, which never repeats what it was given."""
        try:
            seed = bytes.fromhex(secret)
        except ValueError:
            seed = b""
        if len(seed) != SECRET_BYTES:
            raise SettingsError(f"mqtt.callout_secret is not {2 * SECRET_BYTES} hexadecimal digits")
        self._account = nkeys.from_seed(nkeys.encode_seed(_derived(seed, "issuer"), nkeys.PREFIX_BYTE_ACCOUNT))
        self._curve = nacl.public.PrivateKey(_derived(seed, "xkey"))
        self.issuer: str = self._account.public_key.decode().rstrip("=")
        self.xkey = public_curve_key(self._curve)
        self.probe_password = _derived(seed, "probe").hex()

    def __repr__(self) -> str:
        return f"CalloutKeys({self.issuer})"

    def read(self, data: bytes, server_xkey: str, now_s: int) -> LoginRequest:
        """Raises CredentialError for what is no question of a nats-server, is not sealed, or is too old."""
        if len(data) > MAX_REQUEST_BYTES or not data.startswith(_SEALED):
            raise CredentialError("a login request is not sealed for this gateway")
        try:
            token = self._box(server_xkey).decrypt(data[len(_SEALED) :])
            claims = json.loads(_unbase64(token.split(b".")[1]))
            if claims["aud"] != _AUDIENCE or claims["exp"] < now_s:
                raise CredentialError("a login request is for somebody else or too old")
            return _request(claims["nats"])
        except (nacl.exceptions.CryptoError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise CredentialError("a login request cannot be read") from error

    def admit(
        self, request: LoginRequest, device: str, now_s: int, life_s: int, max_payload_bytes: int, server_xkey: str
    ) -> bytes:
        """The answer: this client is `device`, over MQTT and for `life_s`, with its own two topics and nothing else."""
        user = {
            "iss": self.issuer,
            "sub": request.user_nkey,
            "aud": ACCOUNT,
            "name": device,
            "iat": now_s,
            "exp": now_s + life_s,
            "nats": {
                "type": "user",
                "version": 2,
                "subs": -1,
                "data": -1,
                "payload": max_payload_bytes,
                "pub": {"allow": [subject(up(device))]},
                "sub": {"allow": [subject(down(device))]},
                "allowed_connection_types": ["MQTT"],
            },
        }
        return self._answer(request, {"jwt": self._signed(user)}, now_s, server_xkey)

    def refuse(self, request: LoginRequest, reason: str, now_s: int, server_xkey: str) -> bytes:
        """The answer: CONNACK 5 for the client; `reason` goes to nats-server's log."""
        return self._answer(request, {"error": reason}, now_s, server_xkey)

    def _answer(self, request: LoginRequest, verdict: dict[str, str], now_s: int, server_xkey: str) -> bytes:
        claims = {
            "iss": self.issuer,
            "sub": request.user_nkey,
            "aud": request.server,
            "iat": now_s,
            "nats": {"type": "authorization_response", "version": 2, **verdict},
        }
        sealed: bytes = self._box(server_xkey).encrypt(self._signed(claims).encode())
        return _SEALED + sealed

    def _signed(self, claims: dict[str, Any]) -> str:
        digest = hashlib.sha256(json.dumps(claims).encode()).digest()
        claims = claims | {"jti": base64.b32encode(digest).decode().rstrip("=")}
        body = f"{_base64(json.dumps(_HEADER).encode())}.{_base64(json.dumps(claims).encode())}"
        return f"{body}.{_base64(self._account.sign(body.encode()))}"

    def _box(self, server_xkey: str) -> nacl.public.Box:
        raw = base64.b32decode(server_xkey + "=" * (-len(server_xkey) % 8))
        return nacl.public.Box(self._curve, nacl.public.PublicKey(raw[1:-2]))


def _request(nats: dict[str, Any]) -> LoginRequest:
    client, shown = nats["client_info"], nats["connect_opts"]
    return LoginRequest(
        server=str(nats["server_id"]["id"]),
        user_nkey=str(nats["user_nkey"]),
        user=str(shown.get("user", "")),
        password=str(shown.get("pass", "")),
        client_id=str(client.get("mqtt_id", "")),
        host=str(client.get("host", "")),
        is_mqtt=client.get("type") == "mqtt",
    )


def _derived(seed: bytes, what: str) -> bytes:
    return hmac.digest(seed, b"nbwater mqtt " + what.encode(), "sha256")


def public_curve_key(key: nacl.public.PrivateKey) -> str:
    """As NATS writes it."""
    return _encoded(_CURVE_PREFIX, bytes(key.public_key))


def _encoded(prefix: int, raw: bytes) -> str:
    """An nkey's public form: prefix, key and CRC-16, base32."""
    body = bytes((prefix,)) + raw
    return base64.b32encode(body + nkeys.crc16(bytearray(body)).to_bytes(2, "little")).decode().rstrip("=")


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _unbase64(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
