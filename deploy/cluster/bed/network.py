"""Hosts as network namespaces on one bridge, and the ways in which a network fails them. Needs root and iproute2.

The bridge is in a namespace of its own (the core), so that nothing of the machine's own network is touched. Links are
cut on the bridge's side: to the host its network looks as it does when a switch dies, silent and without a refusal.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from metering.errors import StartError

SUBNET = "10.87.0"
ANYCAST = "10.88.0.1"
"""Address that meters send to: every gateway has it on its loopback, the core's route takes one by source port."""

CLONE_NEWNET = 0x40000000


def ip(*arguments: str) -> None:
    """Run `ip …`. Raises StartError with what it says."""
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)  # noqa: S603, S607 - ip, with names of ours
    if done.returncode != 0:
        raise StartError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def unavailable() -> str:
    """Why namespaces cannot be made here; empty when they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the command ip (Debian package iproute2) is not installed"
    probe = f"nbwater-probe-{os.getpid()}"
    try:
        ip("netns", "add", probe)
        try:
            ip("-n", probe, "link", "add", "bridge0", "type", "bridge")
        finally:
            ip("netns", "del", probe)
    except StartError as error:
        return str(error)
    return ""


class Network:
    """`addresses` are by host name. Use as a context: what it made is gone afterwards."""

    def __init__(self, hosts: list[str]) -> None:
        self._prefix = f"nbw{os.getpid()}"
        self.core = f"{self._prefix}-core"
        self.addresses = {host: f"{SUBNET}.{number}" for number, host in enumerate(hosts, 1)}
        self._links = {host: f"h{number}" for number, host in enumerate(hosts, 1)}
        self._made: list[str] = []

    def __enter__(self) -> Network:
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in self._made:
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)  # noqa: S603, S607 - ip, with names of ours

    def namespace(self, host: str) -> str:
        return f"{self._prefix}-{host}"

    def _make(self) -> None:
        self._add(self.core)
        ip("-n", self.core, "link", "add", "bridge0", "type", "bridge")
        ip("-n", self.core, "address", "add", f"{SUBNET}.254/24", "dev", "bridge0")
        ip("-n", self.core, "link", "set", "bridge0", "up")
        for host, address in self.addresses.items():
            namespace, link = self.namespace(host), self._links[host]
            self._add(namespace)
            ip("-n", self.core, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            ip("-n", self.core, "link", "set", link, "master", "bridge0", "up")
            ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", namespace, "link", "set", "eth0", "up")

    def _add(self, namespace: str) -> None:
        ip("netns", "add", namespace)
        self._made.append(namespace)
        ip("-n", namespace, "link", "set", "lo", "up")

    def enter(self) -> None:
        """Move this thread, and whatever it starts, into the core."""
        with Path(f"/run/netns/{self.core}").open() as file:
            library = ctypes.CDLL(None, use_errno=True)
            if library.setns(file.fileno(), CLONE_NEWNET) != 0:
                raise StartError(f"setns {self.core}: {os.strerror(ctypes.get_errno())}")

    def inside(self, host: str, command: list[str]) -> list[str]:
        """The command line that runs `command` on a host; the process is the command itself."""
        return ["ip", "netns", "exec", self.namespace(host), *command]

    def announce(self, gateways: list[str]) -> None:
        """Route the anycast address to these hosts, as a load balancer's health check does."""
        hops = [part for host in gateways for part in ("nexthop", "via", self.addresses[host])]
        ip("-n", self.core, "route", "replace", f"{ANYCAST}/32", *hops)

    def give_anycast(self, host: str) -> None:
        ip("-n", self.namespace(host), "address", "add", f"{ANYCAST}/32", "dev", "lo")

    def cut(self, host: str) -> None:
        """Both directions, without a word."""
        ip("-n", self.core, "link", "set", self._links[host], "down")

    def heal(self, host: str) -> None:
        ip("-n", self.core, "link", "set", self._links[host], "up")

    def part(self, host: str, others: list[str]) -> None:
        """This host and those no longer hear each other; everybody else hears both."""
        for other in others:
            ip("-n", self.namespace(host), "route", "add", "blackhole", f"{self.addresses[other]}/32")
            ip("-n", self.namespace(other), "route", "add", "blackhole", f"{self.addresses[host]}/32")

    def join(self, host: str, others: list[str]) -> None:
        for other in others:
            ip("-n", self.namespace(host), "route", "del", "blackhole", f"{self.addresses[other]}/32")
            ip("-n", self.namespace(other), "route", "del", "blackhole", f"{self.addresses[host]}/32")
