"""Many datagrams in one system call: sendmmsg(2) and recvmmsg(2) on rows of a matrix, so that a load generator leaves
the processors to what it measures.

On a system without the two calls a loop of send and recv does the same at a few times the price.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket

import numpy as np
import numpy.typing as npt

Bytes2D = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]

MSG_DONTWAIT = getattr(socket, "MSG_DONTWAIT", 0)


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_size_t), ("length", ctypes.c_size_t))


class _MsgHdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_size_t),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.c_size_t),
        ("iov_length", ctypes.c_size_t),
        ("control", ctypes.c_size_t),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MMsgHdr(ctypes.Structure):
    _fields_ = (("header", _MsgHdr), ("length", ctypes.c_uint))


_HEADER_BYTES = ctypes.sizeof(_MMsgHdr)
_LIBC = ctypes.CDLL(None, use_errno=True)
IN_BULK = hasattr(_LIBC, "sendmmsg") and hasattr(_LIBC, "recvmmsg")


class Rows:
    """`count` rows of `stride` bytes, each a place for one datagram; `lengths` says how long each is."""

    def __init__(self, count: int, stride: int) -> None:
        self.data: Bytes2D = np.zeros((count, stride), np.uint8)
        vectors = (_IoVec * count)()
        headers = (_MMsgHdr * count)()
        first = self.data.ctypes.data
        for row in range(count):
            vectors[row].base, vectors[row].length = first + row * stride, stride
            headers[row].header.iov = ctypes.addressof(vectors) + row * ctypes.sizeof(_IoVec)
            headers[row].header.iov_length = 1
        self._kept = vectors, headers
        self._address = ctypes.addressof(headers)
        self._vector_lengths = np.frombuffer(memoryview(vectors), np.uint64).reshape(count, 2)[:, 1]
        at = _MMsgHdr.length.offset
        self._received = (
            np.frombuffer(memoryview(headers), np.uint8).reshape(count, _HEADER_BYTES)[:, at : at + 4].view(np.uint32)
        )
        self.lengths: Int64s = np.full(count, stride, np.int64)

    def __len__(self) -> int:
        return len(self.data)

    def set_lengths(self, lengths: Int64s, start: int = 0) -> None:
        """Of the rows from `start` on, before they are sent."""
        self.lengths[start : start + len(lengths)] = lengths
        self._vector_lengths[start : start + len(lengths)] = lengths

    def send(self, sock: socket.socket, start: int, end: int) -> int:
        """Send rows to the peer of a connected, non-blocking socket; how many the kernel took. What it did not take
        is lost, as on a network. An earlier datagram that met a closed port is told here (ECONNREFUSED) and costs
        nothing."""
        taken, refused = 0, 0
        while start < end:
            sent = self._send_some(sock, start, end)
            if sent <= 0:
                refused += 1
                if refused > 2:
                    break
                continue
            start, taken = start + sent, taken + sent
        return taken

    def _send_some(self, sock: socket.socket, start: int, end: int) -> int:
        if IN_BULK:
            return int(_LIBC.sendmmsg(sock.fileno(), ctypes.c_void_p(self._address + start * _HEADER_BYTES),
                                      end - start, MSG_DONTWAIT))  # fmt: skip
        with contextlib.suppress(OSError):
            sock.send(self.data[start, : self.lengths[start]].tobytes())
            return 1
        return 0

    def receive(self, sock: socket.socket) -> int:
        """Fill rows from the first on with what waits in a non-blocking socket; how many. `lengths` is then theirs.
        A datagram longer than a row is cut."""
        if not IN_BULK:
            return self._receive_each(sock)
        count = int(_LIBC.recvmmsg(sock.fileno(), ctypes.c_void_p(self._address), len(self), MSG_DONTWAIT, None))
        if count <= 0:
            return 0
        self.lengths[:count] = self._received[:count, 0]
        return count

    def _receive_each(self, sock: socket.socket) -> int:
        count = 0
        with contextlib.suppress(OSError):
            while count < len(self):
                datagram = sock.recv(self.data.shape[1])
                self.data[count, : len(datagram)] = np.frombuffer(datagram, np.uint8)
                self.lengths[count] = len(datagram)
                count += 1
        return count
