"""Who lives where: the meters of a simulated Huludao (葫芦岛, Liaoning). Pure and seeded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulators.clocks import Clock, never_set
from simulators.households import household
from simulators.local_time import DAY_S
from simulators.meter import Label, Meter, Quirk, Wire
from simulators.radio import radio

MAKERS = (
    ("宁波水表", "LXSY-N NB-IoT"),
    ("三川智慧", "LXZ-NB 物联网水表"),
    ("新天科技", "XT-NB 超声水表"),
    ("汇中股份", "SCL-61D NB"),
    ("迈拓股份", "MTW-NB 超声水表"),
)
QUIRKS = {"三川智慧": Quirk.OVERLAPS, "新天科技": Quirk.AT_MIDNIGHT, "汇中股份": Quirk.FORGETS}
"""The town's own invention: no maker is meant."""
MIDNIGHT_S = 1_200
NEVER_SET_SHARE = 0.04
WIRES = (
    (Wire.CBOR, 0.70),
    (Wire.JSON, 0.12),
    (Wire.VENDOR, 0.10),
    (Wire.STANDARD, 0.08),
)
DISTRICTS = (
    ("连山区", "LS", 40.755, 120.862, ("中央大街", "渤海街", "新华大街", "连山大街", "站前街"), 0.42),
    ("龙港区", "LG", 40.712, 120.893, ("龙湾大街", "滨海路", "双龙街", "海星路", "锦葫路"), 0.33),
    ("南票区", "NP", 41.098, 120.752, ("矿山路", "九龙街", "沙锅屯街", "暖池路"), 0.14),
    ("兴城市", "XC", 40.617, 120.728, ("兴海路", "钟鼓楼南街", "温泉街", "古城街"), 0.11),
)
"""Name, code, centre, streets, share of the meters."""
DMAS_PER_DISTRICT = 3
INLET_ZONES = ("LS-DMA01", "LS-DMA02", "LG-DMA01", "LG-DMA02")
"""Have bulk meters, and users whose meters tell every hour."""
TAC = "86706205"
"""Type allocation code of the NB-IoT modules; eight digits."""
SIZES = ((15, "2.5", 0.72), (20, "4", 0.23), (25, "6.3", 0.05))
SILENT_SHARE, WORN_BATTERY_SHARE, TAMPERED_SHARE = 0.03, 0.02, 0.01
COMPOUNDS = ("阳光花园", "海韵家园", "龙湾小区", "锦绣嘉园", "渤海新村", "幸福里")


def luhn_digit(digits: str) -> str:
    """The check digit of an IMEI (3GPP TS 23.003 annex B) for its first fourteen digits."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(digits)]
    return str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def imei(seed: int, number: int) -> str:
    body = f"{TAC}{(seed * 10_007 + number) % 1_000_000:06d}"
    return body + luhn_digit(body)


def serial(seed: int, number: int) -> str:
    """Twelve digits: year of make, then a number."""
    return f"2024{seed % 100:02d}{number:06d}"


def zone_code(district: str, number: int) -> str:
    return f"{district}-DMA{number:02d}"


def zone_name(code: str) -> str:
    """Of a zone of this town."""
    district, _, rest = code.partition("-")
    return next(name for name, known, *_ in DISTRICTS if known == district) + (f" {rest}" if rest else "")


def make_meters(seed: int, count: int) -> list[Meter]:
    """The town's meters. Meter n is the same whatever `count` is."""
    return [make_meter(seed, number) for number in range(count)]


def make_meter(seed: int, number: int) -> Meter:
    draw = np.random.default_rng((seed, number, 1_000_081))
    wire = WIRES[int(draw.choice(len(WIRES), p=[share for _, share in WIRES]))][0]
    label = _label(seed, number, wire, draw)
    if label.zone in INLET_ZONES and wire in (Wire.VENDOR, Wire.STANDARD):
        wire, label = Wire.CBOR, replace(label, imei=imei(seed, number))
    quirk = QUIRKS.get(label.maker, Quirk.NONE)
    return Meter(
        seed=seed,
        number=number,
        label=label,
        wire=wire,
        household=household(seed, number),
        radio=radio(seed, number),
        report_second=int(draw.integers(0, MIDNIGHT_S if quirk is Quirk.AT_MIDNIGHT else DAY_S)),
        silent=bool(draw.random() < SILENT_SHARE),
        worn_battery=bool(draw.random() < WORN_BATTERY_SHARE),
        tampered=bool(draw.random() < TAMPERED_SHARE),
        clock=never_set(draw) if draw.random() < NEVER_SET_SHARE else Clock(),
        quirk=quirk,
    )


def _label(seed: int, number: int, wire: Wire, draw: np.random.Generator) -> Label:
    maker, model = MAKERS[int(draw.integers(len(MAKERS)))]
    dn_mm, q3_m3h, _ = SIZES[int(draw.choice(len(SIZES), p=[share for _, _, share in SIZES]))]
    name, code, latitude, longitude, streets, _ = DISTRICTS[
        int(draw.choice(len(DISTRICTS), p=[district[-1] for district in DISTRICTS]))
    ]
    street, compound = streets[int(draw.integers(len(streets)))], COMPOUNDS[int(draw.integers(len(COMPOUNDS)))]
    building, stair, floor = int(draw.integers(1, 30)), int(draw.integers(1, 5)), int(draw.integers(1, 19))
    return Label(
        serial=serial(seed, number),
        imei="" if wire is Wire.STANDARD else imei(seed, number),
        maker=maker,
        model=f"{model} DN{dn_mm}",
        dn_mm=dn_mm,
        q3_m3h=q3_m3h,
        zone=zone_code(code, int(draw.integers(1, DMAS_PER_DISTRICT + 1))),
        address=f"葫芦岛市{name}{street}{compound}{building}号楼{stair}单元{floor:02d}{int(draw.integers(1, 4)):02d}室",
        latitude=round(latitude + float(draw.normal(0, 0.012)), 6),
        longitude=round(longitude + float(draw.normal(0, 0.016)), 6),
    )
