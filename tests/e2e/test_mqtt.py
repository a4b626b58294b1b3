"""A meter's report by MQTT through the whole platform, as `nbwater up` starts it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiomqtt
import asyncpg

from gateway.mqtt.topics import up as up_topic
from metering.credentials import CredentialKind, load_master_keys
from metering.settings import KeysSettings
from tests.e2e.running import DEADLINE_S, FRAME, IMEI, Up, until

PASSWORD = "of the meter"


async def give_password(up: Up) -> None:
    keys = load_master_keys(KeysSettings(master_file=str(up.data / "secrets" / "master.keys")))
    assert keys is not None
    kind, key_id, sealed = keys.seal(CredentialKind.MQTT, IMEI.encode(), PASSWORD.encode())
    connection = await asyncpg.connect(up.instance["database_url"])
    await connection.execute(
        "INSERT INTO credentials (device_id, kind, key_id, sealed, created_by) "
        "SELECT device_id, $2, $3, $4, 'test' FROM devices WHERE device = $1",
        IMEI, int(kind), key_id, sealed,
    )  # fmt: skip
    await connection.close()


async def publish(port: int) -> bool:
    try:
        client = aiomqtt.Client("127.0.0.1", port, username=IMEI, password=PASSWORD, identifier=IMEI)
        async with client:
            await client.publish(up_topic(IMEI), FRAME, qos=1)
    except aiomqtt.MqttError:
        return False
    return True


async def test_a_report_by_mqtt_reaches_the_database(start: Callable[..., Up]) -> None:
    up = start()
    port = up.instance["mqtt_port"]
    until(lambda: f"mqtt://127.0.0.1:{port}" in up.said, "its address is told")
    up.register()
    await give_password(up)
    async with asyncio.timeout(DEADLINE_S):
        while not await publish(port):  # noqa: ASYNC110 - until the gateway has heard of the password
            await asyncio.sleep(0.2)
    await up.until_counted("SELECT count(*) FROM reports WHERE door = 'mqtt' AND authentication = 'mqtt'", 1)
    done = up.nbwater("doctor")
    assert (done.returncode, done.stdout.count("ok  ")) == (0, 4), done.stdout + done.stderr
    assert "reaches its own two topics and no other's" in done.stdout
    assert "MQTT reports that no gateway has taken yet: 0, 0 % of its bound" in done.stdout
