"""A running `nbwater up` with every door open, its meters and their keys, foreign clients, and people who command."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiocoap
import asyncpg
import httpx
import pytest
from aiocoap import oscore

from gateway.mqtt.topics import up as up_topic
from simulators.keys import key_row
from simulators.lwm2m_client import ANJAY, LEGACY_DATA, Client
from tests.e2e.running import DEADLINE_S, Up
from tests.gateway.push.north.stub import APPLICATION, MASTER_KEY, SECRET, StubPlatform

APPLICATION_DATA = "/19/0/0"
STYLE = ANJAY._replace(links="</1/1>,</3/0>,</19/0>,</19/1>", composite=False)
PLATFORMS = ("ctwing", "oceanconnect", "iotda")
PATIENCE_S = 60


class Meter(NamedTuple):
    """`number` makes the meter; its keys for each door follow from its serial."""

    number: int

    @property
    def serial(self) -> str:
        return f"4340450{self.number:05d}"

    @property
    def imei(self) -> str:
        return f"8612345{self.number:08d}"

    @property
    def psk(self) -> str:
        return f"psk-{self.serial}"

    @property
    def password(self) -> str:
        return f"of-meter-{self.serial}"

    def client(self, **values: bytes) -> Client:
        """`values`: of the application data, for now."""
        held = {APPLICATION_DATA: (42, values.get("data", b"")), LEGACY_DATA: (42, values.get("data", b""))}
        return Client(f"urn:imei:{self.imei}", STYLE, held)


async def run(*command: str) -> tuple[int, str]:
    """Exit code and all that it said."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"NOT RUN: {command[0]} is not installed (deploy/test_tools.sh)")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode or 0, out.decode("utf-8", "replace")


async def until(condition: Callable[[], Awaitable[Any]], what: str, pause_s: float = 0.2) -> Any:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not (found := await condition()):  # noqa: ASYNC110 - a database tells no event
                await asyncio.sleep(pause_s)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_S} s: {what}") from None
    return found


@contextmanager
def open_city(stub: StubPlatform, **environment: str) -> Iterator[City]:
    """With a product of each platform whose commands go to `stub`; ended with the block.

    On a directory of its own: pytest takes back, whenever another run of it begins, the right to pass through its own
    directories, which the database's user needs to start again.
    """
    directory = Path(tempfile.mkdtemp(prefix="nbwater-city-"))
    data = directory / "data"
    (data / "secrets").mkdir(parents=True, mode=0o700)
    paths = {platform: f"/push/secret-path-of-{platform}" for platform in PLATFORMS}
    products = data / "secrets" / "push.toml"
    products.write_text("".join(_product(name, stub) for name in PLATFORMS))
    products.chmod(0o600)
    up = Up(data, NBWATER_PUSH_PORT="0", NBWATER_LWM2M_ACK_TIMEOUT_S="2", **environment)
    city = City(up, paths, directory)
    try:
        yield city
    finally:
        city.forget_contexts()
        if up.process.poll() is None:
            up.end()
        shutil.rmtree(directory, ignore_errors=True)


def _product(name: str, stub: StubPlatform) -> str:
    api = {"url": stub.url, "application": APPLICATION, "secret": SECRET, "master_key": MASTER_KEY, "project_id": "p"}
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in api.items())
    product = f'name = "{name}"\nplatform = "{name}"\nsecret_path = "secret-path-of-{name}"\n'
    return f"[[products]]\n{product}[products.commands]\n{lines}"


