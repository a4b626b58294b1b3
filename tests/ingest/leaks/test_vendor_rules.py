"""The makers' rules on a real database: which alert they make together, and for whom."""

import json

import asyncpg
import numpy as np
import pytest

from ingest.leaks.stage import find_continuous_flow
from ingest.meters import Meters
from metering import consumption
from metering.leak_settings import LeakSettings, VendorRule

T0 = 1_767_225_600
ALL = tuple(VendorRule)


@pytest.fixture
async def connection(database_url):
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def look(connection, litres, chosen=(), watched=frozenset(), bulk=frozenset()):
    """A household (DN15, Q3 = 2.5 m³/h) with these litres in each hour; its alerts afterwards."""
    meter = await connection.fetchval(
        "INSERT INTO meters (serial) VALUES ('1') ON CONFLICT (serial) DO UPDATE SET serial = '1' RETURNING meter_id"
    )
    index = np.cumsum([5_000, *litres]) * 1_000
    curve = consumption.validated(T0 + 3600 * np.arange(len(index)), index, consumption.Limits.of())
    meters = Meters(*(np.array([column]) for column in (meter, 15, 2_500, 99_999_999_000, 1_000)))
    of_it = {frozenset(): frozenset(), frozenset({"it"}): {meter}}
    await find_continuous_flow(connection, curve, meters, chosen, of_it[frozenset(watched)], of_it[frozenset(bulk)])
    return await connection.fetch("SELECT * FROM alerts")


async def test_no_rule_chosen_means_any_flow(connection):
    (alert,) = await look(connection, [2] * 24)
    evidence = json.loads(alert["evidence"])
    assert (evidence["rules"], evidence["threshold_ml_h"]) == (["flow_24h"], 1_000)


@pytest.mark.parametrize(
    ("litres", "held"),
    [(2, ["flow_24h"]), (4, ["flow_24h", "flow_3_8"]), (13, ["flow_24h", "flow_3_8", "q3_0_5"])],
)
async def test_all_rules_make_one_alert_that_names_those_that_hold(connection, litres, held):
    (alert,) = await look(connection, [litres] * 25, ALL)
    assert alert["kind"] == "continuous_flow"
    assert json.loads(alert["evidence"])["rules"] == held


async def test_only_the_chosen_rule_counts(connection):
    assert await look(connection, [12] * 30, [VendorRule.Q3_0_5]) == []
    assert len(await look(connection, [13] * 30, [VendorRule.Q3_0_5])) == 1


async def test_who_is_watched_by_our_detector_is_left_to_it_unless_rules_are_chosen(connection):
    assert await look(connection, [4] * 24, watched={"it"}) == []
    assert len(await look(connection, [4] * 24, [VendorRule.FLOW_3_8], {"it"})) == 1


async def test_an_alert_that_lasts_ends_though_its_meter_is_watched_by_now(connection):
    (alert,) = await look(connection, [4] * 24)
    assert alert["ended_at"] is None
    (alert,) = await look(connection, [4] * 24 + [0], watched={"it"})
    assert alert["ended_at"] is not None


async def test_a_bulk_meter_is_no_customer_whatever_rules_are_chosen(connection):
    assert await look(connection, [400] * 24, ALL, bulk={"it"}) == []
    assert await look(connection, [400] * 24, bulk={"it"}) == []
    await look(connection, [400] * 24)
    (alert,) = await look(connection, [400] * 25, bulk={"it"})
    assert alert["ended_at"] is not None, "raised before the meter was made an inlet"
    assert alert["state"] == "resolved"


def test_the_rules_are_a_setting():
    assert LeakSettings().vendor_rules == ()
    assert LeakSettings(vendor_rules=["flow_3_8", "q3_0_5"]).vendor_rules == (VendorRule.FLOW_3_8, VendorRule.Q3_0_5)
