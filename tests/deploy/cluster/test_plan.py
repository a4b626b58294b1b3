"""The operator's plan of a cluster: the example is one, and what cannot work is refused by name."""

from pathlib import Path

import pytest

import deploy.cluster
from deploy.cluster.plan import REPLICAS, parse
from metering.errors import SettingsError

EXAMPLE = (Path(deploy.cluster.__file__).parent / "example.toml").read_text()


def test_the_example_is_a_plan() -> None:
    plan = parse(EXAMPLE)
    assert len(plan.addresses("nats")) == REPLICAS
    assert len(plan.addresses("gateway")) == len(plan.addresses("ingest")) == 2


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"10.0.0.11"', '"nats.example"', "no IP address"),
        ('nats = ["nats-1", "nats-2", "nats-3"]', 'nats = ["nats-1", "nats-2"]', "a majority"),
        ('gateway = ["gateway-1", "gateway-2"]', "gateway = []", "roles.gateway: no host"),
        ('api = ["work-1", "work-2"]', 'api = ["work-9"]', "work-9 is not among the hosts"),
        ("partitions = 1", "partitions = 0", "partitions"),
        ("partitions = 1", "partition = 1", "partition"),
        ("database =", "database", "cannot be read"),
    ],
)
def test_what_cannot_work_is_named(before: str, after: str, said: str) -> None:
    assert before in EXAMPLE
    with pytest.raises(SettingsError, match=said):
        parse(EXAMPLE.replace(before, after, 1))
