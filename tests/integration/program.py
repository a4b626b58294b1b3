"""Programs of ingest as processes, with only their own rights in the database."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

START_S = 120


@asynccontextmanager
async def own_login(pool: Any, database_url: str, program: str) -> AsyncIterator[str]:
    """The database's address for a role that is a member of the program's group and nothing else."""
    role, password = f"{program}_{secrets.token_hex(4)}", secrets.token_hex(8)
    await pool.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}' IN ROLE nbwater_{program}")
    parts = urlsplit(database_url)
    yield urlunsplit(parts._replace(netloc=f"{role}:{password}@{parts.hostname}:{parts.port}"))
    await pool.execute(f"DROP ROLE {role}")


async def start(module: str, environment: Mapping[str, str]) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    """The process, and what it said when it was ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        return process, json.loads(await asyncio.wait_for(process.stdout.readline(), START_S))
    except BaseException:
        if process.returncode is None:
            process.kill()
        await process.wait()
        raise


async def stops_while_it_waits_for_a_database(module: str, environment: Mapping[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module,
        env={**environment, "NBWATER_DATABASE_URL": "postgresql://nobody:x@127.0.0.1:1/none"},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    while b"waiting_for" not in await asyncio.wait_for(process.stderr.readline(), START_S):
        pass
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), START_S) == 0
