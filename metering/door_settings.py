"""Settings of the doors beside the plain CoAP port. Read them by `metering.settings`, which knows all sections."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from metering.section import Section

_OBJECT_PATH = r"^/\d{1,5}(/\d{1,5}){0,2}$"
_RESOURCE_OR_NONE = r"^(/\d{1,5}/\d{1,5}/\d{1,5})?$"


class PushSettings(Section):
    """The HTTPS door for the pushes of operator platforms; closed while no products are configured."""

    table = "push"
    model_config = SettingsConfigDict(env_prefix="NBWATER_PUSH_", extra="forbid", frozen=True)
    products_file: str = Field("", description="TOML file of the products that push (`nbwater push add-product`)")
    host: str = Field("127.0.0.1", description="Address of the push port; one that is not loopback needs TLS")
    port: int = Field(8443, ge=0, le=65535, description="TCP port of the pushes; 0 takes a free one")
    tls_certificate: str = Field("", description="PEM file; with tls_key serves HTTPS; read again when it changes")
    tls_key: str = Field("", description="PEM file of the private key")
    client_ca: str = Field("", description="PEM file of who signs the platforms' certificates: mutual TLS")
    directory: str = Field("", description="Private directory of what the door keeps on disk: spool, open commands")
    spool_max_bytes: int = Field(1 << 30, ge=1 << 16, description="Bound of the spool; at it platforms get 503")
    deadline_s: float = Field(8.0, gt=0, le=14, description="Without PubAck so long a push is answered from the spool")
    max_connections: int = Field(512, ge=1, le=10_000, description="Connections at once; more are closed unread")
    messages_per_second_per_product: float = Field(
        1000.0, gt=0, le=100_000, description="Messages a product may push; more wait a little, beyond that get 429"
    )
    ca: str = Field("", description="PEM file of who signed the platforms' command APIs; empty: the system's")


class OscoreSettings(Section):
    """OSCORE (RFC 8613) on the CoAP port; it is open where there is a master key."""

    table = "oscore"
    model_config = SettingsConfigDict(env_prefix="NBWATER_OSCORE_", extra="forbid", frozen=True)
    directory: str = Field(
        "",
        description="Directory of this host (0700) where replay windows survive a restart; empty: "
        "gateway.workers_directory, else nowhere",
    )
    first_contact: str = Field(
        "echo",
        pattern="^(echo|accept)$",
        description="A meter without a replay window: echo asks it to repeat its request, accept takes its word "
        "(for firmware without RFC 9175)",
    )


class DtlsSettings(Section):
    """CoAP over DTLS, open where there are master keys for the meters' pre-shared keys."""

    table = "dtls"
    model_config = SettingsConfigDict(env_prefix="NBWATER_DTLS_", extra="forbid", frozen=True)
    enabled: bool = Field(True, description="false: the port stays closed, whatever keys there are")
    host: str = Field("::", description="Address of the DTLS port; :: is all addresses, IPv4 included")
    port: int = Field(
        5684,
        ge=0,
        le=65535,
        description="UDP port of CoAP over DTLS; 0, or none given beside gateway.port 0: a free one",
    )
    max_sessions: int = Field(
        100_000, ge=1, description="Sessions kept, about 1 KB each; beyond it the least recently used goes"
    )
    idle_timeout_h: float = Field(72.0, gt=0, description="A session that was not used this long is forgotten")
    max_handshakes: int = Field(256, ge=1, le=10_000, description="Handshakes open at once, about 100 KB each")
    handshakes_per_second: float = Field(300.0, gt=0, description="Handshakes begun a second, of all sources")
    handshakes_per_second_per_prefix: float = Field(
        50.0, gt=0, description="Handshakes begun a second by one source prefix (/24, /64)"
    )
    sessions_file: str = Field(
        "", description="File in which sessions outlive a restart, sealed with the master key; empty: they do not"
    )


