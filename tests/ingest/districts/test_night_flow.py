"""Night flow: what customers use at night is theirs, the rest is the network's."""

import numpy as np
import pytest

from ingest.districts.balance import Hours, balance
from ingest.districts.night_flow import nights


def test_legitimate_use_is_taken_off():
    hour = np.arange(3 * 24) % 24
    homes = np.where(hour < 6, 2.0, 20.0) * np.ones((10, 1))
    inlet = homes.sum(axis=0) + 30.0
    inlet[27] += 500.0  # one wild hour of the second night
    of = nights(balance(inlet, inlet * 0, Hours(homes, np.ones(10))), hour)
    assert of.inflow == pytest.approx([50, 50, 50])
    assert of.legitimate == pytest.approx([20, 20, 20])
    assert of.net == pytest.approx([30, 30, 30])
    assert (of.band > 0).all()


def test_a_night_without_inlet_is_unknown():
    inlet = np.full(48, 100.0)
    inlet[24:30] = np.nan
    of = nights(balance(inlet, inlet * 0, Hours(np.ones((2, 48)), np.ones(2))), np.arange(48) % 24)
    assert np.isnan(of.net[1])
    assert of.net[0] == pytest.approx(98)
