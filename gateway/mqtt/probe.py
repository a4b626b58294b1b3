"""What a broker lets strangers and meters do, tried on it: the door opens to none that lets them do too much.

With the rights of a meter, as PROBE, and beside it those of the gateway: what the meter publishes to its own topic must
arrive, what it publishes to another's must not, and the same the other way round.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiomqtt

from gateway.mqtt.endpoints import Endpoint
from gateway.mqtt.topics import PROBE, down, up
from metering.errors import StartError, UnavailableError

TIMEOUT_S = 10.0
GRACE_S = 1.0
"""How long after one's own message a foreign one may still come."""
NOT_AUTHORISED = frozenset({4, 5, 0x86, 0x87})
"""CONNACK of MQTT 3.1.1 and of MQTT 5: bad user name or password, not authorised."""
PROBE_FOREIGN = "nbwater-probe-other"


async def require_no_strangers(endpoint: Endpoint, context: ssl.SSLContext | None) -> None:
    """Raises StartError for a broker that lets in somebody without a login, or with a wrong one; UnavailableError for
    one that is away."""
    wrong = endpoint._replace(user=f"nobody-{secrets.token_hex(4)}", password=secrets.token_hex(8))
    for stranger, who in ((endpoint._replace(user="", password=""), "without a login"), (wrong, "with any login")):
        try:
            async with _client(stranger, f"nbwater-{secrets.token_hex(8)}", context):
                pass
        except aiomqtt.MqttError as error:
            _must_be_refusal(endpoint, error)
        else:
            raise StartError(
                f"the MQTT broker at {endpoint.place} lets in meters {who}: it must ask for their passwords"
            )


async def require_rights(endpoint: Endpoint, password: str, context: ssl.SSLContext | None) -> None:
    """Raises StartError for a broker where PROBE, who logs in with `password` and has the rights of a meter, reaches
    another meter's topics, or not its own; UnavailableError for one that is away."""
    meter = endpoint._replace(user=PROBE, password=password)
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            _client(meter, PROBE, context) as ours,
            _gateway(endpoint, context) as its,
        ):
            await _one_way(ours, its, up(PROBE), up(PROBE_FOREIGN), "publishes to another meter's topic", endpoint)
            await _one_way(its, ours, down(PROBE), down(PROBE_FOREIGN), "hears another meter's commands", endpoint)
    except TimeoutError:
        raise StartError(
            f"the MQTT broker at {endpoint.place} does not pass on what the probe publishes to its own topic"
        ) from None
    except aiomqtt.MqttError as error:
        raise UnavailableError(f"the MQTT broker at {endpoint.place} cannot be tried: {error}") from error


async def end_session(endpoint: Endpoint, client_id: str, context: ssl.SSLContext | None) -> None:
    """End the connection and the session of a client id, by taking it over (MQTT 3.1.1 section 3.1.4) with a clean
    session. Raises UnavailableError."""
    try:
        async with asyncio.timeout(TIMEOUT_S), _client(endpoint, client_id, context):
            pass
    except (aiomqtt.MqttError, TimeoutError) as error:
        raise UnavailableError(f"the MQTT broker at {endpoint.place}: {str(error) or type(error).__name__}") from error


def _client(endpoint: Endpoint, client_id: str, context: ssl.SSLContext | None) -> aiomqtt.Client:
    return aiomqtt.Client(
        endpoint.host,
        endpoint.port,
        username=endpoint.user or None,
        password=endpoint.password or None,
        identifier=client_id,
        clean_session=True,
        protocol=aiomqtt.ProtocolVersion.V311,
        tls_context=context if endpoint.tls else None,
        timeout=TIMEOUT_S,
    )


@asynccontextmanager
async def _gateway(endpoint: Endpoint, context: ssl.SSLContext | None) -> AsyncIterator[aiomqtt.Client]:
    """Beside the gateway's session, hence with a client id of its own."""
    async with _client(endpoint, f"nbwater-probe-{secrets.token_hex(8)}", context) as client:
        yield client


async def _one_way(
    sender: aiomqtt.Client, hearer: aiomqtt.Client, own: str, foreign: str, what: str, endpoint: Endpoint
) -> None:
    """`hearer` asks for both topics, `sender` publishes to both: what is for `own` must arrive, the other not."""
    token = secrets.token_bytes(16)
    for topic in (own, foreign):
        await hearer.subscribe(topic, qos=1)
    for topic in (foreign, own):
        await sender.publish(topic, token, qos=1)
    heard: set[str] = set()
    while own not in heard:
        heard.add(await _next(hearer, token))
    try:
        async with asyncio.timeout(GRACE_S):
            while foreign not in heard:
                heard.add(await _next(hearer, token))
    except TimeoutError:
        return
    raise StartError(
        f"the MQTT broker at {endpoint.place} has no access list: with a meter's login one {what}. "
        "`nbwater mqtt acl` prints one"
    )


async def _next(hearer: aiomqtt.Client, token: bytes) -> str:
    async for message in hearer.messages:
        if message.payload == token:
            return message.topic.value
    raise aiomqtt.MqttError("the connection ended")


def _must_be_refusal(endpoint: Endpoint, error: aiomqtt.MqttError) -> None:
    code = getattr(getattr(error, "rc", None), "value", getattr(error, "rc", None))
    if code not in NOT_AUTHORISED:
        raise UnavailableError(f"the MQTT broker at {endpoint.place} cannot be tried: {error}") from error
