"""The gateway's front door with a custody that forgets: what receiving, parsing, authentication and answering cost.

``python -m tests.bench.null_gateway [PORT]``: prints its port, serves until it is terminated. A port that is named is
shared with others that name it.
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop
from prometheus_client import CollectorRegistry

from gateway.coap.fast_lane import FastLane, Limits
from gateway.coap.port import bind
from gateway.custody import Settle
from gateway.devices import Devices
from gateway.intake import Intake
from gateway.metrics import Counters
from gateway.refusals import RefusalLimiter
from metering.model import Authentication, Door
from metering.registry import ENABLED, RegistryEntry
from metering.settings import GatewaySettings
from tests.bench.saturate import DEVICES, device_name


class ForgetfulCustody:
    def take(
        self,
        door: Door,
        authentication: Authentication,
        device: str,
        content_format: int,
        payload: bytes,
        source: str,
        settle: Settle,
    ) -> None:
        settle(None)


async def main(port: int) -> None:
    settings = GatewaySettings()
    devices = Devices()
    for number in range(DEVICES):
        name = device_name(number)
        devices.apply(RegistryEntry(name, (name,), ("127.0.0.0/8",), ENABLED))
    devices.ready = True
    bound = bind("127.0.0.1", port, reuse_port=bool(port))
    limits = Limits(settings.max_payload_bytes, settings.retry_after_s)
    limiter = RefusalLimiter(settings.refusals_per_second)
    intake = Intake(devices, ForgetfulCustody())
    FastLane(bound, intake, limiter, Counters(CollectorRegistry()), limits, time.monotonic).start()
    print(bound.getsockname()[1], flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
