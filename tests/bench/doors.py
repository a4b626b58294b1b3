"""What a daily report costs at each door: bytes on air, and the gateway's processor time; one meter a door.

Each door takes the same report of 24 readings with another number, `REPORTS` times, `WINDOW` on their way at once (MQTT
and push: as many as their clients allow). Bytes are UDP or TCP payload of one report and its answer, handshakes,
logins and HTTP headers apart: `…_session_bytes` is what comes before the first report.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiomqtt
import cbor2
import httpx
import psutil

from gateway.mqtt.topics import up as up_topic
from simulators import message, payloads
from simulators.keys import protected_meter
from simulators.lwm2m import Lwm2mMeter
from simulators.lwm2m_client import CREATED
from simulators.lwm2m_oscore import ProtectedLwm2mMeter
from simulators.message import HEAD, Type, first_byte
from tests.bench.processes import Platform, platform
from tests.bench.sections import Progress
from tests.e2e.city import APPLICATION_DATA, City, Meter
from tests.e2e.tunnel import Tunnel

REPORTS, QUICK_REPORTS = 3_000, 100
WINDOW = 32
TAKEN_S = 60
DAY_S = 1_767_225_600
PATHS = {name: f"0123456789-{name}" for name in ("ctwing", "oceanconnect", "iotda")}
ENVIRONMENT = {
    "NBWATER_OSCORE_FIRST_CONTACT": "accept", "NBWATER_LWM2M_REQUESTS_PER_SECOND": "1000000", "NBWATER_PUSH_PORT": "0",
}  # fmt: skip
PLAIN, OSCORE, DTLS, LWM2M, LWM2M_OSCORE, MQTT, CTWING, OCEANCONNECT, IOTDA = map(Meter, range(70, 79))
KEYED = (OSCORE, DTLS, MQTT, LWM2M_OSCORE)


def measure(progress: Progress, *, quick: bool = False) -> dict[str, Any]:
    """The keys `doors.*` of bench.json."""
    with tempfile.TemporaryDirectory(prefix="nbwater-doors-") as folder:
        products = Path(folder, "push.toml")
        products.write_text(
            "".join(
                f'[[products]]\nname = "{name}"\nplatform = "{name}"\nsecret_path = "{path}"\n'
                for name, path in PATHS.items()
            )
        )
        products.chmod(0o600)
        with platform(ENVIRONMENT | {"NBWATER_PUSH_PRODUCTS_FILE": str(products)}) as under_test:
            return asyncio.run(Doors(under_test, Path(folder), QUICK_REPORTS if quick else REPORTS).measure(progress))


class Doors:
    """`city` of the tests, on a platform of the benchmark."""

    def __init__(self, under_test: Platform, folder: Path, reports: int) -> None:
        self._reports, self._numbers = reports, iter(range(1, 1 << 31))
        self._city = City(_AsUp(under_test), {name: f"/push/{path}" for name, path in PATHS.items()}, folder)  # type: ignore[arg-type]
        children = json.loads((under_test.data / "run" / "children.json").read_text())
        self._gateway = psutil.Process(children["gateway"][0])

    async def measure(self, progress: Progress) -> dict[str, Any]:
        self._city.import_meters([PLAIN, LWM2M, CTWING, OCEANCONNECT, IOTDA, *KEYED])
        self._city.import_keys(KEYED)
        for meter in KEYED:
            await self._city.until_keyed(meter)
        found: dict[str, Any] = {"payload_bytes": len(self._report())}
        doors = {
            "plain": self._plain, "oscore": self._oscore, "dtls": self._dtls, "lwm2m_send": self._lwm2m,
            "lwm2m_oscore_send": self._lwm2m_oscore, "mqtt": self._mqtt, "ctwing": self._ctwing,
            "oceanconnect": self._oceanconnect, "iotda": self._iotda,
        }  # fmt: skip
        for door, run in doors.items():
            before, began = self._cpu_s(), time.monotonic()
            air = await run()
            cost_us = 1e6 * (self._cpu_s() - before) / self._reports
            rate = self._reports / (time.monotonic() - began)
            progress(f"doors, {door}: {cost_us:.0f} us of the gateway a report, {dict(air)}, {rate:,.0f} reports/s")
            found |= {f"{door}_gateway_us": cost_us, f"{door}_reports_per_s": rate}
            found |= {f"{door}_{name}_bytes": count for name, count in air.items()}
        # A push is answered from the spool, too, which costs less and puts custody off: these were.
        found["push_spooled"] = await self._metric("nbwater_gateway_push_spooled_reports")
        return found

    def _cpu_s(self) -> float:
        times = self._gateway.cpu_times()
        return float(times.user + times.system)

    async def _metric(self, name: str) -> float:
        port = self._city.up.instance["programs"]["gateway"]["metrics_port"]
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{port}/metrics", timeout=60)).text
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} "))

    async def _until_metric(self, name: str, wanted: int) -> None:
        async with asyncio.timeout(TAKEN_S):
            while await self._metric(name) < wanted:  # noqa: ASYNC110 - another process tells no event
                await asyncio.sleep(0.2)

    def _report(self) -> bytes:
        readings = [(DAY_S + 3_600 * hour, 123_456 + 17 * hour) for hour in range(24)]
        state = {"battery_mv": 3612, "rsrp_ddbm": -1087, "snr_ddb": 45, "ecl": 1, "temperature_dc": 182, "valve": 0}
        return payloads.encode_cbor(payloads.Report(100_000 + next(self._numbers), readings, state))

    async def _plain(self) -> Counter[str]:
        tail = ("r", PLAIN.imei)
        return await self._datagrams(lambda: message.request_tail(tail, 60, self._report()), self._city.coap_port)

    async def _oscore(self) -> Counter[str]:
        meter = protected_meter(OSCORE.serial, int(time.time()))

        def protected() -> bytes:
            return meter.protect(message.POST, message.request_tail(("r", OSCORE.imei), 60, self._report()))[1]

        return await self._datagrams(protected, self._city.coap_port)

    async def _dtls(self) -> Counter[str]:
        tail = ("r", DTLS.imei)
        async with Tunnel(self._city.coaps_port, f"urn:imei:{DTLS.imei}", DTLS.psk.encode()) as tunnel:
            shaken = tunnel.air.total()
            air = await self._datagrams(lambda: message.request_tail(tail, 60, self._report()), tunnel.port)
            sent = self._reports + air.pop("again", 0)
            up, down = tunnel.air["up"] - tunnel.shaken["up"], tunnel.air["down"] - tunnel.shaken["down"]
            return Counter(up=round(up / sent), down=round(down / sent), session=shaken)

    async def _datagrams(self, tail: Callable[[], bytes], port: int) -> Counter[str]:
        """Confirmable POSTs from one port; bytes of the last and its answer."""
        loop, air = asyncio.get_running_loop(), Counter[str]()
        answers: dict[int, asyncio.Future[int]] = {}

        class Heard(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                waits = answers.pop(int.from_bytes(data[2:4], "big"), None)
                if waits is not None:
                    assert data[1] == message.CHANGED, data
                    waits.set_result(len(data))

        transport, _ = await loop.create_datagram_endpoint(Heard, remote_addr=("127.0.0.1", port))
        ids = iter(range(self._reports))

        async def send_all() -> None:
            for number in ids:
                datagram = HEAD.pack(first_byte(Type.CON), message.POST, number, number) + tail()
                answers[number] = waits = loop.create_future()
                while not waits.done():
                    transport.sendto(datagram)
                    await asyncio.wait({waits}, timeout=3)
                air["up"], air["down"] = len(datagram), waits.result()

        await asyncio.gather(*(send_all() for _ in range(WINDOW)))
        transport.close()
        return air

    async def _lwm2m(self) -> Counter[str]:
        return await self._sends(CountingMeter("127.0.0.1", self._city.coap_port, LWM2M.client()))

    async def _lwm2m_oscore(self) -> Counter[str]:
        context = protected_meter(LWM2M_OSCORE.serial, int(time.time()))
        client = LWM2M_OSCORE.client()
        return await self._sends(CountingProtectedMeter("127.0.0.1", self._city.coap_port, client, context))

    async def _sends(self, meter: CountingMeter) -> Counter[str]:
        air = Counter[str]()
        async with meter as device:
            registration = device.client.register()
            assert (await device.ask(registration)).code == CREATED
            air["session"] = device.request_bytes + device.answer_bytes
            ids = iter(range(self._reports))

            async def send_all() -> None:
                for number in ids:
                    pack = cbor2.dumps([{0: APPLICATION_DATA, 8: self._report()}])
                    datagram = device.client.send(pack, number.to_bytes(2, "big"))
                    assert (await device.ask(datagram)).code == message.CHANGED
                    air["up"], air["down"] = device.request_bytes, device.answer_bytes

            await asyncio.gather(*(send_all() for _ in range(WINDOW)))
        return air

    async def _mqtt(self) -> Counter[str]:
        air = Counter[str]()
        async with relay(self._city.mqtt_port, air) as port:
            login = aiomqtt.Client(
                "127.0.0.1", port, username=MQTT.imei, password=MQTT.password, identifier=MQTT.imei, timeout=60
            )
            async with login as meter:
                session, ids = air.total(), iter(range(self._reports))
                before = Counter(air)

                async def send_all() -> None:
                    for _ in ids:
                        await meter.publish(up_topic(MQTT.imei), self._report(), qos=1)

                await asyncio.gather(*(send_all() for _ in range(WINDOW)))
                air -= before
                # PUBACK is nats-server's; the gateway may still have most of its work before it.
                await self._until_metric("nbwater_gateway_mqtt_acknowledged", self._reports)
        return Counter(up=round(air["up"] / self._reports), down=round(air["down"] / self._reports), session=session)

    async def _ctwing(self) -> Counter[str]:
        push = {"messageType": "dataReport", "topic": "v1/up/ad", "timestamp": DAY_S * 1_000, "IMEI": CTWING.imei}

        def body(report: bytes) -> dict[str, Any]:
            return {
                **push,
                "deviceId": "1",
                "productId": "1",
                "payload": {"APPdata": base64.b64encode(report).decode()},
            }

        return await self._pushes("ctwing", body)

    async def _oceanconnect(self) -> Counter[str]:
        service = {"serviceId": "Data", "serviceType": "Data", "eventTime": "20260101T000000Z"}

        def body(report: bytes) -> dict[str, Any]:
            push = {"notifyType": "deviceDataChanged", "deviceId": "2", "nodeId": OCEANCONNECT.imei}
            return {**push, "service": {**service, "data": {"frame": report.hex()}}}

        return await self._pushes("oceanconnect", body)

    async def _iotda(self) -> Counter[str]:
        header = {"device_id": f"p_{IOTDA.imei}", "node_id": IOTDA.imei, "product_id": "p"}

        def body(report: bytes) -> dict[str, Any]:
            service = {"service_id": "Data", "properties": {"frame": report.hex()}, "event_time": "20260101T000000Z"}
            told = {"header": header, "body": {"services": [service]}}
            return {"resource": "device.property", "event": "report", "notify_data": told}

        return await self._pushes("iotda", body)

    async def _pushes(self, platform_name: str, body_of: Callable[[bytes], dict[str, Any]]) -> Counter[str]:
        air = Counter[str]()
        async with relay(int(self._city.push_url.rsplit(":", 1)[1]), air) as port, httpx.AsyncClient() as client:
            ids, url = iter(range(self._reports)), f"http://127.0.0.1:{port}{self._city.paths[platform_name]}"

            async def send_all() -> None:
                for _ in ids:
                    body = json.dumps(body_of(self._report()))
                    assert (await client.post(url, content=body, timeout=60)).status_code == 200

            await asyncio.gather(*(send_all() for _ in range(8)))
        return Counter(up=round(air["up"] / self._reports), down=round(air["down"] / self._reports))


class CountingMeter(Lwm2mMeter):
    """Knows how long the newest request and answer were."""

    request_bytes = answer_bytes = 0

    def tell(self, datagram: bytes) -> None:
        if datagram[1] and datagram[1] >> 5 == 0:
            self.request_bytes = len(datagram)
        super().tell(datagram)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data[1] >> 5 == 2:  # an answer, not a request of the server
            self.answer_bytes = len(data)
        super().datagram_received(data, addr)


class CountingProtectedMeter(CountingMeter, ProtectedLwm2mMeter):
    """The same within OSCORE."""


class _AsUp:
    """What `City` needs of a running platform."""

    def __init__(self, under_test: Platform) -> None:
        self.data, self.instance = under_test.data, under_test.instance

    def nbwater(self, *arguments: str) -> Any:
        command = [sys.executable, "-m", "deploy", *arguments, "--data", str(self.data)]
        return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)


@asynccontextmanager
async def relay(port: int, air: Counter[str]) -> AsyncIterator[int]:
    """A port whose connections go on to `port`; bytes are counted."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(asyncio.CancelledError):  # the loop ends before the last connection
            await asyncio.gather(_copy(reader, inner_writer, air, "up"), _copy(inner_reader, writer, air, "down"))

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, air: Counter[str], way: str) -> None:
    while data := await reader.read(4096):
        air[way] += len(data)
        writer.write(data)
    writer.close()
