"""Lets the kernel end a child when its parent is killed -9, so that nothing is left behind (Linux, prctl(2))."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def dies_with_parent(signal_number: int) -> Callable[[], None]:
    """A `preexec_fn`. It runs between fork and exec, after the change of user (which would clear the setting), and
    only makes system calls there: the parent may have threads.
    """
    parent = os.getpid()

    def request() -> None:
        if _libc is None:
            return
        _libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:  # it died before the request
            os._exit(1)

    return request
