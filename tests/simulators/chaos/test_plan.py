"""The plan of a run: from the seed alone, with every kind in it, and no two that would hide one another."""

from itertools import pairwise

import pytest

from simulators.chaos.plan import LONG_WEIGHTS, NETWORK, Kind, plan

ROLES = ("api", "gateway", "ingest", "nats", "postgres", "settlement")
SEEDS = range(40)


@pytest.mark.parametrize("seed", SEEDS)
def test_five_minutes_have_every_kind_and_every_victim(seed):
    faults = plan(seed, 300, ROLES, list(Kind))
    assert {fault.kind for fault in faults} == set(Kind)
    for kind in (Kind.KILL, Kind.PAUSE):
        assert {fault.role for fault in faults if fault.kind is kind} == set(ROLES)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_begins_and_ends_within_the_run_in_order(seed):
    faults = plan(seed, 240, ROLES, list(Kind))
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    assert all(fault.at_s > 0 and fault.end_s <= 240 for fault in faults)


@pytest.mark.parametrize("seed", SEEDS)
def test_long_faults_follow_one_another(seed):
    long = [fault for fault in plan(seed, 600, ROLES, list(Kind)) if fault.kind in LONG_WEIGHTS]
    assert len(long) >= len(LONG_WEIGHTS)
    assert all(before.end_s <= after.at_s for before, after in pairwise(long))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_second_ingest_worker_meets_only_a_bad_network(seed):
    faults = plan(seed, 300, ROLES, list(Kind))
    (second,) = (fault for fault in faults if fault.kind is Kind.SECOND_INGEST)
    others = [fault for fault in faults if fault is not second and fault.kind not in NETWORK]
    assert all(fault.end_s <= second.at_s or second.end_s <= fault.at_s for fault in others)


def test_the_seed_decides_and_nothing_else():
    assert plan(7, 120, ROLES, list(Kind)) == plan(7, 120, ROLES[::-1], frozenset(Kind))
    assert plan(7, 120, ROLES, list(Kind)) != plan(8, 120, ROLES, list(Kind))


def test_only_what_was_asked_for():
    assert {fault.kind for fault in plan(1, 60, ROLES, [Kind.KILL])} == {Kind.KILL}
    assert {fault.kind for fault in plan(1, 60, ROLES, [Kind.DATABASE_AWAY])} == {Kind.DATABASE_AWAY}
    assert plan(1, 60, ROLES, []) == ()


@pytest.mark.parametrize(
    ("kind", "roles"),
    [(Kind.CLOCK, {"gateway", "ingest", "settlement"}), (Kind.SERVER_CLOCK, {"nats", "postgres"})],
)
def test_clocks_of_programs_and_of_servers_are_stepped_both_ways(kind, roles):
    faults = plan(3, 600, ROLES, [kind])
    assert {fault.role for fault in faults} == roles
    assert min(fault.step_s for fault in faults) < 0 < max(fault.step_s for fault in faults)


def test_a_fault_says_what_it_is():
    texts = [str(fault) for fault in plan(5, 300, ROLES, list(Kind))]
    assert any("clock gateway by" in text for text in texts)
    assert any("packets loss" in text for text in texts)
    assert any("database-away for" in text for text in texts)
