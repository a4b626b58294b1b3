"""Settings: one small class per concern, read from the environment (``NBWATER_<SECTION>_<FIELD>``) over a TOML file
(``NBWATER_CONFIG``, one table per section) over defaults. `nbwater config print` shows them all with their comments.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict

from metering.consumption_settings import (
    BillingSettings,
    CompletenessSettings,
    ConsumptionSettings,
    OutageSettings,
)
from metering.district_settings import DistrictSettings
from metering.door_settings import (
    DtlsSettings,
    Lwm2mModel,
    Lwm2mSettings,
    MqttSettings,
    OscoreSettings,
    PushSettings,
)
from metering.errors import SettingsError
from metering.firmware_settings import FirmwareSettings
from metering.leak_settings import LeakSettings
from metering.section import Section

__all__ = [
    "SECTIONS",
    "ApiSettings",
    "BillingSettings",
    "CommandSettings",
    "CompletenessSettings",
    "ConsumptionSettings",
    "DatabaseSettings",
    "DistrictSettings",
    "DtlsSettings",
    "FirmwareSettings",
    "GatewaySettings",
    "IngestSettings",
    "KeysSettings",
    "LeakSettings",
    "LogSettings",
    "Lwm2mModel",
    "Lwm2mSettings",
    "MqttSettings",
    "NatsSettings",
    "OscoreSettings",
    "OutageSettings",
    "PushSettings",
    "Section",
    "SettlementSettings",
    "UtilitySettings",
    "load",
    "unknown_variables",
]  # fmt: skip


class UtilitySettings(Section):
    """The water utility whose meters these are."""

    table = "utility"
    model_config = SettingsConfigDict(env_prefix="NBWATER_UTILITY_", extra="forbid", frozen=True)
    name_zh: str = Field("葫芦岛供水", description="Name of the utility in Chinese, shown on every page")
    name_en: str = Field("Huludao Water", description="Name of the utility in English, shown on every page")
    timezone: str = Field("Asia/Shanghai", description="IANA time zone in which billing days begin")
    water_price: float = Field(3.0, ge=0, description="Price of a cubic metre by which lost water is valued")
    currency: str = Field("CNY", pattern="^[A-Z]{3}$", description="Of that price, by ISO 4217")

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is not an IANA time zone") from error
        return value

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class DatabaseSettings(Section):
    """PostgreSQL, with or without TimescaleDB."""

    table = "database"
    model_config = SettingsConfigDict(env_prefix="NBWATER_DATABASE_", extra="forbid", frozen=True)
    url: SecretStr = Field(SecretStr(""), description="postgresql://user:password@host:port/database; empty: embedded")


class NatsSettings(Section):
    """The stream."""

    table = "nats"
    model_config = SettingsConfigDict(env_prefix="NBWATER_NATS_", extra="forbid", frozen=True)
    url: SecretStr = Field(
        SecretStr(""), description="nats://user:password@host:port, several with commas; empty: embedded"
    )
    monitor_url: str = Field(
        "",
        description="http://host:port of nats-server's monitoring, several with commas; empty: sync_interval is not "
        "checked",
    )
    tls_ca: str = Field("", description="PEM file of who signed the servers' certificates; empty: no TLS")
    up_max_bytes: int = Field(
        8 << 30, ge=1 << 20, description="Bound of the report stream in bytes; at it meters get 5.03"
    )
    mqtt_max_bytes: int = Field(
        1 << 30,
        ge=0,
        description="Bound of what the server's MQTT listener keeps until gateways have taken it; at it meters get no "
        "PUBACK; 0: that listener is not used",
    )
    replicas: int = Field(1, ge=1, le=5, description="Copies of each stream in the NATS cluster")
    partitions: int = Field(1, ge=1, le=64, description="Partitions of the report stream; all programs must agree")


class KeysSettings(Section):
    """The master key that seals device keys."""

    table = "keys"
    model_config = SettingsConfigDict(env_prefix="NBWATER_KEYS_", extra="forbid", frozen=True)
    master_file: str = Field(
        "", description="File of master keys, a line `number key` each (64 hexadecimal digits); the highest seals"
    )
    master: SecretStr = Field(SecretStr(""), description="One master key instead of the file, 64 hexadecimal digits")


class GatewaySettings(Section):
    """The CoAP gateway."""

    table = "gateway"
    model_config = SettingsConfigDict(env_prefix="NBWATER_GATEWAY_", extra="forbid", frozen=True)
    host: str = Field("::", description="Address of the CoAP port; :: is all addresses, IPv4 included")
    port: int = Field(5683, ge=0, le=65535, description="UDP port of CoAP; 0 takes a free one")
    workers: int = Field(1, ge=1, le=64, description="Gateway processes on the CoAP port (SO_REUSEPORT)")
    worker: int = Field(0, ge=0, lt=64, description="Which of them this process is; set by whoever starts them")
    workers_directory: str = Field(
        "", description="Private directory (0700) of the workers of a host; set by whoever starts them"
    )
    batch_ms: float = Field(4.0, gt=0, le=1000, description="How long reports are collected before they are published")
    publish_timeout_s: float = Field(5.0, gt=0, description="After this without PubAck the meter gets 5.03")
    max_inflight_batches: int = Field(8, ge=1, le=256, description="Batches published and not yet acknowledged")
    max_pending_reports: int = Field(20_000, ge=1, description="Reports waiting for custody; beyond it meters get 5.03")
    max_payload_bytes: int = Field(
        1024, ge=64, le=65_000, description="Largest report in one datagram; larger gets 4.13"
    )
    retry_after_s: int = Field(60, ge=1, description="Max-Age of 5.03")
    refusals_per_second: float = Field(20.0, gt=0, description="Refusals a second to one source prefix (/24, /64)")
    metrics_host: str = Field("127.0.0.1", description="Address of /metrics, /healthz and /readyz")
    metrics_port: int = Field(9101, ge=0, le=65535, description="TCP port of /metrics; 0 takes a free one")


class IngestSettings(Section):
    """The ingest worker."""

    table = "ingest"
    model_config = SettingsConfigDict(env_prefix="NBWATER_INGEST_", extra="forbid", frozen=True)
    partition: int = Field(0, ge=0, description="Partition this worker takes")
    fetch_batches: int = Field(128, ge=1, le=1000, description="Stream messages taken into one transaction at most")
    lease_s: float = Field(10.0, gt=1, description="A worker that is silent this long loses its partition")
    repeat_window_s: int = Field(
        600, ge=60, description="Same content without a counter of its own within this is a repeat"
    )
    sequence_window_s: int = Field(30 * 86400, ge=60, description="Same counter and content within this is a repeat")
    meter_mismatch: str = Field(
        "dead_letter",
        pattern="^(dead_letter|store)$",
        description="A frame that names another meter than the one installed",
    )
    mappings: str = Field(
        "", description="Directory of *.toml files that describe further payload formats; empty: none"
    )
    cjt188_profiles: str = Field(
        "",
        pattern=r"^$|^ *\d{4} *= *\w+ *(, *\d{4} *= *\w+ *)*$",
        description="How makers mean the status bytes of CJ/T 188, `7833=flags, 1234=high_bits`: highest four digits "
        "of the address = standard, flags or high_bits",
    )
    mbus_keys: str = Field(
        "",
        description="File of AES keys of wireless M-Bus meters, a line `SEN33225544 key` each (32 hexadecimal digits)",
    )
    lwm2m_interval_byte_order: str = Field(
        "big",
        pattern="^(big|little)$",
        description="Byte order tried first in payloads of LwM2M objects 10266-10285, which do not say theirs",
    )
    lwm2m_flow_unit_ml: int = Field(
        0, ge=0, le=10**9, description="Millilitres of one count of object 10266; 0: not known, flows are only kept"
    )
    keep_stream_h: float = Field(
        48.0, ge=0, description="Oldest restorable backup: the trimmer keeps the stream this far back"
    )
    metrics_host: str = Field("127.0.0.1", description="Address of /metrics, /healthz and /readyz")
    metrics_port: int = Field(9102, ge=0, le=65535, description="TCP port of /metrics; 0 takes a free one")


class SettlementSettings(Section):
    """Settlement, leak rules, silence and retention."""

    table = "settlement"
    model_config = SettingsConfigDict(env_prefix="NBWATER_SETTLEMENT_", extra="forbid", frozen=True)
    every_s: float = Field(
        2.0, gt=0, description="Pause between settlement rounds; at most a third of lease_s is taken"
    )
    lease_s: float = Field(
        60.0, ge=3, description="A process that settles and is silent this long makes room for one that stands by"
    )
    silence_after_h: float = Field(25.0, gt=0, description="A meter that has not reported this long raises an alert")
    keep_raw_days: int = Field(
        400, ge=1, description="Retention of raw report bytes; on TimescaleDB its own policy decides"
    )
    metrics_host: str = Field("127.0.0.1", description="Address of /metrics, /healthz and /readyz")
    metrics_port: int = Field(9103, ge=0, le=65535, description="TCP port of /metrics; 0 takes a free one")


class LogSettings(Section):
    """What programs write to their logs."""

    table = "log"
    model_config = SettingsConfigDict(env_prefix="NBWATER_LOG_", extra="forbid", frozen=True)
    follow_one_in: int = Field(
        1024, ge=0, description="One report in so many has a log line at each stage; 0: none, 1: all (for a trial)"
    )


class CommandSettings(Section):
    """Commands to meters, and how many valves may be closed."""

    table = "commands"
    model_config = SettingsConfigDict(env_prefix="NBWATER_COMMANDS_", extra="forbid", frozen=True)
    ttl_h: float = Field(48.0, gt=0, le=744, description="A command that was not carried out so long after expires")
    max_open: int = Field(100_000, ge=1, description="Commands that may wait at a time, of all meters")
    closes_per_person_day: int = Field(
        20, ge=0, description="Valves that one person may have closed, or approve to close, within 24 hours"
    )
    closes_per_batch: int = Field(50, ge=0, description="Valves that may be closed by one request")


class ApiSettings(Section):
    """REST and pages."""

    table = "api"
    model_config = SettingsConfigDict(env_prefix="NBWATER_API_", extra="forbid", frozen=True)
    host: str = Field("127.0.0.1", description="Address of the pages; one that is not loopback needs TLS")
    port: int = Field(8080, ge=0, le=65535, description="TCP port of the pages; 0 takes a free one")
    tls_certificate: str = Field("", description="PEM file; with tls_key serves HTTPS")
    tls_key: str = Field("", description="PEM file of the private key")
    behind_tls_proxy: bool = Field(
        False, description="A proxy in front speaks TLS: plain HTTP on any address is allowed"
    )
    session_secret: SecretStr = Field(
        SecretStr(""), description="Signs session cookies; empty: a new one at each start"
    )
    first_password: SecretStr = Field(
        SecretStr(""), description="Password of the first administrator; empty: one is made up and shown once"
    )
    session_h: float = Field(12.0, gt=0, description="A login lasts this long")
    language: str = Field("zh", pattern="^(zh|en)$", description="Language of the first page a new browser sees")


SECTIONS: tuple[type[Section], ...] = (
    UtilitySettings, DatabaseSettings, NatsSettings, KeysSettings, GatewaySettings, PushSettings, IngestSettings,
    SettlementSettings, LeakSettings, LogSettings, ApiSettings, OscoreSettings, CommandSettings, FirmwareSettings,
    DtlsSettings, MqttSettings, Lwm2mSettings, ConsumptionSettings, BillingSettings, CompletenessSettings,
    OutageSettings, DistrictSettings,
)  # fmt: skip

OTHER_VARIABLES = ("NBWATER_CONFIG", "NBWATER_DATA", "NBWATER_TOKEN")
TEST_PREFIX = "NBWATER_TEST_"
S = TypeVar("S", bound=Section)


def load(section: type[S], path: str | None = None) -> S:
    """Effective settings of one section. Raises SettingsError that names each bad value, never its secret."""
    try:
        return section(**_toml(path or os.environ.get("NBWATER_CONFIG")).get(section.table, {}))
    except ValidationError as error:
        bad = "; ".join(f"{section.table}.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"settings cannot be used: {bad}") from error


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A line for each variable that looks like one of ours and is none, with the one that was probably meant."""
    known = {
        f"{section.model_config.get('env_prefix', '')}{name}".upper()
        for section in SECTIONS
        for name in section.model_fields
    }.union(OTHER_VARIABLES)
    lines = []
    for name in sorted(environment):
        upper = name.upper()
        if upper.startswith("NBWATER_") and not upper.startswith(TEST_PREFIX) and upper not in known:
            meant = get_close_matches(upper, known, n=1, cutoff=0.8)
            lines.append(f"unknown setting {name}" + (f"; is {meant[0]} meant?" if meant else ""))
    return lines


def _toml(path: str | None) -> dict[str, Any]:
    if not path:
        return {}
    try:
        document = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise SettingsError(f"configuration file {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"configuration file {path}: {error}") from error
    known = {section.table for section in SECTIONS}
    if unknown := sorted(set(document) - known):
        raise SettingsError(
            f"configuration file {path}: unknown table(s) {', '.join(unknown)}; known: {', '.join(sorted(known))}"
        )
    return document
