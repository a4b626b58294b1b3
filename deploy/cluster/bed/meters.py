"""The load of the rehearsal, a process of its own: ``python -m deploy.cluster.bed.meters OPTIONS.json RESULT.json``.

It plays until SIGTERM, then waits for the answers that are due, reconciles and ends. Options: host, port, database_url,
reports_per_second, meters, duration_s, max_wait_s.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from deploy.registration import register_rows
from metering.process import on_stop_signal
from simulators.exchange import Timers
from simulators.load import LoadOptions, LoadRun, run_load
from simulators.target import Target

ANYWHERE = ["0.0.0.0/0"]
TIMERS = Timers(ack_timeout_s=2.0)


async def play(options: dict[str, Any]) -> dict[str, Any]:
    url = options["database_url"]

    async def register(rows: Sequence[dict[str, str]]) -> int:
        return await register_rows(url, rows, ANYWHERE)

    target = Target(options["host"], options["port"], url, register)
    wanted = LoadOptions(
        options["reports_per_second"], options["meters"], options["duration_s"], timers=TIMERS,
        max_wait_s=options["max_wait_s"],
    )  # fmt: skip
    stop = asyncio.Event()
    on_stop_signal(stop.set)

    def look(run: LoadRun) -> None:
        run.is_enough = stop.is_set()

    result = await run_load(target, wanted, look, lambda text: print(text, flush=True))
    return result.as_dict()


def main() -> int:
    options, result = (Path(argument) for argument in sys.argv[1:])
    found = uvloop.run(play(json.loads(options.read_text())))
    result.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
