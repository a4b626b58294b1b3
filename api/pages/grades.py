"""How good a radio signal or a battery is, in three steps a field crew can act on.

Radio: 3GPP TS 36.133 reports NB-IoT RSRP from -156 dBm; modules hold coverage level 0 down to about -110 dBm and reach
level 2 near -130 dBm, where each report costs many repetitions and much battery. Battery: a Li-SOCl2 cell gives 3.6 V
nearly to its end; under load 3.4 V says that it is near, and modules stop at about 3.1 V.
"""

from __future__ import annotations

from enum import StrEnum

RSRP_GOOD_DDBM = -1050
RSRP_FAIR_DDBM = -1200
SNR_GOOD_DDB = 50
SNR_FAIR_DDB = -30
BATTERY_GOOD_MV = 3450
BATTERY_FAIR_MV = 3300


class Grade(StrEnum):
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    UNKNOWN = "unknown"


def rsrp(value_ddbm: int | None) -> Grade:
    return _grade(value_ddbm, RSRP_GOOD_DDBM, RSRP_FAIR_DDBM)


def snr(value_ddb: int | None) -> Grade:
    return _grade(value_ddb, SNR_GOOD_DDB, SNR_FAIR_DDB)


def battery(value_mv: int | None) -> Grade:
    return _grade(value_mv, BATTERY_GOOD_MV, BATTERY_FAIR_MV)


def ecl(level: int | None) -> Grade:
    """Coverage enhancement level: 0 normal, 1 robust, 2 extreme."""
    return Grade.UNKNOWN if level is None else (Grade.GOOD, Grade.FAIR)[level] if level in (0, 1) else Grade.POOR


def _grade(value: int | None, good: int, fair: int) -> Grade:
    if value is None:
        return Grade.UNKNOWN
    return Grade.GOOD if value >= good else Grade.FAIR if value >= fair else Grade.POOR
