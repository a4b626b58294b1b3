"""The gate between those who decide by what is stored and those who change what is stored.

An ingest transaction looks readings up and then writes by what it saw; it only ever adds, so several may do that at
once. A replay changes and removes readings: whoever looked before and writes after would write by what is no more. So
each ingest transaction passes the gate (shared), and each transaction of a replay closes it (alone), both until they
end. PostgreSQL queues them fairly.
"""

from __future__ import annotations

from typing import Any

LOCK = 0x6E62776761746500
"""Advisory lock ("nbwgate" in ASCII)."""


async def pass_gate(connection: Any) -> None:
    """First statement of a transaction that adds readings."""
    await connection.execute("SELECT pg_advisory_xact_lock_shared($1)", LOCK)


async def close_gate(connection: Any) -> None:
    """First statement of a transaction that changes or removes readings: waits for those that passed, holds up all
    that come."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
