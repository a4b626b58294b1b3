"""What `nbwater cluster configure` writes: nats-server takes it, and each program is told its own secrets only."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.cluster.configuration import nats_conf
from deploy.cluster.plan import NATS_PORT, Plan, parse
from deploy.cluster.units import nats_unit, program_unit
from deploy.cluster.write import load_secrets, write
from deploy.embedded.nats import PUBLISH_RIGHTS, binary
from metering.credentials import load_master_keys
from metering.errors import StartError
from metering.settings import KeysSettings
from tests.deploy.cluster.test_plan import EXAMPLE


@pytest.fixture
def plan() -> Plan:
    return replace(parse(EXAMPLE), tls="", mqtt_port=0, partitions=2)


def test_nats_server_takes_every_node(plan: Plan, tmp_path: Path) -> None:
    write(plan, tmp_path)
    for node in plan.roles["nats"]:
        command = [binary(), "-t", "-c", str(tmp_path / node / "nats.conf")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_node_has_the_rights_of_the_embedded_server_and_syncs(plan: Plan, tmp_path: Path) -> None:
    conf = nats_conf(plan, load_secrets(tmp_path), "nats-1", "10.0.0.11")
    assert "sync_interval: always" in conf
    for rights in PUBLISH_RIGHTS.values():
        assert all(f'"{subject}"' in conf for subject in rights)
    assert "10.0.0.12:6222" in conf
    assert "10.0.0.11:6222" not in conf.partition("routes:")[2]


def test_with_certificates_clients_and_routes_speak_tls(plan: Plan, tmp_path: Path) -> None:
    secure = replace(plan, tls="/etc/nbwater/tls")
    conf = nats_conf(secure, load_secrets(tmp_path), "nats-1", "10.0.0.11")
    assert conf.count("/etc/nbwater/tls/nats-1.pem") == 2
    write(secure, tmp_path)
    settings = (tmp_path / "gateway-1" / "gateway.env").read_text()
    assert "NBWATER_NATS_TLS_CA=/etc/nbwater/tls/ca.pem" in settings
    assert "nats://" not in settings


def test_the_mqtt_listener_speaks_tls_and_only_gateways_may_answer_for_meters(plan: Plan, tmp_path: Path) -> None:
    assert "mqtt {" not in nats_conf(plan, load_secrets(tmp_path), "nats-1", "10.0.0.11")
    secure = replace(plan, tls="/etc/nbwater/tls", mqtt_port=8883)
    secrets = load_secrets(tmp_path)
    conf = nats_conf(secure, secrets, "nats-1", "10.0.0.11")
    assert 'listen: "10.0.0.11:8883"' in conf
    assert conf.count("/etc/nbwater/tls/nats-1.key") == 3
    assert "stream_replicas: 3" in conf
    assert secrets.mqtt["callout_secret"] not in conf
    told = {path.name for path in write(secure, tmp_path) if secrets.mqtt["callout_secret"] in path.read_text()}
    assert told == {"gateway.env"}


def test_each_program_is_told_its_own_secrets_only(plan: Plan, tmp_path: Path) -> None:
    written = write(plan, tmp_path)
    secrets = load_secrets(tmp_path)
    for path in written:
        assert path.stat().st_mode & 0o077 == 0
    for program in ("gateway", "api", "settlement", "ingest-0", "ingest-1"):
        host = "gateway-1" if program == "gateway" else "work-1"
        text = (tmp_path / host / f"{program}.env").read_text()
        for other, password in {**secrets.nats, "routes": secrets.routes}.items():
            assert (password in text) == (other == program.partition("-")[0])
    gateway = (tmp_path / "gateway-1" / "gateway.env").read_text()
    assert "DATABASE" not in gateway
    assert gateway.count(f":{NATS_PORT}") == 3
    assert "NBWATER_NATS_REPLICAS=3" in gateway


def test_the_master_key_is_where_keys_are_sealed_and_opened(plan: Plan, tmp_path: Path) -> None:
    written = write(plan, tmp_path)
    ((number, key),) = load_secrets(tmp_path).master_keys.items()
    holders = {path for path in written if key in path.read_text()}
    assert holders == {tmp_path / host / "master.keys" for host in ("gateway-1", "gateway-2", "work-1", "work-2")}
    keys = load_master_keys(KeysSettings(master_file=str(tmp_path / "gateway-1" / "master.keys")))
    assert keys is not None
    assert number == "0"
    for host, program in (("gateway-1", "gateway"), ("work-1", "api")):
        settings = (tmp_path / host / f"{program}.env").read_text()
        assert "NBWATER_KEYS_MASTER_FILE=/etc/nbwater/master.keys" in settings
    assert "MASTER" not in (tmp_path / "work-1" / "ingest-0.env").read_text()


def test_a_gateway_has_a_directory_that_outlives_it(plan: Plan, tmp_path: Path) -> None:
    write(plan, tmp_path)
    settings = (tmp_path / "gateway-1" / "gateway.env").read_text()
    assert "NBWATER_OSCORE_DIRECTORY=/var/lib/nbwater/gateway\n" in settings
    assert "NBWATER_DTLS_SESSIONS_FILE=/var/lib/nbwater/gateway/dtls-sessions\n" in settings
    assert "StateDirectory=nbwater/gateway\n" in program_unit(plan.places, "gateway")
    elsewhere = replace(plan.places, gateway="/srv/gateway")
    assert "ReadWritePaths=/srv/gateway\n" in program_unit(elsewhere, "gateway")


def test_a_worker_for_each_partition(plan: Plan, tmp_path: Path) -> None:
    write(plan, tmp_path)
    settings = [(tmp_path / "work-2" / f"ingest-{n}.env").read_text() for n in range(2)]
    assert [f"NBWATER_INGEST_PARTITION={n}" in text for n, text in enumerate(settings)] == [True, True]
    unit = program_unit(plan.places, "ingest", "ingest-%i.env")
    assert (tmp_path / "work-2" / "nbwater-ingest@.service").read_text() == unit
    assert plan.places.nats_server in nats_unit(plan.places)


def test_a_second_run_keeps_the_passwords(plan: Plan, tmp_path: Path) -> None:
    write(plan, tmp_path)
    before = (tmp_path / "work-1" / "api.env").read_text()
    write(plan, tmp_path)
    assert (tmp_path / "work-1" / "api.env").read_text() == before


def test_damaged_secrets_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("[]")
    with pytest.raises(StartError, match=r"secrets\.json"):
        load_secrets(tmp_path)


def test_gateways_are_told_where_images_lie(plan: Plan, tmp_path: Path) -> None:
    write(plan, tmp_path)
    told = {
        path.name
        for path in tmp_path.rglob("*.env")
        if f"NBWATER_FIRMWARE_DIRECTORY={plan.firmware}" in path.read_text()
    }
    assert (plan.firmware, told) == ("/var/lib/nbwater/firmware", {"gateway.env"})
