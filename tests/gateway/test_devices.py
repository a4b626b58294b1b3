from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices import MAX_CACHED_POLICIES, Devices
from gateway.intake import Intake
from metering.errors import NbwaterError, RegistryNotLoadedError, UnauthorisedError
from metering.model import Authentication, Door
from metering.registry import ENABLED, HAS_KEY, WAS_PUSHED, RegistryEntry


def address(text: str) -> int:
    parsed = ipaddress.ip_address(text)
    return int(parsed) | (0xFFFF << 32 if parsed.version == 4 else 0)


def entry(device: str, *others: str, sources: tuple[str, ...] = ("10.0.0.0/8",), flags: int = ENABLED) -> RegistryEntry:
    return RegistryEntry(device, (device, *others), sources, flags)


def find(devices: Devices, name: str) -> str | None:
    found = devices.find(name)
    return None if found is None else found[0]


def test_every_name_leads_to_the_canonical_one() -> None:
    devices = Devices()
    devices.apply(entry("imei", "serial", "old serial"))
    assert [find(devices, name) for name in ("imei", "serial", "old serial", "x")] == ["imei", "imei", "imei", None]


def test_a_change_replaces_names_and_rights_and_may_be_applied_twice() -> None:
    devices = Devices()
    devices.apply(entry("imei", "serial-1"))
    for _ in range(2):
        devices.apply(entry("imei", "serial-2", sources=()))
    assert find(devices, "serial-1") is None
    assert find(devices, "serial-2") == "imei"
    assert not devices.find("imei")[1].admits(address("10.0.0.1"))


def test_a_device_without_the_enabled_flag_is_gone() -> None:
    devices = Devices()
    devices.apply(entry("imei", "serial"))
    devices.apply(entry("imei", "serial", flags=0))
    assert (find(devices, "imei"), find(devices, "serial"), len(devices)) == (None, None, 0)


def test_a_serial_names_the_device_that_is_on_the_meter_now() -> None:
    """The meter's first device had no IMEI and was called by the serial; an exchange leaves it in the registry."""
    devices = Devices()
    devices.apply(entry("serial"))
    devices.apply(entry("imei", "serial"))
    devices.apply(entry("serial"))
    assert [find(devices, name) for name in ("serial", "imei")] == ["imei", "imei"]
    devices.apply(entry("imei"))
    assert find(devices, "serial") == "serial"


def test_a_name_that_moves_follows_its_last_claim() -> None:
    devices = Devices()
    devices.apply(entry("a", "serial"))
    devices.apply(entry("b", "serial"))
    devices.apply(entry("a"))
    assert find(devices, "serial") == "b"


def test_what_a_snapshot_does_not_name_is_gone() -> None:
    devices, newer = Devices(), Devices(expected=10)
    devices.ready = True
    for each in (entry("a", "sa"), entry("b", "sb")):
        devices.apply(each)
    newer.apply(entry("b", "sb"))
    devices.replace(newer)
    assert [find(devices, name) for name in ("a", "sa", "b", "sb")] == [None, None, "b", "b"]
    assert (len(devices), devices.ready, devices.complete) == (1, True, False)


def test_names_that_nobody_uses_are_counted() -> None:
    devices = Devices()
    for number in range(10):
        devices.apply(entry("imei", f"serial-{number}"))
    assert (len(devices), devices.waste) == (1, 9)


def test_each_meter_may_have_an_address_of_its_own() -> None:
    devices = Devices()
    for number in range(MAX_CACHED_POLICIES + 100):
        devices.apply(entry(f"d{number}", sources=(f"10.0.{number >> 8}.{number & 255}/32",)))
    for number in (0, 1, MAX_CACHED_POLICIES, MAX_CACHED_POLICIES + 99, 0):
        policy = devices.find(f"d{number}")[1]
        assert policy.admits(address(f"10.0.{number >> 8}.{number & 255}"))
        assert not policy.admits(address(f"10.0.{number >> 8}.{(number & 255) ^ 1}"))
    assert len(devices._cached) <= MAX_CACHED_POLICIES
    assert len(devices._texts) <= MAX_CACHED_POLICIES


NAMES = st.sampled_from(["d1", "d2", "d3", "s1", "s2", "s3"])
ENTRIES = st.builds(
    lambda device, others, flags: entry(device, *sorted(others - {device}), flags=flags),
    st.sampled_from(["d1", "d2", "d3"]),
    st.sets(st.sampled_from(["s1", "s2", "s3"])),
    st.sampled_from([0, ENABLED]),
)


