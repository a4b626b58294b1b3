"""Finds the reports that a transaction fails on, when no check before it foresaw them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from .classify import Decoded, Prepared, Refused

Attempt = Callable[[Prepared], Awaitable[Exception | None]]
"""Tries reports in a transaction that is rolled back; returns what went wrong."""


async def isolate(prepared: Prepared, attempt: Attempt) -> Prepared:
    """The same reports, those that cannot be written moved to the refused. About 2·k·log2(n) attempts for k of n."""
    poisoned = await _search(prepared.decoded, attempt)
    return replace(
        prepared,
        decoded=[d for d in prepared.decoded if d.report.report_id not in poisoned],
        refused=prepared.refused + list(poisoned.values()),
    )


async def _search(decoded: Sequence[Decoded], attempt: Attempt) -> dict[bytes, Refused]:
    if not decoded:
        return {}
    error = await attempt(Prepared(list(decoded), [], []))
    if error is None:
        return {}
    if len(decoded) == 1:
        report = decoded[0].report
        message = f"{type(error).__name__}: {error}"
        return {report.report_id: Refused(report, "write_error", message, decoder=decoded[0].decoder)}
    middle = len(decoded) // 2
    return await _search(decoded[:middle], attempt) | await _search(decoded[middle:], attempt)
