"""Brings firmware to a client by object 5 and follows what becomes of it: fetched by the client or pushed to it, then
updated, then confirmed or failed by the client's own word.

How far a push has come is in the registration: it goes on at the next block when the client listens again, from
whichever process hears it.
"""

from __future__ import annotations

from typing import Protocol

from gateway.coap import message as coap
from gateway.coap.lwm2m import downlink, formats, package
from gateway.coap.lwm2m.exchange import PUT, Ask, Reply
from gateway.coap.lwm2m.means import Means
from gateway.coap.lwm2m.package import Progress, Way
from gateway.coap.lwm2m.registration import Registration, with_observed
from metering.commands import WaitingCommand
from metering.errors import UnavailableError

SAVE_EVERY_BLOCKS = 64
"""A killed process costs the client no more of a push than these."""

OBSERVED = (package.STATE, package.RESULT)


class Client(Protocol):
    """The session's side that this needs."""

    record: Registration

    async def ask(self, ask: Ask) -> Reply | None: ...

    async def ask_fitting(self, ask: Ask) -> Reply | None: ...

    async def save(self) -> None: ...


class Updating:
    """Of one client."""

    def __init__(self, means: Means, client: Client) -> None:
        self._means, self._client = means, client
        self._update_due = self._save_due = False

    async def begin(self, command: WaitingCommand) -> tuple[Reply | None, str]:
        """Give the client the image or its address: the last answer, None when it resets, and what was asked, for
        people; then `follow`. Raises AsleepError and UnavailableError, and goes on at the next call."""
        uri = str(command.arguments[0])
        way = Way.PUSH if self._client.record.pushing == command.command_id else await self._way(uri)
        if way is Way.NONE:
            return Reply(coap.BAD_REQUEST, b"", None, None, None), f"{uri}: the device fetches by other protocols"
        if way is Way.PUSH:
            return await self._push(command), package.PACKAGE
        return await self._client.ask(Ask(PUT, package.URI, uri.encode(), formats.TEXT)), package.URI

    async def _way(self, uri: str) -> Way:
        method = await self._integers(package.METHOD)
        return package.way_of(method[0] if method else None, await self._integers(package.PROTOCOLS), uri)

    async def _integers(self, path: str) -> list[int]:
        """Empty for what the client does not tell."""
        reply = await self._client.ask_fitting(downlink.read(path, self._client.record))
        return formats.read_integers(reply.content_format, reply.payload) if reply is not None and reply.success else []

    async def _push(self, command: WaitingCommand) -> Reply | None:
        client = self._client
        if client.record.pushing != command.command_id:
            client.record = client.record._replace(pushing=command.command_id, pushed=0, push_szx=package.FIRST_SZX)
        try:
            return await self._send_blocks(bytes(command.arguments[1]), int(command.arguments[2]))
        except Exception:  # asleep, mostly: what it has is kept for the next time
            await client.save()
            raise

    async def _send_blocks(self, digest: bytes, size_bytes: int) -> Reply | None:
        client, images = self._client, self._means.images
        if images is None:
            raise UnavailableError("firmware.directory is not set: there is nothing to push")
        now: Progress | None = Progress(client.record.pushed, client.record.push_szx)
        sent = 0
        while now is not None:
            part = await images.read(digest, size_bytes, now.offset, now.block_bytes)
            is_last = now.offset + len(part) >= size_bytes
            reply = await client.ask(now.ask(part, size_bytes))
            if reply is None or (is_last and (reply.success or now.anew(reply) is None)):
                return reply
            now = now.anew(reply) if is_last else now.after(reply, len(part))
            if now is not None:
                client.record = client.record._replace(pushed=now.offset, push_szx=now.szx)
            sent += 1
            if sent % SAVE_EVERY_BLOCKS == 0:
                await client.save()
        return reply

    async def follow(self, command: WaitingCommand) -> None:
        """From now on the client's state and result are observed."""
        client = self._client
        record = with_observed(client.record, OBSERVED)
        numbers = {record.observed.index(path) for path in OBSERVED if path in record.observed}
        client.record = record._replace(
            firmware=command.command_id, established=record.established - numbers, pushing=b"", pushed=0
        )
        await client.save()

    def noticed(self, path: str, reply: Reply) -> tuple[bytes, str] | None:
        """A value that was reported: id of the command that ended with it, and why it failed, empty when it did not."""
        command_id = self._client.record.firmware
        if not command_id or path not in OBSERVED:
            return None
        value = formats.read_integer(reply.content_format, reply.payload)
        if path == package.STATE:
            self._update_due = self._update_due or value == package.DOWNLOADED
        elif value not in (None, package.INITIAL):
            return self._ended(command_id, value or 0)
        return None

    def _ended(self, command_id: bytes, result: int) -> tuple[bytes, str]:
        self._client.record = self._client.record._replace(firmware=b"")
        self._save_due = True
        if result == package.SUCCESS:
            return command_id, ""
        return command_id, f"update result {result}: {package.WHY.get(result, 'not known')}"

    async def apply(self) -> tuple[bytes, str] | None:
        """Do what `noticed` found to be due; as `noticed`. Raises AsleepError and UnavailableError."""
        refused = None
        if self._update_due:
            self._update_due = False
            command_id = self._client.record.firmware
            reply = await self._client.ask(downlink.execute(package.UPDATE))
            if command_id and reply is not None and reply.code >> 5 == 4:
                self._client.record = self._client.record._replace(firmware=b"")
                self._save_due = True
                refused = command_id, f"{coap.code_name(reply.code)} to {package.UPDATE}"
        if self._save_due:
            self._save_due = False
            await self._client.save()
        return refused
