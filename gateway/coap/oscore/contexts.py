"""What is known of security contexts, as whoever opens and seals with them is given it."""

from __future__ import annotations

from typing import NamedTuple

from gateway.coap.oscore.journal import Journal
from gateway.coap.oscore.key_ring import KeyRing
from gateway.coap.oscore.numbers import SenderNumbers
from gateway.coap.oscore.windows import Windows


class Contexts(NamedTuple):
    """`journal`: None where windows live no longer than the process. `ask_by_echo`: a context without a window has to
    prove that it speaks now; otherwise its first request opens one."""

    ring: KeyRing
    windows: Windows
    numbers: SenderNumbers
    journal: Journal | None
    ask_by_echo: bool
