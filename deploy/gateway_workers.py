"""Several gateway processes on one CoAP port (`gateway.workers`): what each is given, and a supervisor of them alone.

The first worker takes the port (which may be a free one); the others are told it. Every one is an ordinary child: one
that dies leaves its share of the port to the others and is started again.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy import ports, programs
from deploy.supervision.child import Child, Spec
from metering.process import say
from metering.settings import DtlsSettings, GatewaySettings, NatsSettings, load

METRICS_STEP = 10
"""Between the metrics ports of neighbouring workers: 9101, 9111, … (9102 and 9103 are other programs')."""


def more_workers(first: Spec, said: Mapping[str, Any], workers: int) -> list[Spec]:
    """Workers 2 to `workers`, once the first has said its ports."""
    return [
        replace(
            first,
            name=f"{first.name}-{number + 1}",
            environment=first.environment
            | {
                "NBWATER_GATEWAY_WORKER": str(number),
                "NBWATER_GATEWAY_PORT": str(said["port"]),
                "NBWATER_GATEWAY_METRICS_PORT": str(_metrics_port(int(said["metrics_port"]), number)),
            },
        )
        for number in range(1, workers)
    ]


def _metrics_port(first: int, number: int) -> int:
    """Where that is taken a free one."""
    wanted = first + METRICS_STEP * number
    return wanted if ports.next_free_tcp(load(GatewaySettings).metrics_host, wanted) == wanted else 0


class Relay:
    """What workers say goes to this process's stderr, where one would look for it."""

    path = Path("stderr")

    def write(self, data: bytes) -> None:
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()

    def close(self) -> None:
        """stderr stays open."""


async def supervise(workers: int) -> int:
    """`nbwater gateway --workers N`: until SIGTERM or SIGINT. Raises StartError when the first cannot start."""
    settings, stream, stop = load(GatewaySettings), load(NatsSettings), asyncio.Event()
    dtls = load(DtlsSettings)
    coaps = dtls.port if settings.port or "port" in dtls.model_fields_set else 0
    wanted = programs.Ports(settings.port, coaps, 0, settings.metrics_port, 0, 0)
    ports.require_udp(settings.host, settings.port, "CoAP", "NBWATER_GATEWAY_PORT")
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="nbwater-gateway-") as directory:
        nats_url = stream.url.get_secret_value()
        mqtt = programs.mqtt_settings(None)
        first = _child(
            programs.gateway(
                nats_url, stream.monitor_url, wanted, workers, Path(directory), programs.given_master_keys(), mqtt
            )
        )
        children = [first]
        try:
            await first.start()
            programs.keep_port(first.spec, first.said)
            children += [_child(spec) for spec in more_workers(first.spec, first.said, workers)]
            await asyncio.gather(*(child.start() for child in children[1:]))
            for child in children:
                programs.keep_port(child.spec, child.said)
            said = [{"pid": child.pid} | child.said for child in children]
            say(ready="gateway", port=first.said["port"], workers=said)
            watches = [asyncio.create_task(child.watch()) for child in children]
            await stop.wait()
        finally:
            await asyncio.gather(*(child.stop() for child in children))
        await asyncio.gather(*watches)
    return 0


def _child(spec: Spec) -> Child:
    return Child(spec, Relay(), _tell, lambda *_: None)


def _tell(line: str) -> None:
    print(f"nbwater: {line}", file=sys.stderr, flush=True)