class MqttSettings(Section):
    """The MQTT door: nats-server's listener, or a broker in front. Closed until there is a url."""

    table = "mqtt"
    model_config = SettingsConfigDict(env_prefix="NBWATER_MQTT_", extra="forbid", frozen=True)
    url: SecretStr = Field(
        SecretStr(""),
        description="mqtt://user:password@host:port (mqtts:// with TLS) of the gateway's own login, several with "
        "commas; empty: `nbwater up` knows its listener, and elsewhere the door is closed",
    )
    broker: str = Field(
        "nats",
        pattern="^(nats|external)$",
        description="nats: nats-server's listener; external: a broker with MQTT 5, such as Mosquitto or EMQX",
    )
    tls_ca: str = Field("", description="PEM file of who signed the broker's certificate; empty: the system's")
    tls_check_name: bool = Field(
        True, description="The certificate must name the host of url; false where tls_ca is the certificate itself"
    )
    callout_secret: SecretStr = Field(
        SecretStr(""), description="64 hexadecimal digits that sign logins at nats-server's listener (auth callout)"
    )
    session_s: int = Field(
        3600, ge=5, le=86_400, description="nats-server ends a meter's connection after this; it may come again at once"
    )
    failed_logins_per_minute: float = Field(
        6.0, gt=0, description="Wrong logins of one user name from one source prefix; beyond them all are refused"
    )
    max_payload_bytes: int = Field(16_384, ge=64, le=262_144, description="Largest report by MQTT")
    max_inflight: int = Field(
        512, ge=1, le=20_000, description="Reports from the broker that wait for custody in one gateway process"
    )
    probe_password: SecretStr = Field(
        SecretStr(""),
        description="Password of the login `nbwater-probe` at an external broker, which has a meter's rights: they are "
        "tried before the door opens",
    )
    host: str = Field("127.0.0.1", description="Address of the listener of `nbwater up`; beyond loopback it needs TLS")
    port: int = Field(
        1883, ge=0, le=65535, description="TCP port of that listener (8883 is usual with TLS); 0: a free one"
    )
    tls_certificate: str = Field("", description="PEM file; with tls_key that listener speaks TLS only")
    tls_key: str = Field("", description="PEM file of the private key")


class Lwm2mModel(BaseModel):
    """What is particular to one model of meter."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    awake_s: float = Field(0.0, ge=0, le=3600, description="Awake window of queue mode; 0: lwm2m.awake_s")
    valve: str = Field("", pattern=_RESOURCE_OR_NONE, description="Boolean resource that closes the valve")
    valve_inverted: bool = Field(False, description="The resource's 1 is open")
    plan: str = Field("opaque", pattern="^(opaque|attributes)$", description="How a reporting plan is set")


class Lwm2mSettings(Section):
    """LwM2M and the older direct CoAP (/t/r, /t/d) on the CoAP port."""

    table = "lwm2m"
    model_config = SettingsConfigDict(env_prefix="NBWATER_LWM2M_", extra="forbid", frozen=True)
    enabled: bool = Field(True, description="Whether meters may register; who may is decided as for plain reports")
    observe: tuple[Annotated[str, Field(pattern=_OBJECT_PATH)], ...] = Field(
        ("/19/0/0", "/3424", "/3411", "/3412", "/4", "/10266"),
        max_length=100,
        description="Paths observed where a client offers them; a bare object means each of its instances",
    )
    observe_composite: bool = Field(
        True, description="Observe these paths of a client of LwM2M 1.2 all at once, application data apart"
    )
    read: tuple[Annotated[str, Field(pattern=_OBJECT_PATH)], ...] = Field(
        ("/3/0",), max_length=20, description="Paths read once after each registration"
    )
    awake_s: float = Field(
        93.0, gt=0, le=3600, description="How long a client in queue mode listens after it was heard"
    )
    models: dict[str, Lwm2mModel] = Field(
        {}, description="By maker and model as the registry names it: awake_s, valve, valve_inverted, plan"
    )
    grace_s: int = Field(300, ge=0, description="A registration lives so long beyond its lifetime")
    ack_timeout_s: float = Field(
        10.0, gt=0, le=60, description="Before a request to a meter is sent again, three times in all"
    )
    send_fresh_s: float = Field(
        600.0,
        gt=0,
        description="In plain a Send without `ep` is its sender's who was heard from that address and port so lately",
    )
    hand_again_s: float = Field(
        3600.0, gt=0, description="A command that arrived and whose end the meter has not told is sent again after this"
    )
    requests_per_second: float = Field(
        200.0, gt=0, description="Registrations, updates and Sends a second from one source prefix (/24, /64)"
    )
    bootstrap: bool = Field(
        False, description="Give keys and address at /bs to clients that DTLS or OSCORE vouches for"
    )
    bootstrap_uri: str = Field("", description="coaps://host:port or coap://host:port that such clients are given")
    enrol_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        (),
        description="From these networks a known device may bootstrap in plain, once; its key can be read on the way",
    )
    enrol_until: datetime = Field(
        datetime(2000, 1, 1, tzinfo=UTC), description="End of that enrolment, with time zone; past: nobody may"
    )
    max_sessions: int = Field(20_000, ge=1, description="Clients that listen, kept in memory; the longest silent go")
