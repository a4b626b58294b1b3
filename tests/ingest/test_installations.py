from __future__ import annotations

import pytest

from ingest.installations import Device, Installation, names_same_meter


@pytest.mark.parametrize(
    ("address", "serial", "same", "why"),
    [
        ("434045073902", "434045073902", True, "the vendor's report names the printed serial"),
        ("00000024170567", "24170567", True, "filled up with zeros"),
        ("78330011223344", "0011223344", True, "maker's code above ten digits"),
        ("33780506070001", "0506070001", True, "maker's code above ten digits"),
        ("12345678901234", "345678901234", True, "maker's code above twelve digits"),
        ("00000000001001", "1001", True, "a short serial, filled up"),
        ("55001001", "1001", False, "four digits in common prove nothing"),
        ("434045073903", "434045073902", False, "another meter"),
        ("434045073902", "SN-434045073902", True, "letters and signs do not count"),
        ("", "434045073902", True, "names none"),
        ("434045073902", "ABC", True, "a serial without digits cannot be compared"),
        ("78330011223345", "0011223344", False, "another meter of the maker"),
    ],
)
def test_whether_a_frame_names_the_installed_meter(address: str, serial: str, same: bool, why: str) -> None:
    assert names_same_meter(address, serial) is same, why


def test_the_installation_of_an_instant() -> None:
    old, new = Installation(1, "1", 10, 0, 100), Installation(2, "2", 10, 150, 10**10)
    device = Device(7, "1001", (old, new))
    assert [device.at(ts) for ts in (-1, 0, 99, 100, 149, 150)] == [None, old, old, None, None, new]
