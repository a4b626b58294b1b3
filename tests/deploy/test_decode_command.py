"""`nbwater decode`: what a payload says, without a platform."""

import json
from pathlib import Path

import pytest

import ingest.decoders as package
from deploy.cli import main
from deploy.commands.decode import described
from metering.model import DecodedReport, DeviceState, Valve

SHIPPED = Path(package.__file__).parent / "mappings"
VENDOR = "681002390745404358811d1f90a702390745404350172309010220a6090000024836090015000000db16"


def run(capsys, *arguments):
    code = main(["decode", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_hexadecimal_and_a_file_give_the_same(capsys, tmp_path):
    code, out, err = run(capsys, VENDOR)
    assert code == 0
    assert "cjt188_vendor read 42 bytes" in err
    said = json.loads(out)
    assert said["readings"] == [["2020-02-09T15:17:50Z", 24_700_000]]
    assert said["state"]["valve"] == "open"
    for name, content in (("bytes", bytes.fromhex(VENDOR)), ("text", VENDOR.encode())):
        (tmp_path / name).write_bytes(content)
        assert run(capsys, str(tmp_path / name))[1] == out


def test_a_mapping_on_trial_comes_first(capsys):
    _, out, err = run(
        capsys, "--mapping", str(SHIPPED / "vendor_daily.toml"), "--received", "2026-01-01T00:00:00", VENDOR
    )
    assert "vendor_daily read" in err
    assert json.loads(out)["meter_address"] == "434045073902"


def test_formats_go_by_name_and_number(capsys, tmp_path):
    path = tmp_path / "push.json"
    path.write_text(json.dumps({"messageType": "deviceOnlineOfflineReport", "eventType": 1}))
    for format_ in ("ctwing", "65110"):
        code, out, _ = run(capsys, "--format", format_, str(path))
        assert (code, json.loads(out)["extra"]["online"]) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--format", "cbor", "ff"], 1, "cannot be read: cbor"),
        (["--format", "morse", "ff"], 2, "no format 'morse'"),
        (["nothing here"], 2, "neither hexadecimal nor a file"),
    ],
)
def test_what_cannot_be_read_is_said(capsys, arguments, code, said):
    seen, _, err = run(capsys, *arguments)
    assert seen == code
    assert said in err


def test_a_report_is_described_with_names():
    report = DecodedReport(DeviceState(valve=Valve.FAULT, alarms=32, device_time_s=0), [], [], untimed_index_ml=5)
    assert described(report) == {
        "untimed_index_ml": 5,
        "state": {"alarms": ["battery_low"], "valve": "fault", "device_time_s": "1970-01-01T00:00:00Z"},
    }
