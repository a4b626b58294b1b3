"""The benchmark's table: each figure beside its budget and its earlier value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.sections import Sections

COMPRESSION_INTERVAL = "1 day"


@dataclass(frozen=True, slots=True)
class Budget:
    limit: float
    at_least: bool = True

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {shown(self.limit)}"


def at_most(limit: float) -> Budget:
    return Budget(limit, at_least=False)


BUDGETS: Mapping[str, Budget] = {
    "front_door.ratio_to_libcoap": Budget(1),
    "custody.reports_per_s": Budget(20_000),
    "custody.p99_ms": at_most(50),
    "push.p99_ms": at_most(20),
    "end_to_end.reports_per_s": Budget(6_250),
    "end_to_end.readings_per_s": Budget(150_000),
    "end_to_end.backlogs_flat": Budget(1),
    "end_to_end.ratio_to_plain_stack": Budget(10),
    "latency_ms.p50": at_most(12),
    "latency_ms.p99": at_most(30),
    "latency_ms.p999": at_most(150),
    "catch_up.ratio_to_writer": Budget(0.8),
    "midnight.gave_up": at_most(0),
    "midnight.refused": at_most(0),
    "midnight.sharp_gave_up": at_most(0),
    "midnight.sharp_refused": at_most(0),
    "writer.ratio_to_raw_copy": Budget(0.8),
    "meter_page.day_p95_ms": at_most(200),
    "meter_page.hour_p95_ms": at_most(200),
    "growth_gateway.peak_rss_mb": at_most(400),
    "growth_gateway.start_s": at_most(20),
    "growth_gateway.own_address_peak_rss_mb": at_most(400),
    "growth_gateway.own_address_start_s": at_most(20),
    "growth.timescaledb.ratio": Budget(0.7),
    "growth.postgresql.ratio": Budget(0.7),
    "end_to_end_timescale.reports_per_s": Budget(6_250),
    "end_to_end_timescale.readings_per_s": Budget(150_000),
}
"""Section 7 of docs/design.md, and the issue that this benchmark answers."""


def add_summaries(sections: Sections) -> None:
    """Figures that need two sections, and those that stand in a list of rows."""
    rows_per_s = sections.get("writer", {}).get("rows_per_s")
    catch_up = sections.get("catch_up", {})
    if rows_per_s and "rows_per_s" in catch_up:
        catch_up["ratio_to_writer"] = catch_up["rows_per_s"] / rows_per_s
    compression = sections.get("compression", {})
    rows = compression.get("rows", [])
    for row in rows:
        if row["part"] == "hot" and row["interval"] == COMPRESSION_INTERVAL:
            hot = row["heap_bytes_per_reading"] + row["index_bytes_per_reading"]
            compression["bytes_per_reading_before"] = hot
    if rows:
        compression["bytes_per_reading_after"] = {
            f"segmentby {row['segmentby']}": row["bytes_per_reading"] for row in rows if row["part"] == "full chunk"
        }


def table(sections: Sections, earlier: Sections | None, failed: Mapping[str, str]) -> str:
    """Markdown, a row per figure; lists are left to bench.json."""
    head = ["figure", "value", "budget", ""] + (["earlier", "change"] if earlier is not None else [])
    lines = [_row(head), _row(["---", "---:", "---:", "---"] + ["---:"] * (len(head) - 4))]
    before = flat(earlier or {})
    lines += [_figure(name, value, earlier is not None, before.get(name)) for name, value in flat(sections).items()]
    lines += [_row([f"**{name}**", f"FAILED: {why}", *[""] * (len(head) - 2)]) for name, why in failed.items()]
    return "\n".join(lines) + "\n"


def flat(figures: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Figures by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            found[prefix + name] = value
    return found


def _figure(name: str, value: Any, compared: bool, before: Any) -> str:
    budget = BUDGETS.get(name)
    verdict = ""
    if budget is not None and isinstance(value, int | float):
        verdict = "met" if budget.is_met(value) else "**MISSED**"
    cells = [name, shown(value), str(budget or ""), verdict]
    return _row(cells + ([shown(before), change(before, value)] if compared else []))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:,.3g}"


def change(before: Any, now: Any) -> str:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, now))
    return f"{(now / before - 1) * 100:+.0f} %" if numbers and before else "–"
