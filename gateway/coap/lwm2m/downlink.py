"""Commands as LwM2M requests (PROTOCOLS B and G). Pure.

What LwM2M has a resource for is confirmed by the client's own answer. The rest travels as it does on every other door,
in the opaque downlink resource that NB-IoT platforms use, ``/19/1/0``: 2.04 then says that it has arrived, and the
meter's `results` how it ended. A raw frame has no id to come back with, so that its 2.04 is all there will ever be.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway.coap import message as coap
from gateway.coap.lwm2m import formats, package
from gateway.coap.lwm2m.exchange import FETCH, PUT, Ask
from gateway.coap.lwm2m.registration import Registration
from metering.commands import CommandKind, WaitingCommand
from metering.settings import Lwm2mModel, Lwm2mSettings

APPLICATION_DATA, DEVICE, FIRMWARE = 19, 3, 5
OPAQUE_DOWNLINK = "/19/1/0"
LEGACY_DATA = "/t/d"


MAX_TOGETHER = 32
"""Paths in one composite observation, so that the request fits into a datagram; the others are observed each by itself.
"""
_BETWEEN = " "
_SENML = (formats.SENML_CBOR, formats.SENML_JSON)


class Plan(NamedTuple):
    """`asks` in order. `confirms`: that all succeeded means the command is done. `reports`: the answers are reports.
    `refused`: why this client can never have it; then there is nothing to ask. `updates`: firmware by object 5, which
    is a conversation of its own."""

    asks: tuple[Ask, ...] = ()
    confirms: bool = False
    reports: bool = False
    refused: str = ""
    updates: bool = False


def plan(command: WaitingCommand, to: Registration, model: Lwm2mModel, now_s: int) -> Plan:
    """How to bring the command to the client. `now_s`: Unix seconds."""
    if to.legacy:
        return Plan((_opaque(command, LEGACY_DATA, coap.POST),), confirms=command.kind is CommandKind.RAW)
    match command.kind:
        case CommandKind.SET_CLOCK if to.offer.has(DEVICE):
            return Plan((_text("/3/0/13", now_s),), confirms=True)
        case CommandKind.REPORT_NOW:
            return _report_now(to)
        case CommandKind.VALVE if model.valve:
            closed = int(command.arguments[0]) == 1
            return Plan((_text(model.valve, int(closed != model.valve_inverted)),), confirms=True)
        case CommandKind.REPORTING_PLAN if model.plan == "attributes":
            return _attributes(command, to)
        case CommandKind.FIRMWARE if to.offer.has(FIRMWARE):
            return Plan(updates=True)
        case _:
            return _by_application_data(command, to)


def _by_application_data(command: WaitingCommand, to: Registration) -> Plan:
    if not to.offer.has(APPLICATION_DATA):
        return Plan(refused="the device offers no object 19")
    return Plan((_opaque(command, OPAQUE_DOWNLINK, PUT),), confirms=command.kind is CommandKind.RAW)


def _opaque(command: WaitingCommand, path: str, method: int) -> Ask:
    return Ask(method, path, command.answer(), formats.OPAQUE)


def _text(path: str, value: object) -> Ask:
    return Ask(PUT, path, str(value).encode(), formats.TEXT)


def single(paths: Iterable[str]) -> tuple[str, ...]:
    """Each path once, those of composite observations too."""
    return tuple(dict.fromkeys(part for path in paths for part in path.split(_BETWEEN)))


def is_composite(path: str) -> bool:
    """Whether this observed path stands for several, which `observed` has put together."""
    return _BETWEEN in path


def report_path(path: str) -> str:
    """Under which an answer is reported: that of a composite names its paths itself."""
    return "/" if is_composite(path) else path


def _report_now(to: Registration) -> Plan:
    paths = single(to.observed)
    if not paths:
        return Plan(refused="the device offers nothing that is observed")
    return Plan(tuple(read(path, to) for path in paths), confirms=True, reports=True)


def _attributes(command: WaitingCommand, to: Registration) -> Plan:
    """LwM2M core 1.2 section 7.3: at least every `pmax` seconds, at most every `pmin`."""
    period_s = int(command.arguments[0])
    query = (f"pmin={max(1, period_s // 2)}", f"pmax={period_s}")
    asks = tuple(Ask(PUT, path, query=query) for path in single(to.observed))
    return Plan(asks, confirms=True) if asks else Plan(refused="the device offers nothing that is observed")


def read(path: str, to: Registration, accept: int | None = None) -> Ask:
    """A read, in the first of the formats that fit unless `accept` names one."""
    if is_composite(path):
        wanted_format = formats.candidates(to)[0] if accept is None else accept
        return read_composite(path.split(_BETWEEN), wanted_format)
    return Ask(coap.GET, path, accept=accept_of(path, to) if accept is None else accept)


def observe(path: str, to: Registration, accept: int | None = None) -> Ask:
    return read(path, to, accept)._replace(observe=0)


def read_composite(paths: Iterable[str], accept: int) -> Ask:
    """LwM2M core 1.1: several paths in one request; a client without it answers 4.05."""
    asked_in = accept if accept in _SENML else formats.SENML_CBOR
    return Ask(FETCH, "/", formats.composite_paths(asked_in, paths), asked_in, accept)


def execute(path: str, arguments: str = "") -> Ask:
    return Ask(coap.POST, path, arguments.encode(), formats.TEXT if arguments else None)


def discover(path: str) -> Ask:
    return Ask(coap.GET, path, accept=formats.LINK_FORMAT)


def accept_of(path: str, to: Registration) -> int | None:
    """Application data is opaque and a firmware's state text, both single resources; the rest as `candidates` says."""
    if to.legacy:
        return None
    if path.startswith(f"/{APPLICATION_DATA}/") and path.count("/") == 3:
        return formats.OPAQUE
    if path in (package.STATE, package.RESULT, package.METHOD):
        return formats.TEXT
    return formats.candidates(to)[0]


def wanted(to: Registration, observed: Iterable[str]) -> tuple[str, ...]:
    """Paths to observe of those configured (``/19/0/0``, ``/3424``), as far as the client offers them. A bare object
    stands for each of its instances."""
    if to.legacy:
        return (LEGACY_DATA,)
    paths: list[str] = []
    for path in observed:
        parts = path.strip("/").split("/")
        instances = to.offer.instances(int(parts[0]))
        if len(parts) == 1:
            paths += instances
        elif f"/{parts[0]}/{parts[1]}" in instances or f"/{parts[0]}" in to.offer.paths:
            paths.append(path)
    return tuple(dict.fromkeys(paths))


def observed(to: Registration, settings: Lwm2mSettings) -> tuple[str, ...]:
    """What is observed of the paths that are `wanted`: with a client of LwM2M 1.2 all in one (Observe-Composite), but
    for application data, whose bytes are its report."""
    paths = wanted(to, settings.observe)
    if not settings.observe_composite or not to.composite or to.legacy or to.version < (1, 2):
        return paths
    together = [path for path in paths if not path.startswith(f"/{APPLICATION_DATA}/")][:MAX_TOGETHER]
    if len(together) < 2:
        return paths
    return (*(path for path in paths if path not in together), _BETWEEN.join(together))


def content_format_of(said: int | None) -> int:
    """What an answer without Content-Format is: bytes."""
    return formats.OPAQUE if said is None else said
