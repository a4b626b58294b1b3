"""The wall clock of processes that are not ours to change, stepped from outside while they run.

Programs do not ask the kernel for the time: it maps a small library into each of them, the vDSO (vdso(7)), and both
libc and Go's runtime call that. `step` writes into the memory of a process, by /proc/PID/mem as a debugger does: behind
the vDSO's own bytes three functions that ask the kernel and add what stands before them, and at the entries of the
vDSO's functions a jump to these. The pages are the process's own copies from then on: nobody else's clock moves,
children inherit them, and a new program (execve) begins with a true clock.

Only what a process *reads* is stepped: the monotonic clock goes on, as at a real step, and what the kernel itself does
at a time (an alarm, a file's times) follows the true clock. Needs Linux on x86-64, and the rights of a debugger: root,
or the same user.
"""

from __future__ import annotations

import platform
import struct
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from metering.errors import StartError

_CODE = bytes.fromhex(
    "0000000000000000"  # what is added: seconds, 64 bits, signed
    "b8e40000000f05"  # clock_gettime(edi, rsi): eax = 228, syscall
    "85c07513"  # an error: return it
    "85ff740583ff05750a"  # neither CLOCK_REALTIME (0) nor CLOCK_REALTIME_COARSE (5): return
    "488b0dddffffff48010ec390"  # the seconds at rsi += what is added; return
    "b8600000000f05"  # gettimeofday(rdi, rsi): eax = 96, syscall
    "4885ff740a"  # no place for the time: return
    "488b0dc5ffffff48010fc390"  # the seconds at rdi += what is added; return
    "b8c90000000f05"  # time(rdi): eax = 201, syscall
    "480305b2ffffff"  # rax += what is added
    "4885ff7403488907c3"  # and to rdi, where that is given; return
)
_ENTRIES = {"__vdso_clock_gettime": 0x08, "__vdso_gettimeofday": 0x28, "__vdso_time": 0x40}
"""Where in the code above that function begins."""
_ROOM = 0x60
"""At the end of the image, behind its section headers."""
_JUMP = struct.Struct("<Bi")
_JUMP_NEAR = 0xE9
_SECONDS = struct.Struct("<q")
_DYNSYM = 11
STAND_STILL_S = 2.0
POLL_S = 0.001


def step(stopped: Iterable[int], seconds: float) -> int:
    """From now on the clock of these processes is wrong by so many whole seconds; 0: right again. How many have it.

    They must have been sent SIGSTOP. One that has ended is passed over. Raises StartError where this cannot be done.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise StartError("a server's clock can be stepped on Linux on x86-64 only")
    done = 0
    for pid in stopped:
        try:
            done += _step_one(pid, round(seconds))
        except (ProcessLookupError, FileNotFoundError):
            continue
        except OSError as error:
            raise StartError(f"the memory of process {pid} cannot be written: {error.strerror}") from error
    return done


def _step_one(pid: int, seconds: int) -> bool:
    place = _vdso(pid)
    if place is None:  # it is about to end
        return False
    begin, end = place
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(begin)
        image = memory.read(end - begin)
        code_at = len(image) - _ROOM
        if image[code_at + _SECONDS.size :].startswith(_CODE[_SECONDS.size :]):
            _write(memory, begin + code_at, _SECONDS.pack(seconds))
            return True
        entries = _functions(image)
        if missing := _ENTRIES.keys() - entries.keys():
            raise StartError(f"the vDSO has no {', '.join(sorted(missing))}")
        if any(image[code_at:]):
            raise StartError("the vDSO has no room at its end")
        _stand_still(pid, [begin + entries[name] for name in _ENTRIES])
        _write(memory, begin + code_at, _SECONDS.pack(seconds) + _CODE[_SECONDS.size :])
        for name, code in _ENTRIES.items():
            jump = _JUMP.pack(_JUMP_NEAR, code_at + code - entries[name] - _JUMP.size)
            _write(memory, begin + entries[name], jump)
    return True


def _write(memory: BinaryIO, at: int, what: bytes) -> None:
    memory.seek(at)
    memory.write(what)


def _vdso(pid: int) -> tuple[int, int] | None:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if line.endswith("[vdso]"):
            begin, end = line.split()[0].split("-")
            return int(begin, 16), int(end, 16)
    return None


def _functions(image: bytes) -> Mapping[str, int]:
    """Offsets of the dynamic symbols of an ELF64 image (elf(5)). Raises StartError when it is none."""
    if image[:5] != b"\x7fELF\x02":
        raise StartError("the vDSO is no ELF64 image")
    headers_at, size, count = (*struct.unpack_from("<Q", image, 40), *struct.unpack_from("<HH", image, 58))
    if headers_at + size * count > len(image) - _ROOM:
        raise StartError("the vDSO has no section headers, or no room behind them")
    sections = [struct.unpack_from("<IIQQQQIIQQ", image, headers_at + size * n) for n in range(count)]
    found = {}
    for section in sections:
        if section[1] != _DYNSYM:
            continue
        names_at = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], section[9]):
            name, _, _, _, value = struct.unpack_from("<IBBHQ", image, at)
            begin = names_at + name
            found[image[begin : image.index(b"\0", begin)].decode("ascii")] = value
    return found


def _stand_still(pid: int, entries: Iterable[int]) -> None:
    """Until all threads have stopped. Raises StartError when one does not, or stands where the jumps are written."""
    deadline = time.monotonic() + STAND_STILL_S
    places = [range(entry + 1, entry + _JUMP.size) for entry in entries]
    for task in Path(f"/proc/{pid}/task").iterdir():
        while (words := (task / "syscall").read_text().split()) == ["running"]:
            if time.monotonic() > deadline:
                raise StartError(f"process {pid} does not stop")
            time.sleep(POLL_S)
        if any(int(words[-1], 16) in place for place in places):
            raise StartError(f"process {pid} is reading its clock this very moment")
