import subprocess
from pathlib import Path

import pytest

from deploy.embedded.mqtt_listener import MqttListener, check_exposure
from deploy.embedded.nats import USERS, NatsServer, binary
from metering.errors import StartError
from metering.settings import MqttSettings

LISTENER = MqttListener("127.0.0.1", 1883, "p", "ab" * 32)


def test_nats_server_takes_it(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, dict.fromkeys(USERS, "x"), mqtt=LISTENER)
    server.prepare()
    command = [binary(), "-t", "-c", str(tmp_path / "nats.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ab" * 32 not in (tmp_path / "nats.conf").read_text()


@pytest.mark.parametrize(("host", "place"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.0.0.1", "10.0.0.1")])
def test_its_address(host: str, place: str) -> None:
    assert MqttListener(host, 1, "p", "", "c.pem", "c.key").url == f"mqtts://mqtt:p@{place}:1"


def test_passwords_never_cross_a_network_in_the_clear() -> None:
    check_exposure(MqttSettings())
    check_exposure(MqttSettings(host="0.0.0.0", tls_certificate="c", tls_key="k"))
    for wrong in (MqttSettings(host="0.0.0.0"), MqttSettings(tls_certificate="c")):
        with pytest.raises(StartError, match="NBWATER_MQTT_TLS_KEY"):
            check_exposure(wrong)