@given(st.lists(ENTRIES, max_size=30))
def test_no_name_outlives_its_device(entries: list[RegistryEntry]) -> None:
    devices = Devices()
    current: dict[str, RegistryEntry] = {}
    for each in entries:
        devices.apply(each)
        current[each.device] = each
    for name in ("d1", "d2", "d3", "s1", "s2", "s3"):
        device = find(devices, name)
        if device is not None:
            assert current[device].enabled
            assert name in current[device].names


@pytest.mark.parametrize(
    ("sources", "sender", "admitted"),
    [
        (("127.0.0.0/8", "::1/128"), "127.9.9.9", True),
        (("127.0.0.0/8", "::1/128"), "::1", True),
        (("127.0.0.0/8",), "::1", False),
        (("10.20.0.0/16",), "10.20.255.1", True),
        (("10.20.0.0/16",), "10.21.0.1", False),
        (("0.0.0.0/0",), "8.8.8.8", True),
        (("0.0.0.0/0",), "2001:db8::1", False),
        (("2001:db8::/32",), "2001:db8:1::1", True),
        (("2001:db8::/32",), "2001:db9::1", False),
        (("10.1.2.3/32",), "10.1.2.3", True),
        (("10.1.2.3/32",), "10.1.2.2", False),
        (("10.1.2/32", "10.1.2.3/32/32"), "10.1.2.3", False),
        (("not a network",), "0.0.0.0", False),
        ((), "127.0.0.1", False),
    ],
)
def test_source_networks(sources: tuple[str, ...], sender: str, admitted: bool) -> None:
    devices = Devices()
    devices.apply(entry("d", sources=sources))
    assert devices.find("d")[1].admits(address(sender)) is admitted


class Recorder:
    """A custody that takes note."""

    def __init__(self) -> None:
        self.taken: list[tuple[object, ...]] = []

    def take(self, *arguments: object) -> None:
        self.taken.append(arguments)


def intake(complete: bool = True, ready: bool = True) -> tuple[Intake, Recorder]:
    devices, recorder = Devices(), Recorder()
    devices.ready, devices.complete = ready, complete
    devices.apply(entry("plain", "serial"))
    devices.apply(entry("keyed", flags=ENABLED | HAS_KEY))
    return Intake(devices, recorder), recorder


def refusal(taker: Intake, name: str, sender: str = "10.0.0.1", vouched: Authentication | None = None) -> str | None:
    try:
        taker.take(Door.COAP, name, address(sender), "10.0.0.1:5", 60, b"x", lambda failure: None, vouched)
    except NbwaterError as error:
        return error.reason
    return None


def test_intake_refuses_who_may_not_speak() -> None:
    taker, recorder = intake()
    assert refusal(taker, "nobody") == "unknown_device"
    assert refusal(taker, "plain", "11.0.0.1") == "source_network"
    assert refusal(taker, "keyed") == "key_not_used"
    assert recorder.taken == []


def test_intake_marks_plain_reports_as_claimed_and_uses_the_canonical_name() -> None:
    taker, recorder = intake()
    assert refusal(taker, "serial") is None
    assert recorder.taken[0][:6] == (Door.COAP, Authentication.CLAIMED, "plain", 60, b"x", "10.0.0.1:5")


def test_an_authenticated_door_vouches_for_its_sender() -> None:
    taker, recorder = intake()
    assert refusal(taker, "keyed", "99.0.0.1", Authentication.OSCORE) is None
    assert recorder.taken[0][1] is Authentication.OSCORE
    assert taker.admit("keyed", 0, Authentication.DTLS) == "keyed"


def test_nobody_is_unknown_before_the_registry_is_complete() -> None:
    taker, _ = intake(ready=False)
    with pytest.raises(RegistryNotLoadedError):
        taker.admit("plain", address("10.0.0.1"))
    taker, _ = intake(complete=False)
    with pytest.raises(RegistryNotLoadedError):
        taker.admit("nobody", address("10.0.0.1"))
    with pytest.raises(UnauthorisedError):
        taker.admit("keyed", address("10.0.0.1"))
    assert taker.admit("plain", address("10.0.0.1")) == "plain"


def test_who_may_push_for_a_device() -> None:
    devices = Devices()
    sources = ("10.0.0.0/8", "2001:db8::/32", "no network")
    for pushers, flags in (((), 0), (("east",), WAS_PUSHED), (("east", "west-2"), WAS_PUSHED | HAS_KEY), ((), HAS_KEY)):
        devices.apply(RegistryEntry("d", ("d",), sources, ENABLED | flags, pushers=pushers))
        found = devices.find("d")
        assert found is not None
        policy = found[1]
        assert (policy.pushers, policy.only_bound) == (pushers, flags > 0)
        assert (policy.has_key, len(policy.networks)) == (bool(flags & HAS_KEY), 3)
        assert policy.admits(int.from_bytes(bytes(10) + b"\xff\xff\x0a\x01\x02\x03", "big"))
