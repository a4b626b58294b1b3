"""An LwM2M client as meters carry one: bytes in, bytes out (PROTOCOLS B). Also the older direct CoAP of /t/r and /t/d.

Plays what real clients do, not what the standard hopes for: see the styles.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import cbor2

from simulators import message
from simulators.message import Message, Type

GET, POST, PUT, DELETE, FETCH = 1, 2, 3, 4, 5
CREATED, DELETED, CHANGED, CONTENT = 0x41, 0x42, 0x44, 0x45
NOT_FOUND, NOT_ALLOWED, NOT_ACCEPTABLE = 0x84, 0x85, 0x86
CONTINUE, INCOMPLETE = 0x5F, 0x88
OBSERVE, LOCATION_PATH, URI_QUERY, ACCEPT, BLOCK2, BLOCK1 = 6, 8, 15, 17, 23, 27
BLOCK_SZX = 4
"""Blocks of 256 bytes (RFC 7959)."""

BLOCK_BYTES = 1 << BLOCK_SZX + 4
TEXT, LINK_FORMAT, OPAQUE, SENML_CBOR, TLV = 0, 40, 42, 112, 11542

LEGACY_DATA = "/t/d"


class Style(NamedTuple):
    """How a client library speaks. `query` after the endpoint and `lifetime` formatted in; `links` of the payload."""

    query: tuple[str, ...]
    links: str
    composite: bool = False
    notifies_confirmably: bool = False


WAKAAMA = Style(
    ("lwm2m=1.1", "ep={endpoint}", "b=U", "lt={lifetime}"),
    '</>;rt="oma.lwm2m";ct=110,</1>;ver=1.1,</1/0>,</3/0>,</19/0>,</19/1>,</5/0>,</3424/0>',
)
"""[ran] Wakaama's example client; meters based on it leave Q to the platform's configuration."""

ANJAY = Style(
    ("lwm2m=1.2", "ep={endpoint}", "lt={lifetime}", "Q"),
    "</1/1>,</2>,</3/0>,</5>,</19/0>,</19/1>,</3424/0>",
    composite=True,
    notifies_confirmably=True,
)
"""[ran] Anjay: no root link, b left out, a bare Q."""

BC66 = Style(("lt={lifetime}", "b=UQ", "ep={endpoint}"), "</1/0>,</3/0>,</19/0>,</19/1>")
"""An LwM2M 1.0 module: names no version, knows TLV only."""


class Written(NamedTuple):
    """What the server wrote, executed (`path` with its payload) or set attributes of (`query`)."""

    method: int
    path: str
    content_format: int | None
    payload: bytes
    query: tuple[str, ...] = ()


@dataclass
class Client:
    """`values`: by path, the Content-Format and bytes it answers a read with. `next_id`: message IDs count from
    here, as those of a module that was off."""

    endpoint: str
    style: Style
    values: dict[str, tuple[int, bytes]]
    lifetime_s: int = 86_400
    next_id: int = 1
    location: tuple[str, ...] = ()
    observed: dict[str, bytes] = field(default_factory=dict)
    """Token by path."""
    written: list[Written] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Method and path of each request of the server, retransmissions left out."""
    writable: frozenset[str] = frozenset({"/19/1/0", "/3/0/13", "/5/0/0", "/5/0/1", "/5/0/2", "/1/0/8", LEGACY_DATA})
    package: bytearray = field(default_factory=bytearray)
    """What has come of the blocks of a write."""
    block1_szx: int = 6
    """The largest blocks it takes: 1024 bytes."""
    _answered: dict[int, bytes] = field(default_factory=dict)
    _sequence: int = 1

    # What the client says

    def register(self, token: bytes = b"\x01\x02") -> bytes:
        """All observations end with it (LwM2M core 1.2 section 6.2.1)."""
        self.observed.clear()
        self._answered.clear()
        query = [part.format(endpoint=self.endpoint, lifetime=self.lifetime_s) for part in self.style.query]
        return self._request(POST, ("rd",), query, LINK_FORMAT, self.style.links.encode(), token)

    def bind(self, token: bytes = b"\x07") -> bytes:
        """POST /t/r of the older direct CoAP."""
        self.observed.clear()
        return self._request(POST, ("t", "r"), [f"ep={self.endpoint}"], None, b"", token)

    def update(self, token: bytes = b"\x03\x04") -> bytes:
        """Without Content-Format, as most send it."""
        return self._request(POST, self.location, (), None, b"", token)

    def deregister(self, token: bytes = b"\x05") -> bytes:
        return self._request(DELETE, self.location, (), None, b"", token)

    def send(self, payload: bytes, token: bytes = b"") -> bytes:
        """Send (LwM2M 1.1), some with an empty token."""
        return self._request(POST, ("dp",), (), SENML_CBOR, payload, token)

    def notify(self, path: str, payload: bytes, confirmable: bool | None = None) -> bytes:
        """A notification of an observed path, with a new value. Raises KeyError when nobody observes it."""
        content_format = self.values[path][0]
        self.values[path] = content_format, payload
        if confirmable is None:
            confirmable = self.style.notifies_confirmably
        self._sequence += 1
        kind = Type.CON if confirmable else Type.NON
        options = [(OBSERVE, _uint(self._sequence)), (message.CONTENT_FORMAT, _uint(content_format))]
        block, part = _block(payload, None)
        return _encode(kind, CONTENT, self._id(), self.observed[path], options + block, part)

    # What the server says

    def receive(self, datagram: bytes) -> bytes | None:
        """The answer to a request of the server; None for what is no request. A reset ends the observation."""
        said = message.decode(datagram)
        if said.code == 0 or said.code >= 0x20:
            if said.code == CREATED:
                self.location = tuple(value.decode() for name, value in said.options if name == LOCATION_PATH)
            return None
        if said.message_id not in self._answered:
            self._answered[said.message_id] = self._answer(said)
        return self._answered[said.message_id]

    def _answer(self, said: Message) -> bytes:
        path = "/" + "/".join(value.decode() for name, value in said.options if name == message.URI_PATH)
        self.asked.append(f"{('', 'GET', 'POST', 'PUT', 'DELETE', 'FETCH')[said.code]} {path}")
        if said.code in (PUT, POST):
            return self._write(said, path)
        if said.code == GET:
            return self._read(said, path)
        if said.code == FETCH and self.style.composite:
            return self._read_composite(said)
        return self._ack(said, NOT_ALLOWED)

    def _write(self, said: Message, path: str) -> bytes:
        query = tuple(value.decode() for name, value in said.options if name == URI_QUERY)
        if path not in self.writable and not query:
            return self._ack(said, NOT_FOUND)
        content_format, block1 = said.uint_option(message.CONTENT_FORMAT), said.uint_option(BLOCK1)
        payload, options = said.payload, []
        if block1 is not None:
            options = [(BLOCK1, _uint(block1 & ~7 | min(block1 & 7, self.block1_szx)))]
            if (block1 >> 4) << (block1 & 7) + 4 != len(self.package):
                if block1 >> 4:
                    return self._ack(said, INCOMPLETE)
                self.package.clear()
            self.package += said.payload
            if block1 & 8:
                return self._ack(said, CONTINUE, options)
            payload = bytes(self.package)
            self.package.clear()
        self.written.append(Written(said.code, path, content_format, payload, query))
        return self._ack(said, CHANGED, options)

    def _read(self, said: Message, path: str) -> bytes:
        value = self.values.get(path)
        if value is None:
            return self._ack(said, NOT_FOUND)
        accept = said.uint_option(ACCEPT)
        if accept not in (None, value[0]):
            return self._ack(said, NOT_ACCEPTABLE)
        options: list[tuple[int, bytes]] = [(message.CONTENT_FORMAT, _uint(value[0]))]
        if said.uint_option(OBSERVE) == 0:
            self.observed[path] = said.token
            options.insert(0, (OBSERVE, _uint(self._sequence)))
        block, part = _block(value[1], said.uint_option(BLOCK2))
        return self._ack(said, CONTENT, options + block, part)

    def _read_composite(self, said: Message) -> bytes:
        """Of SenML CBOR only. What is observed so bears all its paths as its name, a space between two."""
        paths = [record[0] for record in cbor2.loads(said.payload)]
        held = [self.values[path][1] for path in paths if self.values.get(path, (0,))[0] == SENML_CBOR]
        pack = cbor2.dumps([record for each in held for record in cbor2.loads(each)])
        options = [(message.CONTENT_FORMAT, _uint(SENML_CBOR))]
        observe, name = said.uint_option(OBSERVE), " ".join(paths)
        if observe == 0:
            self.observed[name], self.values[name] = said.token, (SENML_CBOR, pack)
            options.insert(0, (OBSERVE, _uint(self._sequence)))
        elif observe == 1:
            self.observed.pop(name, None)
        return self._ack(said, CONTENT, options, pack)

    def _ack(
        self, said: Message, code: int, options: list[tuple[int, bytes]] | None = None, payload: bytes = b""
    ) -> bytes:
        return _encode(Type.ACK, code, said.message_id, said.token, options or [], payload)

    def _request(
        self, method: int, path: tuple[str, ...], query: tuple[str, ...] | list[str], content_format: int | None,
        payload: bytes, token: bytes,
    ) -> bytes:  # fmt: skip
        options = [(message.URI_PATH, part.encode()) for part in path]
        if content_format is not None:
            options.append((message.CONTENT_FORMAT, _uint(content_format)))
        options += [(URI_QUERY, part.encode()) for part in query]
        return _encode(Type.CON, method, self._id(), token, options, payload)

    def _id(self) -> int:
        self.next_id = self.next_id + 1 & 0xFFFF
        return self.next_id


def _encode(
    kind: Type, code: int, message_id: int, token: bytes, options: list[tuple[int, bytes]], payload: bytes
) -> bytes:
    head = bytes((message.first_byte(kind, len(token)), code)) + message_id.to_bytes(2, "big") + token
    return head + message.encode_options(options) + (b"\xff" + payload if payload else b"")


def _block(payload: bytes, asked: int | None) -> tuple[list[tuple[int, bytes]], bytes]:
    """The Block2 option and the part of a payload; none for one that fits into a block."""
    if len(payload) <= BLOCK_BYTES:
        return [], payload
    number = (asked or 0) >> 4
    part = payload[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES]
    more = len(payload) > (number + 1) * BLOCK_BYTES
    return [(BLOCK2, _uint(number << 4 | more << 3 | BLOCK_SZX))], part


def _uint(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")
