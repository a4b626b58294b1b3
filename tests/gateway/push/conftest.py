"""A gateway process with its push door open, and curl as the platform."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.js import JetStreamContext

from deploy.embedded.ports import free_tcp_port
from tests.gateway.conftest import ENTRIES, IMEI, GatewayProcess, StartGateway, write_snapshot

PUSH = {
    "upPacketSN": -1, "upDataSN": -1, "topic": "v1/up/ad", "timestamp": 1606093200000, "tenantId": "1",
    "serviceId": "", "protocol": "lwm2m", "productId": "10053421", "payload": {"APPdata": "aBBEMyIRADN4gQ=="},
    "messageType": "dataReport", "deviceType": "", "deviceId": "44d0b9e48d404094bbbcf889e4e64ece", "assocAssetId": "",
    "IMSI": "undefined", "IMEI": IMEI,
}  # fmt: skip
"""As PROTOCOLS C has it, of a device the gateway knows."""


def body_of(number: int, **fields: object) -> bytes:
    """A push like `PUSH`, each with its own timestamp."""
    return json.dumps({**PUSH, "timestamp": PUSH["timestamp"] + number, **fields}).encode()


@dataclass
class PushGateway:
    gateway: GatewayProcess
    port: int
    secret: str
    directory: Path
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/push/{self.secret}"

    async def post(self, body: bytes, **options: Any) -> int:
        async with httpx.AsyncClient(timeout=60) as client:
            return (await client.post(self.url, content=body, **options)).status_code

    async def metric(self, name: str) -> float:
        return await self.gateway.metric(f"nbwater_gateway_push_{name}")


async def curl(*arguments: str) -> tuple[str, str]:
    """The HTTP status that curl saw (000: none), and what it said."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "60", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return out.decode(), err.decode()


def product(name: str = "east", platform: str = "ctwing", secret: str = "", **fields: object) -> str:
    """A table of the products file."""
    lines = {"name": name, "platform": platform, "secret_path": secret or secrets.token_urlsafe(24), **fields}
    return "[[products]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())


StartPush = Callable[..., Awaitable[PushGateway]]


@pytest.fixture
async def start_push(
    js: JetStreamContext, start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> StartPush:
    """`products`: text of the file, else one CTWing product. `settings`: of the table `push`."""
    await write_snapshot(js, ENTRIES)
    secret, port, directory = secrets.token_urlsafe(24), free_tcp_port(), tmp_path / "push"

    async def start(
        products: str = "", ready: bool = True, gateway: dict[str, Any] | None = None, **settings: object
    ) -> PushGateway:
        file = tmp_path / "products.toml"
        file.write_text(products or product(secret=secret))
        settings = {"port": port, "directory": directory, "products_file": file, **settings}
        for name, value in settings.items():
            monkeypatch.setenv(f"NBWATER_PUSH_{name.upper()}", str(value))
        process = await start_gateway(ready=ready, **(gateway or {}))
        return PushGateway(process, port, secret, directory, "https" if "tls_key" in settings else "http")

    return start
