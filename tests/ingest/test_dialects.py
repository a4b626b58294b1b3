"""Decoders as the settings ask for them, and files that cannot be used."""

import shutil
from pathlib import Path

import pytest

import ingest.decoders as package
from ingest.dialects import decoders_of
from metering.errors import SettingsError
from metering.model import ContentFormat
from metering.settings import IngestSettings

SHIPPED = Path(package.__file__).parent / "mappings"
ENCRYPTED = bytes.fromhex("1e44ae4c4455223368077a55041005c8a7de9bed05248f128da1b840ce99c2")
VENDOR = bytes.fromhex("681002390745404358811d1f90a702390745404350172309010220a6090000024836090015000000db16")
NOW = 1_800_000_000


def test_the_defaults_are_the_standard_decoders():
    assert decoders_of(IngestSettings()).decode(ContentFormat.OCTET_STREAM, VENDOR, NOW)[0] == "cjt188_vendor"


def test_mapping_files_come_before_what_is_built_in(tmp_path):
    shutil.copy(SHIPPED / "vendor_daily.toml", tmp_path)
    decoders = decoders_of(IngestSettings(mappings=str(tmp_path)))
    assert decoders.decode(ContentFormat.OCTET_STREAM, VENDOR, NOW)[0] == "vendor_daily"
    assert decoders.decode_inner(VENDOR, NOW)[0] == "vendor_daily"


def test_makers_may_mean_their_status_bytes_otherwise():
    closed = bytes.fromhex("6810010000050800008116901f00002301002c000000002c000000000000004000")
    frame = closed + bytes([sum(closed) & 0xFF, 0x16])
    read = decoders_of(IngestSettings()).decode(ContentFormat.OCTET_STREAM, frame, NOW)[1].state
    assert (read.valve, read.alarms) == (0, 0)
    for profile, valve, alarms in (("high_bits", 1, 0), ("flags", 1, 16), ("standard", 0, 0)):
        decoders = decoders_of(IngestSettings(cjt188_profiles=f"0000={profile}, 7833=flags"))
        read = decoders.decode(ContentFormat.OCTET_STREAM, frame, NOW)[1].state
        assert (read.valve, read.alarms) == (valve, alarms)
    with pytest.raises(SettingsError, match="no profile other"):
        decoders_of(IngestSettings(cjt188_profiles="0000=other"))


def test_keys_of_meters_are_read_from_a_file(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# city\nSEN33225544 000102030405060708090A0B0C0D0E0F  # iPerl\n\n12345678 " + "00" * 16 + "\n")
    decoders = decoders_of(IngestSettings(mbus_keys=str(path)))
    assert decoders.decode(ContentFormat.WIRELESS_MBUS, ENCRYPTED, NOW)[1].untimed_index_ml == 123_529_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("SEN33225544 0001", "line 1 is not"),
        ("12345678 " + "ab" * 16 + "\n12345678 " + "cd" * 16, "line 2: meter 12345678 has a key already"),
        ("é", "not ASCII"),
    ],
)
def test_a_bad_file_of_keys_is_refused_without_saying_a_key(tmp_path, content, said):
    path = tmp_path / "keys"
    path.write_text(content)
    with pytest.raises(SettingsError, match=said) as caught:
        decoders_of(IngestSettings(mbus_keys=str(path)))
    assert "abab" not in str(caught.value)
    assert "0001" not in str(caught.value)


def test_what_does_not_exist_is_refused(tmp_path):
    for settings in (IngestSettings(mbus_keys=str(tmp_path / "no")), IngestSettings(mappings=str(tmp_path / "no"))):
        with pytest.raises(SettingsError):
            decoders_of(settings)
