"""Keeps the learned rates of all products over restarts, and tells when one falls silent (see `gaps`)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from gateway.push.counts import Counts
from gateway.push.gaps import PushRate

FILE = "rates.json"
_log = structlog.get_logger()


class GapWatch:
    """`clock`: Unix seconds."""

    def __init__(self, directory: Path, products: Sequence[str], counts: Counts, clock: Callable[[], float]) -> None:
        self._path, self._counts, self._clock = directory / FILE, counts, clock
        kept = _read(self._path)
        self._rates = {product: PushRate.of(kept.get(product)) for product in products}
        self._told: set[str] = set()

    def keep(self, products: Sequence[str]) -> None:
        """These are the products now."""
        self._rates = {product: self._rates.get(product) or PushRate() for product in products}

    def pushed(self, product: str) -> None:
        gap = self._rates.setdefault(product, PushRate()).pushed(self._clock())
        self._told.discard(product)
        if gap is not None:
            self._counts.gaps[product] += 1
            self._counts.missing[product] += gap.missing
            _log.warning("push_gap_ended", product=product, **gap._asdict())

    def look(self) -> None:
        """Now and then."""
        now = self._clock()
        for product, rate in self._rates.items():
            rate.advance(now)
            if rate.silent(now) and product not in self._told:
                self._told.add(product)
                expected = round(rate.expected(rate.last_s, now))
                _log.error("push_gap_began", product=product, since_s=int(rate.last_s), missing=expected)

    def silent(self) -> dict[str, bool]:
        now = self._clock()
        return {product: rate.silent(now) for product, rate in self._rates.items()}

    def last(self) -> dict[str, float]:
        return {product: rate.last_s for product, rate in self._rates.items()}

    def save(self) -> None:
        """Blocks for a moment. What cannot be written is written next time."""
        draft = self._path.with_suffix(".draft")
        try:
            draft.write_text(json.dumps({product: rate.kept() for product, rate in self._rates.items()}))
            os.replace(draft, self._path)
        except OSError as error:
            _log.warning("push_rates_not_kept", error=str(error))


def _read(path: Path) -> dict[str, object]:
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
