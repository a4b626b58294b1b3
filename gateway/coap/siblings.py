"""The other gateway processes of this host on the same CoAP port (DESIGN section 3.9).

The kernel spreads datagrams over the processes by address and port; a NAT that rebinds sends a meter's next datagram to
another one. A report in one datagram needs no state, so whoever gets it takes it. What needs state (a transfer in
blocks) has one owner, by hash; who gets such a datagram passes it on over a Unix socket in a directory that only this
user can enter, and the owner treats it as if it had come to itself. The owner answers from its own socket: all of them
have the same address.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import zlib
from collections import deque
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import cbor2

from metering.errors import StartError

MAX_WAITING = 1024
"""Datagrams that wait for siblings who do not read fast enough. A Unix socket takes as few as ten
(net.unix.max_dgram_qlen); what is beyond both is lost as if the network had lost it, and counted."""

RETRY_S = 0.002
MAX_CONVERSATIONS = 4096
"""Peers remembered together with the owner their request went to: an acknowledgement names no device."""

DATAGRAMS_PER_TURN = 64
MAX_FRAME_BYTES = 70_000

Peer = tuple[Any, ...]
Receive = Callable[[bytes, Peer], None]


class Passed(Enum):
    """What became of a datagram given to its owner."""

    YES = "yes"
    LOST = "lost"
    AWAY = "away"


class Siblings:
    """Process `worker` of `workers`, numbered from 0, in a directory that the caller has made."""

    def __init__(self, directory: Path, worker: int, workers: int) -> None:
        """Raises StartError for a directory that others can enter."""
        self.worker, self._workers = worker, workers
        self.passed_on = self.taken_over = self.lost = 0
        self._conversations: dict[Peer, int] = {}
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._directory = _open_private(directory)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._unlink()  # of a process that was killed
            self._socket.bind(self._address(worker))
        except OSError as error:
            self.close()
            raise StartError(f"socket {worker} in {directory}: {error.strerror or error}") from error

    def owner_of(self, key: bytes) -> int:
        """The same in every process of the host."""
        return zlib.crc32(key) % self._workers

    def owner_for(self, peer: Peer) -> int | None:
        """To whom this peer's last request was passed."""
        return self._conversations.get(peer)

    def pass_on(self, owner: int, datagram: bytes, peer: Peer) -> Passed:
        frame = cbor2.dumps([list(peer), datagram])
        passed = self._wait(owner, frame) if self._waiting else self._send(owner, frame)
        if passed is Passed.YES:
            self._remember(peer, owner)
        return passed

    def start(self, receive: Receive) -> None:
        """Call `receive` with what siblings pass on, in the running loop."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read, receive)

    def stop_reading(self) -> None:
        """From now on siblings see at once that nobody is here."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._unlink()

    def close(self) -> None:
        self._socket.close()
        os.close(self._directory)

    def _read(self, receive: Receive) -> None:
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                frame = self._socket.recv(MAX_FRAME_BYTES)
            except OSError:
                return
            peer, datagram = cbor2.loads(frame)
            self.taken_over += 1
            receive(datagram, tuple(peer))

    def _send(self, owner: int, frame: bytes) -> Passed:
        try:
            self._socket.sendto(frame, self._address(owner))
        except BlockingIOError:
            return self._wait(owner, frame)
        except OSError:
            self.lost += 1
            return Passed.AWAY
        self.passed_on += 1
        return Passed.YES

    def _wait(self, owner: int, frame: bytes) -> Passed:
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            return Passed.LOST
        if not self._waiting:
            asyncio.get_running_loop().call_later(RETRY_S, self._send_waiting)
        self._waiting.append((owner, frame))
        return Passed.YES

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        while waiting:
            owner, frame = waiting.popleft()
            self._send(owner, frame)

    def _remember(self, peer: Peer, owner: int) -> None:
        if len(self._conversations) >= MAX_CONVERSATIONS:
            del self._conversations[next(iter(self._conversations))]
        self._conversations[peer] = owner

    def _address(self, worker: int) -> str:
        """Through the open directory: the path of a Unix socket has room for 107 bytes only."""
        return f"/proc/self/fd/{self._directory}/{worker}"

    def _unlink(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(str(self.worker), dir_fd=self._directory)


def _open_private(directory: Path) -> int:
    try:
        number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StartError(f"directory {directory} for gateway workers: {error.strerror or error}") from error
    state = os.fstat(number)
    if state.st_uid != os.geteuid() or stat.S_IMODE(state.st_mode) & 0o077:
        os.close(number)
        raise StartError(f"directory {directory} for gateway workers must belong to this user alone (mode 0700)")
    return number
