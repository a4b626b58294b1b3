"""A file of readings through the platform, from the gateway's door to the alerts, compared with `leaks evaluate`.

``python -m tests.bench.leak_replay readings.csv`` starts a platform of its own in a temporary directory, replays the
file as daily reports over CoAP (`simulate replay`), waits until nothing is due any more and asks the REST API. Exit
code 1: what one says and the other does not is printed. Of an alert the newest MAX_COURSE words are compared. Not a
test: leakbench's 300 meters and 120 days, of which issue and docs/leaks.md speak, are no data of this repository.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from ingest.leaks.live.telling import MAX_COURSE
from tests.e2e import running
from tests.e2e.running import Up
from tests.e2e.told import Said, client_of, evaluated, names_of, told

REPLAY_S = 3_600
QUIET_LOOKS = 5
DUE = "SELECT (SELECT count(*) FROM leak_due) + (SELECT count(*) FROM touched_spans)"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.leak_replay", description=__doc__)
    parser.add_argument("readings", type=Path, help="meter_id,ts,index_l")
    parser.add_argument("--out", type=Path, help="what was compared goes here (JSON)")
    options = parser.parse_args()
    running.DEADLINE_S = REPLAY_S
    with tempfile.TemporaryDirectory() as folder:
        result = compared(Path(folder), options.readings)
    text = json.dumps(result, indent=2, default=str)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    return 1 if result["only_evaluated"] or result["only_told"] else 0


def compared(folder: Path, readings: Path) -> dict[str, object]:
    """What both say, and what one of them says alone."""
    summary = folder / "summary.json"
    up = Up(folder / "data", NBWATER_LEAKS_EVERY_S="5")
    try:
        expected = newest(evaluated(up, readings, folder / "alerts.csv"))
        began = time.monotonic()
        played = up.nbwater("simulate", "replay", str(readings), "--no-check", "--summary", str(summary))
        if played.returncode:
            raise SystemExit(played.stderr)
        asyncio.run(_nothing_due(up))
        took_s = time.monotonic() - began
        with client_of(up) as client:
            found = newest(told(client, names_of(summary)))
    finally:
        up.end()
    return {
        "readings": readings.name, "said_by_both": len(expected & found), "meters": len({one.meter for one in found}),
        "only_evaluated": sorted(expected - found, key=str), "only_told": sorted(found - expected, key=str),
        "took_s": round(took_s),
    }  # fmt: skip


def newest(said: Iterable[Said]) -> set[Said]:
    """The newest MAX_COURSE words of each meter and kind."""
    of_fault = defaultdict[tuple[str, str], list[Said]](list)
    for one in said:
        of_fault[one.meter, one.kind].append(one)
    return {one for words in of_fault.values() for one in sorted(words, key=lambda word: word[2])[-MAX_COURSE:]}


async def _nothing_due(up: Up) -> None:
    quiet = 0
    while quiet < QUIET_LOOKS:
        quiet = quiet + 1 if await up.count(DUE) == 0 else 0
        await asyncio.sleep(2)


if __name__ == "__main__":
    sys.exit(main())
