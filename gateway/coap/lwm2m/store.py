"""Registrations in the stream's key-value store, read on demand by whichever gateway a client comes to.

Keys: ``reg.{id}`` the record, ``peer.{hash of address and port}`` the id of who registered from there last. Each ends
by itself with its registration. No gateway watches: that would need a consumer, which none may make (decision 0007).
"""

from __future__ import annotations

import hashlib

import nats.errors
from nats.js.errors import APIError, NotFoundError

from gateway.coap.lwm2m.registration import ID_BYTES, Registration, decode_registration
from gateway.link import StreamLink
from metering.errors import UnavailableError
from metering.streams import LWM2M_STREAM, LWM2M_SUBJECT

TIMEOUT_S = 5.0
_FORGET_S = 1


class RegistrationStore:
    """Every method raises UnavailableError when the stream cannot say or take it."""

    def __init__(self, link: StreamLink) -> None:
        self._link = link
        self.reads = self.writes = 0

    async def get(self, registration_id: bytes) -> Registration | None:
        data = await self._read(f"reg.{registration_id.hex()}")
        return decode_registration(data) if data else None

    async def put(self, registration_id: bytes, record: Registration, keep_s: float) -> None:
        """On disk when this returns; gone by itself after `keep_s`."""
        await self._write(f"reg.{registration_id.hex()}", record.encode(), keep_s)

    async def delete(self, registration_id: bytes) -> None:
        await self._write(f"reg.{registration_id.hex()}", b"", _FORGET_S)

    async def id_at(self, peer: str) -> bytes | None:
        """Whose registration came from this address last."""
        data = await self._read(_peer_key(peer))
        return data if data is not None and len(data) == ID_BYTES else None

    async def put_peer(self, peer: str, registration_id: bytes, keep_s: float) -> None:
        await self._write(_peer_key(peer), registration_id, keep_s)

    async def was_enrolled(self, registration_id: bytes) -> bool:
        return await self._read(f"enrolled.{registration_id.hex()}") is not None

    async def put_enrolled(self, registration_id: bytes, keep_s: float) -> None:
        await self._write(f"enrolled.{registration_id.hex()}", b"\x01", keep_s)

    async def _read(self, key: str) -> bytes | None:
        self.reads += 1
        self._must_be_connected()
        try:
            message = await self._link.js.get_last_msg(LWM2M_STREAM, f"{LWM2M_SUBJECT}.{key}")
        except NotFoundError:
            return None
        except (nats.errors.Error, APIError, OSError, TimeoutError) as error:
            raise UnavailableError(f"registrations cannot be read: {error!r}") from error
        return message.data

    async def _write(self, key: str, value: bytes, keep_s: float) -> None:
        self.writes += 1
        self._must_be_connected()
        try:
            await self._link.js.publish(f"{LWM2M_SUBJECT}.{key}", value, timeout=TIMEOUT_S, msg_ttl=max(1.0, keep_s))
        except (nats.errors.Error, APIError, OSError, TimeoutError) as error:
            raise UnavailableError(f"a registration cannot be kept: {error!r}") from error

    def _must_be_connected(self) -> None:
        """nats-py would keep a request of a connection that is away, and send it late."""
        if not self._link.connected.is_set():
            raise UnavailableError("the stream is away")


def _peer_key(peer: str) -> str:
    return f"peer.{hashlib.blake2b(peer.encode(), digest_size=12).hexdigest()}"
