"""The ports of one platform: checked before anything starts, changed when a neighbour takes one in the meantime."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass

from deploy import ports, programs
from deploy.supervision.child import Child, Spec, Tell
from metering.errors import StartError
from metering.settings import (
    ApiSettings,
    DtlsSettings,
    GatewaySettings,
    IngestSettings,
    MqttSettings,
    NatsSettings,
    PushSettings,
    SettlementSettings,
    load,
)

COAPS = 5684
"""UDP port of CoAP over DTLS (RFC 7252, section 6.2): not for plain CoAP."""

COAP = COAPS - 1

MOVES = 5
"""How often one program is given another port in a row."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One port of a program. `may_move`: people did not choose it, another one will do."""

    what: str
    kind: socket.SocketKind
    host: str
    variable: str
    may_move: bool


class Listeners:
    """`may_move`: the CoAP and the page port too may be others than those of the settings, as for a demo."""

    def __init__(self, page_host: str, may_move: bool, tell: Tell) -> None:
        gateway, ingest, settlement = load(GatewaySettings), load(IngestSettings), load(SettlementSettings)
        self._dtls = load(DtlsSettings)
        tcp, udp = socket.SOCK_STREAM, socket.SOCK_DGRAM
        self._page_host, self._may_move, self._tell = page_host, may_move, tell
        self._coap = Listener("CoAP", udp, gateway.host, "NBWATER_GATEWAY_PORT", may_move)
        self._page = Listener("page", tcp, page_host, "NBWATER_API_PORT", may_move)
        self._mqtt = Listener("MQTT", tcp, load(MqttSettings).host, "NBWATER_MQTT_PORT", may_move)
        self._of: dict[str, tuple[Listener, ...]] = {
            "gateway": (
                self._coap,
                Listener("gateway metrics", tcp, gateway.metrics_host, "NBWATER_GATEWAY_METRICS_PORT", True),
                Listener("push", tcp, load(PushSettings).host, "NBWATER_PUSH_PORT", may_move),
            ),
            "ingest": (Listener("ingest metrics", tcp, ingest.metrics_host, "NBWATER_INGEST_METRICS_PORT", True),),
            "settlement": (
                Listener("settlement metrics", tcp, settlement.metrics_host, "NBWATER_SETTLEMENT_METRICS_PORT", True),
            ),
            "api": (self._page,),
        }

    def choose(
        self, coap_port: int | None = None, page_port: int | None = None, coaps_port: int | None = None
    ) -> programs.Ports:
        """None: as the settings say. Raises StartError for one that is taken and may not move."""
        gateway, api, mqtt_port = load(GatewaySettings), load(ApiSettings), load(MqttSettings).port
        coap = gateway.port if coap_port is None else coap_port
        if coaps_port is None and ("port" in self._dtls.model_fields_set or coap == COAP):
            coaps_port = self._dtls.port
        page = api.port if page_port is None else page_port
        if self._may_move:
            coap, page = self._free(self._coap, coap), self._free(self._page, page)
            mqtt_port = self._free(self._mqtt, mqtt_port)
        else:
            ports.require_udp(gateway.host, coap, "CoAP", "--coap-port or NBWATER_GATEWAY_PORT")
            ports.require_tcp(self._page_host, page, "pages", "--http-port or NBWATER_API_PORT")
            if not load(NatsSettings).url.get_secret_value():
                ports.require_tcp(self._mqtt.host, mqtt_port, "MQTT", self._mqtt.variable)
        metrics: list[int] = []
        for section in (gateway, load(IngestSettings), load(SettlementSettings)):
            metrics.append(ports.next_free_tcp(section.metrics_host, section.metrics_port, besides=metrics))
        coaps = self._choose_coaps(coap, coaps_port)
        return programs.Ports(coap, coaps, page, metrics[0], metrics[1], metrics[2], mqtt_port)

    def _choose_coaps(self, coap: int, asked: int | None) -> int:
        """COAPS is a port that meters are told, as is one that somebody named; beside another CoAP port (None) any will
        do."""
        listener = Listener(
            "DTLS", socket.SOCK_DGRAM, self._dtls.host, "NBWATER_DTLS_PORT", self._may_move or asked is None
        )
        self._of["gateway"] += (listener,)
        if asked is None:
            return ports.next_free_udp(self._dtls.host, coap + 1) if coap else 0
        if self._may_move:
            return self._free(listener, asked, besides=(coap,))
        if self._dtls.enabled:
            ports.require_udp(self._dtls.host, asked, "CoAP over DTLS", "--coaps-port or NBWATER_DTLS_PORT")
        return asked

    def move(self, spec: Spec) -> bool:
        """Give a program that could not start other ports for those that somebody else has now; False: none may move,
        so that its failure stands."""
        moved = False
        for listener in self._of.get(spec.name, ()):
            if listener.may_move and listener.variable in spec.environment:
                port = int(spec.environment[listener.variable])
                free = self._free(listener, port)
                spec.environment[listener.variable] = str(free)
                moved = moved or free != port
        return moved

    def _free(self, listener: Listener, port: int, besides: Collection[int] = ()) -> int:
        if listener.kind == socket.SOCK_DGRAM:
            free = ports.next_free_udp(listener.host, port, besides or (() if port == COAPS else (COAPS,)))
        else:
            free = ports.next_free_tcp(listener.host, port)
        if free != port:
            self._tell(f"the {listener.what} port {port} is taken; using {free or 'a free one'}")
        return free


async def start_somewhere(child: Child, move: Callable[[Spec], bool]) -> None:
    """Start it; when somebody took its port since that was looked for, start it again on another. Raises StartError."""
    for _ in range(MOVES):
        try:
            return await child.start()
        except StartError:
            if child.pid is not None or not move(child.spec):
                raise
    return await child.start()
