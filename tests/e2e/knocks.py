"""A meter's report through each door, by foreign clients where there are some: (city, meter, payload in CBOR).

What returns was acknowledged to the meter in the door's own terms.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable

import aiocoap
import cbor2

from simulators.lwm2m import Lwm2mMeter
from simulators.lwm2m_client import CHANGED, CREATED, LEGACY_DATA
from tests.e2e.city import APPLICATION_DATA, City, Meter
from tests.e2e.tunnel import Tunnel


async def by_plain(city: City, meter: Meter, payload: bytes) -> None:
    assert "2.04" in await city.libcoap("coap-client-notls", meter, payload)


async def by_oscore(city: City, meter: Meter, payload: bytes) -> None:
    assert (await city.post(meter, payload, protected=True)).code == aiocoap.CHANGED


async def by_dtls_openssl(city: City, meter: Meter, payload: bytes) -> None:
    assert "2.04" in await city.libcoap("coap-client-openssl", meter, payload)


async def by_dtls_gnutls(city: City, meter: Meter, payload: bytes) -> None:
    assert "2.04" in await city.libcoap("coap-client-gnutls", meter, payload)


async def _send(port: int, meter: Meter, payload: bytes) -> None:
    async with Lwm2mMeter("127.0.0.1", port, meter.client(data=payload)) as device:
        assert (await device.ask(device.client.register())).code == CREATED
        pack = cbor2.dumps([{0: APPLICATION_DATA, 8: payload}])
        assert (await device.ask(device.client.send(pack))).code == CHANGED


async def by_lwm2m_send(city: City, meter: Meter, payload: bytes) -> None:
    await _send(city.coap_port, meter, payload)


async def by_lwm2m_over_dtls(city: City, meter: Meter, payload: bytes) -> None:
    async with Tunnel(city.coaps_port, f"urn:imei:{meter.imei}", meter.psk.encode()) as tunnel:
        await _send(tunnel.port, meter, payload)


async def by_lwm2m_notification(city: City, meter: Meter, payload: bytes) -> None:
    async with Lwm2mMeter("127.0.0.1", city.coap_port, meter.client(data=payload)) as device:
        assert (await device.ask(device.client.register())).code == CREATED
        await device.until(lambda client: APPLICATION_DATA in client.observed)
        assert (await device.ask(device.client.notify(APPLICATION_DATA, payload, confirmable=True))).code == 0
        assert device.resets == 0


async def by_legacy(city: City, meter: Meter, payload: bytes) -> None:
    async with Lwm2mMeter("127.0.0.1", city.coap_port, meter.client(data=payload)) as device:
        assert (await device.ask(device.client.bind())).code == CHANGED
        await device.until(lambda client: LEGACY_DATA in client.observed)
        assert (await device.ask(device.client.notify(LEGACY_DATA, payload, confirmable=True))).code == 0
        assert device.resets == 0


async def by_mqtt(city: City, meter: Meter, payload: bytes) -> None:
    assert await city.mosquitto_pub(meter, payload) == 0


def ctwing_push(meter: Meter, payload: bytes) -> bytes:
    push = {"messageType": "dataReport", "topic": "v1/up/ad", "timestamp": 1_790_000_000_000, "IMEI": meter.imei}
    frame = {"APPdata": base64.b64encode(payload).decode()}
    return json.dumps({**push, "deviceId": f"ct-{meter.serial}", "productId": "1", "payload": frame}).encode()


async def by_ctwing(city: City, meter: Meter, payload: bytes) -> None:
    assert await city.curl("ctwing", ctwing_push(meter, payload)) == "200"


async def by_oceanconnect(city: City, meter: Meter, payload: bytes) -> None:
    service = {"serviceId": "Raw", "data": {"rawData": payload.hex()}, "eventTime": "20261101T034000Z"}
    push = {"notifyType": "deviceDataChanged", "deviceId": meter.imei, "service": service}
    assert await city.curl("oceanconnect", json.dumps(push).encode()) == "200"


async def by_iotda(city: City, meter: Meter, payload: bytes) -> None:
    notify = {
        "header": {"device_id": f"iotda-{meter.serial}", "node_id": meter.imei, "product_id": "1"},
        "body": {"topic": "up", "content": base64.b64encode(payload).decode()},
    }
    push = {"resource": "device.message", "event": "report", "notify_data": notify}
    assert await city.curl("iotda", json.dumps(push).encode()) == "200"


Send = Callable[[City, Meter, bytes], Awaitable[None]]
WITHOUT_KEY: dict[str, Send] = {
    "plain": by_plain,
    "lwm2m_send": by_lwm2m_send,
    "lwm2m_notification": by_lwm2m_notification,
    "legacy": by_legacy,
    "ctwing": by_ctwing,
    "oceanconnect": by_oceanconnect,
    "iotda": by_iotda,
}
WITH_KEY: dict[str, Send] = {
    "oscore": by_oscore,
    "dtls_openssl": by_dtls_openssl,
    "dtls_gnutls": by_dtls_gnutls,
    "lwm2m_over_dtls": by_lwm2m_over_dtls,
    "mqtt": by_mqtt,
}
DOORS = WITHOUT_KEY | WITH_KEY
