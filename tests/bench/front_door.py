"""Front door: requests/s of a plain POST without storage, ours beside libcoap's and aiocoap's servers in one run."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.bench.processes import free_udp_port, process, python
from tests.bench.saturate import DEVICES

ROUNDS = 3
SECONDS = 3.0
CORES_FOR_TWO = 4
"""Two workers, the generator, and one for the rest."""
LIBCOAP = "coap-server-notls"


@contextmanager
def _ours() -> Iterator[int]:
    with process(python("tests.bench.null_gateway")) as child:
        assert child.stdout is not None
        yield int(child.stdout.readline())


@contextmanager
def _libcoap() -> Iterator[int]:
    port = free_udp_port()
    with process([LIBCOAP, "-A", "127.0.0.1", "-p", str(port), "-d", str(2 * DEVICES)]):
        time.sleep(0.5)  # it says nothing when it is ready; what is sent too early is sent again
        yield port


@contextmanager
def _aiocoap() -> Iterator[int]:
    port = free_udp_port()
    with process(python("tests.bench.plain_stack", str(port))) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield port


@contextmanager
def _two_of_ours() -> Iterator[int]:
    port = free_udp_port()
    command = python("tests.bench.null_gateway", str(port))
    with process(command) as one, process(command) as other:
        for child in (one, other):
            assert child.stdout is not None
            child.stdout.readline()
        yield port


def measure(progress: Callable[[str], None], *, quick: bool = False) -> dict[str, float]:
    """The keys `front_door.*` of bench.json: medians over rounds in which the servers take turns."""
    servers: dict[str, Callable[[], AbstractContextManager[int]]] = {"ours": _ours, "aiocoap": _aiocoap}
    if shutil.which(LIBCOAP):
        servers["libcoap"] = _libcoap
    if (os.cpu_count() or 1) >= CORES_FOR_TWO:
        servers["two_workers"] = _two_of_ours
    rates: dict[str, list[float]] = {name: [] for name in servers}
    rounds, seconds = (1, 0.5) if quick else (ROUNDS, SECONDS)
    for number in range(rounds):
        for name, server in servers.items():
            with server() as port:
                rates[name].append(_saturated(port, seconds))
            progress(f"front door {number + 1}/{rounds} {name}: {rates[name][-1]:,.0f} requests/s")
    median = {name: statistics.median(found) for name, found in rates.items()}
    result = {"requests_per_s": median["ours"], "aiocoap_requests_per_s": median["aiocoap"]}
    result["ratio_to_aiocoap"] = _ratio(rates["ours"], rates["aiocoap"])
    if "two_workers" in rates:
        result["two_workers_requests_per_s"] = median["two_workers"]
        result["ratio_of_two_workers_to_one"] = _ratio(rates["two_workers"], rates["ours"])
    else:
        progress(f"NOT MEASURED: two workers beside the generator want {CORES_FOR_TWO} cores")
    if "libcoap" in rates:
        result["libcoap_requests_per_s"] = median["libcoap"]
        result["ratio_to_libcoap"] = _ratio(rates["ours"], rates["libcoap"])
    else:
        progress(f"NOT MEASURED: {LIBCOAP} is not installed (Debian package libcoap3-bin)")
    return result


def _ratio(ours: list[float], others: list[float]) -> float:
    """Median of the ratios round by round: the machine's speed drifts, the ratio does not."""
    return statistics.median(a / b for a, b in zip(ours, others, strict=True))


def _saturated(port: int, seconds: float) -> float:
    done = subprocess.run(
        python("tests.bench.saturate", str(port), str(seconds)), check=True, capture_output=True, text=True
    )
    result = json.loads(done.stdout)
    if result["refused"] > result["answered"] / 100:
        raise RuntimeError(f"the server refuses: {result}")
    return float(result["requests_per_s"])
