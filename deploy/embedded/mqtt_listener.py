"""nats-server's own MQTT listener, as its configuration has it: who may log in is asked of the gateways (auth callout,
docs/decisions/0018-mqtt.md). Pure text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.mqtt.callout import ACCOUNT, CalloutKeys
from metering.errors import StartError
from metering.exposure import is_loopback, require_pair
from metering.settings import MqttSettings

USER = "mqtt"
"""The gateways' own login at the listener: they hear all meters and publish to all."""
AUTH_TIMEOUT_S = 5
"""For a login, the gateway's answer included."""


@dataclass(frozen=True, slots=True)
class MqttListener:
    """`password` is USER's, `callout_secret` as in `gateway.mqtt.callout`; `replicas`: copies of what it keeps."""

    host: str
    port: int
    password: str
    callout_secret: str
    certificate: str = ""
    key: str = ""
    max_inflight: int = 512
    replicas: int = 1

    @property
    def url(self) -> str:
        """Of a gateway on the same machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        place = f"[{host}]" if ":" in host else host
        return f"{'mqtts' if self.certificate else 'mqtt'}://{USER}:{self.password}@{place}:{self.port}"

    def block(self) -> str:
        tls = f"  tls {{ cert_file: {json.dumps(self.certificate)}, key_file: {json.dumps(self.key)}, timeout: 5 }}\n"
        place = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return f"""\
mqtt {{
  listen: {json.dumps(place)}
  max_ack_pending: {self.max_inflight}
  stream_replicas: {self.replicas}
  authorization {{ timeout: {AUTH_TIMEOUT_S} }}
{tls if self.certificate else ""}}}
"""

    def user(self) -> str:
        """Of `authorization.users`."""
        return (
            f"{{ user: {USER}, password: {json.dumps(self.password)}, allowed_connection_types: [MQTT], "
            'permissions: { publish: ["nbwater.v1.*.down"], subscribe: ["nbwater.v1.*.up"] } }'
        )

    def callout(self, others: Iterable[str]) -> str:
        """Of `authorization`: everybody but USER and `others` is asked about."""
        keys = CalloutKeys(self.callout_secret)
        users = json.dumps([USER, *others])
        asked = f'issuer: {keys.issuer}, xkey: {keys.xkey}, account: "{ACCOUNT}"'
        return f"  auth_callout {{ {asked}, auth_users: {users} }}\n"


def check_exposure(settings: MqttSettings) -> None:
    """Passwords never cross a network in the clear. Raises StartError where they would."""
    require_pair(settings.tls_certificate, settings.tls_key, "NBWATER_MQTT")
    if settings.tls_certificate or is_loopback(settings.host):
        return
    raise StartError(
        f"the MQTT listener's address {settings.host} (NBWATER_MQTT_HOST) is not loopback and needs TLS: set "
        "NBWATER_MQTT_TLS_CERTIFICATE and NBWATER_MQTT_TLS_KEY"
    )
