"""A leak from the meters' own reports to the alert that people see, all of it real: the same as `leaks evaluate` says.

Begins where `tests/integration/test_leak_replay.py` does not: at the gateway's door. Reports of one day each, sent by
CoAP, go through the stream, ingest, settlement and the leak stage; what the REST API tells of our detector's alerts is
compared with the file of alerts of the same readings. `tests.bench.leak_replay` does so with any file of readings.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.e2e.running import Up, until
from tests.e2e.told import client_of, evaluated, names_of, told
from tests.ingest.leaks import homes

METERS, DAYS = 4, 35
LEAKS_FROM_H = 30 * 24
LEAK_L_H = 7


def test_a_leak_that_comes_in_by_coap_is_told_as_the_evaluation_tells_it(
    start: Callable[..., Up], tmp_path: Path
) -> None:
    flow = homes.flows(METERS)[:, : DAYS * 24]
    flow[1, LEAKS_FROM_H:] += LEAK_L_H
    readings, summary = tmp_path / "readings.csv", tmp_path / "summary.json"
    homes.write(readings, flow)
    up = start(NBWATER_LEAKS_EVERY_S="1")
    expected = evaluated(up, readings, tmp_path / "alerts.csv")
    assert {(one.meter, one.kind) for one in expected} == {("M1", "LEAK")}
    played = up.nbwater("simulate", "replay", str(readings), "--no-check", "--summary", str(summary))
    assert played.returncode == 0, played.stderr
    names = names_of(summary)
    with client_of(up) as client:
        until(lambda: told(client, names) >= expected, "what the evaluation says is told")
        assert told(client, names) == expected
    assert up.end() == 0
