"""Readings that people gave or took away, laid over what meters sent. Raw readings are never changed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .curve import Bools, Ints, Readings, keys_of, ordered

VOID = -1
"""As an index: no reading of this instant counts."""


class Amendments(NamedTuple):
    """At most one for each meter and instant, sorted by both."""

    meter: Ints
    """Key of the meter in the database, or position, as the caller says."""
    ts_s: Ints
    index_ml: Ints
    """What counts at that instant instead of whatever was sent; VOID: nothing."""
    by_person: Bools
    """False: the start index of an installation, which is as good as measured."""

    def only(self, which: Bools | Ints) -> Amendments:
        return Amendments(self.meter[which], self.ts_s[which], self.index_ml[which], self.by_person[which])


_NONE: Ints = np.zeros(0, np.int64)
NO_AMENDMENTS = Amendments(_NONE, _NONE, _NONE, np.zeros(0, np.bool_))


def amended(meter: Ints, ts_s: Ints, index_ml: Ints, amendments: Amendments) -> Readings:
    """Readings in any order with the amendments laid over them; `meter` of both is a position."""
    if not len(amendments.meter):
        return ordered(ts_s, index_ml, meter)
    keys = keys_of(amendments.meter, amendments.ts_s)
    kept = ~np.isin(keys_of(meter, ts_s), keys)
    given = amendments.index_ml != VOID
    readings = ordered(
        np.concatenate((ts_s[kept], amendments.ts_s[given])),
        np.concatenate((index_ml[kept], amendments.index_ml[given])),
        np.concatenate((meter[kept], amendments.meter[given])),
    )
    return readings._replace(edited=np.sort(keys[amendments.by_person]))
