"""Which reports are followed in the logs. Pure.

One in so many has a line at each stage, chosen by the random end of its id: every stage chooses the same ones, and none
of them needs to be told. All others are followed by what is stored of them (`nbwater trace`).
"""

from __future__ import annotations

from collections.abc import Iterable

from metering.envelope import Report


def followed(reports: Iterable[Report], one_in: int) -> list[Report]:
    """Those of these reports that are logged; `one_in` 0: none, 1: all."""
    if one_in <= 0:
        return []
    return [report for report in reports if int.from_bytes(report.report_id[12:], "big") % one_in == 0]


class Pace:
    """How often something may be logged."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s, self._next_s = pause_s, float("-inf")

    def allows(self, now_s: float) -> bool:
        """Whether a line may be written now; if so none for `pause_s` seconds."""
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._pause_s
        return True
