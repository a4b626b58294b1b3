"""What a program says of itself every few seconds on NATS, for whoever shows the path: all its counters and gauges.

Subject ``status.{program}``, a JSON object: ``program``, ``instance`` (host and process), ``started`` (Unix seconds),
``figures`` (sample name with labels, as Prometheus writes it, → value; histograms without their buckets). Told and
forgotten: nothing keeps it, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry

from metering.errors import EnvelopeError

STATUS = "status"
EVERY_S = 3.0
MAX_BYTES = 64 * 1024
PREFIX = "nbwater_"
_LEFT_OUT = ("_bucket", "_created")

log = structlog.get_logger()

Publish = Callable[[str, bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    program: str
    instance: str
    started: float
    figures: dict[str, float]


def subject(program: str) -> str:
    return f"{STATUS}.{program}"


def figures_of(registry: CollectorRegistry) -> dict[str, float]:
    """Our own counters and gauges, and sums and counts of histograms."""
    return {
        _named(sample.name, sample.labels): sample.value
        for metric in registry.collect()
        if metric.name.startswith(PREFIX)
        for sample in metric.samples
        if not sample.name.endswith(_LEFT_OUT)
    }


def _named(name: str, labels: dict[str, str]) -> str:
    said = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{said}}}" if said else name


def encode(beat: Heartbeat) -> bytes:
    return json.dumps(
        {"program": beat.program, "instance": beat.instance, "started": beat.started, "figures": beat.figures}
    ).encode()


def decode(body: bytes) -> Heartbeat:
    """Raises EnvelopeError for what is no heartbeat, or longer than MAX_BYTES."""
    if len(body) > MAX_BYTES:
        raise EnvelopeError(f"a heartbeat of {len(body)} bytes")
    try:
        said = json.loads(body)
        figures = {str(name): float(value) for name, value in said["figures"].items()}
        return Heartbeat(str(said["program"])[:32], str(said["instance"])[:256], float(said["started"]), figures)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EnvelopeError(f"no heartbeat: {error!r}") from error


async def beat(publish: Publish, program: str, registry: CollectorRegistry) -> None:
    """Until cancelled. Whatever goes wrong (NATS away) is tried again at the next beat: nobody depends on it."""
    started, instance = time.time(), f"{socket.gethostname()}/{os.getpid()}"
    failing = False
    while True:
        try:
            await publish(subject(program), encode(Heartbeat(program, instance, started, figures_of(registry))))
            failing = False
        except Exception as error:  # a figure that cannot be told must not end the program that has it
            if not failing:
                log.warning("heartbeat_not_told", error=type(error).__name__, detail=str(error)[:200])
            failing = True
        await asyncio.sleep(EVERY_S)
