"""A disk that can be made full: a tmpfs whose size is changed while it is in use.

It is mounted in a mount namespace of this process, which only its children share: nobody else sees it, and it is gone
with the last of them, whatever ends them. Needs root (CAP_SYS_ADMIN) and Linux.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from pathlib import Path

from metering.errors import StartError

ROOM_BYTES = 4 << 30
"""Never used whole: it holds what PostgreSQL writes in a run."""
MOST_SPARE_BLOCKS = 1 << 16
"""Left free at most, for whoever writes while the disk is made full to use up."""
_CLONE_NEWNS = 0x0002_0000


class SmallDisk:
    """Mounted on a directory that is there. Raises StartError when it cannot be.

    To be made in the main thread, before others start processes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if sys.platform != "linux" or os.geteuid() != 0:
            raise StartError("mounting needs root on Linux")
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNS):
            raise StartError(f"no mount namespace can be made: {os.strerror(ctypes.get_errno())}")
        _mount("--make-rprivate", "/")
        _mount("-t", "tmpfs", "-o", f"size={ROOM_BYTES},mode=711", "nbwater-chaos", str(path))

    def fill(self) -> None:
        """From now on nothing fits any more. Raises StartError."""
        spare_blocks = 1
        while spare_blocks < MOST_SPARE_BLOCKS:
            with contextlib.suppress(StartError):  # others write meanwhile: it cannot be smaller than what it holds
                self._resize_to_used(spare_blocks)
                return
            spare_blocks *= 2
        self._resize_to_used(spare_blocks)

    def empty(self) -> None:
        self._resize(ROOM_BYTES)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.path)], check=False, capture_output=True)  # noqa: S603, S607 - our own command

    def _resize_to_used(self, spare_blocks: int) -> None:
        found = os.statvfs(self.path)
        self._resize((found.f_blocks - found.f_bfree + spare_blocks) * found.f_frsize)

    def _resize(self, size: int) -> None:
        _mount("-o", f"remount,size={size}", str(self.path))


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)  # noqa: S603, S607 - as above
    if done.returncode != 0:
        raise StartError(f"mount {' '.join(arguments)}: {done.stderr.strip()}")
