"""The one place that reads the wall clock, so that everything else can be given a time."""

import time


def now_us() -> int:
    """Unix time in microseconds, UTC."""
    return time.time_ns() // 1000