class City:
    """`paths`: of the pushes of each platform. `directory`: for files of the clients."""

    def __init__(self, up: Up, paths: dict[str, str], directory: Path) -> None:
        self.up, self.paths, self.directory = up, paths, directory
        self._contexts: dict[Meter, oscore.FilesystemSecurityContext] = {}

    # Ports

    @property
    def coap_port(self) -> int:
        return int(self.up.instance["coap_port"])

    @property
    def coaps_port(self) -> int:
        return int(self.up.instance["coaps_port"])

    @property
    def mqtt_port(self) -> int:
        return int(self.up.instance["mqtt_port"])

    @property
    def push_url(self) -> str:
        return f"http://127.0.0.1:{self.up.instance['programs']['gateway']['push_port']}"

    def forget_contexts(self) -> None:
        """While their directories are there: aiocoap writes a context down when it is collected."""
        self._contexts.clear()
        gc.collect()

    # What people do

    def nbwater(self, *arguments: str) -> str:
        done = self.up.nbwater(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def import_meters(self, meters: Sequence[Meter], pushers: str = "") -> None:
        """`pushers`: the products that may push for them, else all; ``-``: none."""
        pushers = pushers or " ".join(self.paths)
        lines = ["serial,imei,pushers", *(f"{meter.serial},{meter.imei},{pushers}" for meter in meters)]
        self._import("meters", lines)

    def import_keys(self, meters: Sequence[Meter]) -> None:
        """All three kinds each."""
        lines = ["serial,kind,key_id,key"]
        for meter in meters:
            row = key_row(meter.serial)
            lines.append(f"{meter.serial},oscore,{row['key_id']},{row['key']}")
            lines.append(f"{meter.serial},psk,urn:imei:{meter.imei},{meter.psk.encode().hex()}")
            lines.append(f"{meter.serial},mqtt,,{meter.password}")
        self._import("keys", lines)

    def _import(self, what: str, lines: Sequence[str]) -> None:
        file = self.directory / f"{what}.csv"
        file.write_text("\n".join((*lines, "")))
        self.nbwater(what, "import", str(file))

    async def until_keyed(self, meter: Meter) -> None:
        """The gateway knows the meter and that it has a key."""

        async def refused() -> bool:
            return (await self.post(meter, b"\xa1\x00\x01")).code.dotted == "4.01"

        await until(refused, f"the gateway knows the keys of {meter.imei}")

    async def rows(self, query: str, *arguments: object) -> list[Any]:
        connection = await asyncpg.connect(self.up.instance["database_url"])
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    # Plain CoAP and OSCORE: aiocoap

    async def post(self, meter: Meter, payload: bytes, path: str = "", *, protected: bool = False) -> aiocoap.Message:
        """A report in CBOR; the answer."""
        context = await aiocoap.Context.create_client_context(transports=["oscore", "udp6"])
        uri = f"coap://127.0.0.1:{self.coap_port}/r/{path or meter.imei}"
        if protected:
            context.client_credentials[f"coap://127.0.0.1:{self.coap_port}/*"] = self._context(meter)
        request = aiocoap.Message(code=aiocoap.POST, uri=uri, payload=payload, content_format=60)
        try:
            return await asyncio.wait_for(context.request(request).response, PATIENCE_S)
        finally:
            await context.shutdown()

    def _context(self, meter: Meter) -> oscore.FilesystemSecurityContext:
        if meter not in self._contexts:
            directory = self.directory / f"oscore-{meter.serial}"
            directory.mkdir()
            row = key_row(meter.serial)
            settings = {"sender-id_hex": row["key_id"], "recipient-id_hex": "", "secret_hex": row["key"]}
            (directory / "settings.json").write_text(json.dumps(settings))
            self._contexts[meter] = oscore.FilesystemSecurityContext(str(directory))
        return self._contexts[meter]

    # libcoap, with DTLS and without

    async def libcoap(
        self, client: str, meter: Meter, payload: bytes, key: str = "", path: str = "", answer: str = ""
    ) -> str:
        """What the client says. `answer`: a file for the answer's payload."""
        file = self.directory / f"report-{meter.serial}"
        file.write_bytes(payload)
        secure = ("-u", f"urn:imei:{meter.imei}", "-k", key or meter.psk) if not client.endswith("notls") else ()
        where = f"coaps://127.0.0.1:{self.coaps_port}" if secure else f"coap://127.0.0.1:{self.coap_port}"
        _, said = await run(
            client, "-v", "6", "-m", "post", "-t", "60", "-f", str(file), "-B", "20", *secure,
            *(("-o", answer) if answer else ()), f"{where}/r/{path or meter.imei}",
        )  # fmt: skip
        return said

    # MQTT and push

    async def mosquitto_pub(
        self, meter: Meter, payload: bytes, password: str = "", topic_of: Meter | None = None
    ) -> int:
        file = self.directory / f"report-{meter.serial}"
        file.write_bytes(payload)
        code, _ = await run(
            "mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.mqtt_port), "-i", meter.imei, "-u", meter.imei,
            "-P", password or meter.password, "-q", "1", "-t", up_topic((topic_of or meter).imei), "-f", str(file),
        )  # fmt: skip
        return code

    async def curl(self, platform: str, body: bytes, path: str = "") -> str:
        """The status."""
        file = self.directory / "push.json"
        file.write_bytes(body)
        _, said = await run(
            "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Content-Type: application/json",
            "--data-binary", f"@{file}", f"{self.push_url}{path or self.paths[platform]}",
        )  # fmt: skip
        return said

    # Commands

    async def token(self, person: str) -> dict[str, str]:
        """Of an engineer of this login."""
        await self.rows("INSERT INTO users (login, password_hash, role) VALUES ($1, 'none', 'engineer')", person)
        token = self.nbwater("tokens", "create", person, "--login", person, "--role", "engineer").strip()
        return {"Authorization": f"Bearer {token}"}

    async def file(self, meter: Meter, kind: str, who: dict[str, str], **more: Any) -> str:
        """The id of the command."""
        url = f"{self.up.instance['api_url']}/api/v1/commands"
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            filed = await client.post(url, json={"serials": [meter.serial], "kind": kind, **more}, headers=who)
            assert filed.status_code == 201, filed.text
        return str(filed.json()[0])

    async def approve(self, command_id: str, who: dict[str, str]) -> None:
        url = f"{self.up.instance['api_url']}/api/v1/commands/{command_id}/approve"
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            done = await client.post(url, json={}, headers=who)
        assert done.status_code == 200, done.text

    async def states(self, *command_ids: str) -> list[str]:
        wanted = [int(command_id, 16) for command_id in command_ids]
        rows = await self.rows("SELECT command_id, state FROM commands WHERE command_id = ANY($1::bigint[])", wanted)
        found = {row["command_id"]: row["state"] for row in rows}
        return [found[number] for number in wanted]

    async def kill_gateway(self) -> None:
        """With -9; it is back, and knows its meters, when this returns."""

        pid, times = self.up.pids()["gateway"], self.up.said.count("gateway is back")
        os.kill(pid, signal.SIGKILL)
        await until(lambda: asyncio.sleep(0, self.up.said.count("gateway is back") > times), "gateway is back")
