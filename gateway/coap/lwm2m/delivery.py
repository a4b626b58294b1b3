"""Brings waiting commands to a client that listens, and tells how they ended."""

from __future__ import annotations

from typing import Protocol

from gateway.coap.lwm2m import downlink, formats
from gateway.coap.lwm2m.downlink import Plan
from gateway.coap.lwm2m.exchange import Ask, Reply
from gateway.coap.lwm2m.means import Means, authentication_of, door_of
from gateway.coap.lwm2m.registration import Registration
from gateway.coap.lwm2m.updating import Updating
from gateway.coap.message import code_name
from gateway.coap.remote import Remote
from metering.commands import WaitingCommand

DONE, FAILED, REFUSED = 0, 1, 2
"""Keys of metering.commands.RESULTS."""

SERVER_ERROR = 5


class Client(Protocol):
    """The session's side that delivery needs."""

    record: Registration
    remote: Remote

    async def ask(self, ask: Ask) -> Reply | None: ...

    async def ask_fitting(self, ask: Ask) -> Reply | None: ...

    async def report(self, path: str, reply: Reply) -> bool: ...

    async def save(self) -> None: ...

    def wake(self) -> None: ...


class Delivery:
    """Of one client. `run` returns when nothing is left to hand over now."""

    def __init__(self, means: Means, client: Client) -> None:
        self._means, self._client = means, client
        self._handed: dict[bytes, float] = {}
        self._updating = Updating(means, client)
        self._composite = True

    async def run(self) -> bool:
        """Whether something is to be observed now that was not before. Raises AsleepError when the client no longer
        answers, UnavailableError; what was not answered waits on."""
        observe = False
        await self._apply_firmware()
        while (command := self._next()) is not None:
            client, now = self._client, self._means.clock()
            model = self._means.model(client.record.device)
            plan = downlink.plan(command, client.record, model, int(self._means.wall()))
            if plan.refused:
                self._ended(command, REFUSED, plan.refused)
            else:
                observe = await self._carry_out(command, plan) or observe
            self._handed[command.command_id] = now
            await self._apply_firmware()
        return observe

    def _next(self) -> WaitingCommand | None:
        """The oldest that was not handed over a short while ago."""
        client, now = self._client, self._means.clock()
        waiting = self._means.commands.waiting(client.record.device, authentication_of(client.remote))
        if not waiting:
            self._handed.clear()
            return None
        again_before = now - self._means.settings.hand_again_s
        ids = {command.command_id for command in waiting}
        self._handed = {key: at for key, at in self._handed.items() if key in ids and at > again_before}
        return next(
            (
                command
                for command in waiting
                if command.command_id not in self._handed and command.command_id != client.record.firmware
            ),
            None,
        )

    async def _carry_out(self, command: WaitingCommand, plan: Plan) -> bool:
        """As `run`."""
        self._means.commands.handed_over(self._client.record.device, command, door_of(self._client.record))
        if plan.reports:
            await self._report_now(command, plan)
            return False
        if plan.updates:
            return await self._update(command)
        for ask in plan.asks:
            reply = await self._client.ask(ask)
            if reply is None or reply.code >> 5 == SERVER_ERROR:
                return False  # it cannot now: the command waits on
            if not reply.success:
                self._ended(command, FAILED, f"{code_name(reply.code)} to {ask.path}")
                return False
        if plan.confirms:
            self._ended(command, DONE, "")
        return False

    async def _update(self, command: WaitingCommand) -> bool:
        """As `run`: what the client does with the image is observed from now on."""
        reply, asked = await self._updating.begin(command)
        if reply is None or reply.code >> 5 == SERVER_ERROR:
            return False  # it cannot now: the command waits on
        if not reply.success:
            self._ended(command, FAILED, f"{code_name(reply.code)} to {asked}")
            return False
        await self._updating.follow(command)
        return True

    async def _report_now(self, command: WaitingCommand, plan: Plan) -> None:
        """In one composite read where the client knows it, else one after the other; one that answers is enough."""
        client = self._client
        paths = [ask.path for ask in plan.asks]
        if await self._read_composite(paths):
            self._ended(command, DONE, "")
            return
        answered = False
        for ask in plan.asks:
            reply = await client.ask_fitting(ask)
            if reply is not None and reply.success:
                if not await client.report(ask.path, reply):
                    return  # the stream is away: the command waits on
                answered = True
        self._ended(command, DONE if answered else FAILED, "" if answered else "no path can be read")

    async def _read_composite(self, paths: list[str]) -> bool:
        """Whether that was the report. No client says whether it knows composite reads; Wakaama (1.1) does not even
        answer one. So only clients of 1.2 are asked, and who is silent once is not asked again."""
        record = self._client.record
        if not self._composite or record.legacy or record.version < (1, 2) or len(paths) < 2:
            return False
        accept = formats.candidates(record)[0]
        if accept not in (formats.SENML_CBOR, formats.SENML_JSON):
            return False
        self._composite = False
        reply = await self._client.ask(downlink.read_composite(paths, accept))
        self._composite = reply is not None and reply.success
        return self._composite and reply is not None and await self._client.report("/", reply)

    def noticed(self, path: str, reply: Reply) -> None:
        """A value that was reported: what a firmware update has come to."""
        self._tell_update(self._updating.noticed(path, reply))

    async def _apply_firmware(self) -> None:
        self._tell_update(await self._updating.apply())

    def _tell_update(self, ended: tuple[bytes, str] | None) -> None:
        if ended is not None:
            command_id, reason = ended
            record, result = self._client.record, FAILED if reason else DONE
            self._means.commands.ended(record.device, command_id, result, reason, door_of(record))

    def _ended(self, command: WaitingCommand, result: int, reason: str) -> None:
        record = self._client.record
        self._means.commands.ended(record.device, command.command_id, result, reason, door_of(record))
