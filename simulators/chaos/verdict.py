"""What a run found, as a table for people and as one line of JSON for a log."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

from simulators.chaos.accounts import Books
from simulators.chaos.faults import Tormentor
from simulators.chaos.fleet import Fleet
from simulators.chaos.network import Network, Relay
from simulators.chaos.settled import Settled
from simulators.exchange import SenderCounts
from simulators.reconcile import Reconciliation


@dataclass(slots=True)
class Verdict:
    seed: int
    seconds: float
    plan: list[str]
    seconds_taken: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    not_shown: list[str] = field(default_factory=list)
    sent: int = 0
    answered: int = 0
    refused: int = 0
    unknown: int = 0
    sent_again: int = 0
    codes: dict[str, int] = field(default_factory=dict)
    doors: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of each door reports sent and answered."""
    sender: SenderCounts = field(default_factory=SenderCounts)
    network: dict[str, int] = field(default_factory=dict)
    unrest: str = ""
    """What was not calm when the time for it had passed; empty: all was."""
    calm_after_s: float = 0.0
    reports: Reconciliation = field(default_factory=Reconciliation)
    books: Books = field(default_factory=Books)
    settled: Settled = field(default_factory=Settled)

    def took_load(self, fleet: Fleet) -> None:
        self.sent, self.answered, self.refused, self.unknown = (
            fleet.offered,
            fleet.answered,
            fleet.refused,
            fleet.unknown,
        )
        self.sent_again, self.codes = fleet.sent_again, dict(fleet.codes)
        self.doors = fleet.by_door()

    def took_network(self, relay: Relay | Network) -> None:
        self.network = {
            "lost": relay.lost, "duplicated": relay.duplicated, "delayed": relay.delayed, "rebound": relay.rebound,
        }  # fmt: skip

    def took_faults(self, tormentor: Tormentor) -> None:
        self.faults = {str(kind): count for kind, count in sorted(tormentor.done.items())}
        self.missed, self.not_shown = list(tormentor.missed), list(tormentor.not_shown)

    def wrongs(self) -> list[str]:
        """Each thing that must not be; empty is a pass."""
        found = []
        if not self.answered:
            found.append("no report was answered: the run shows nothing")
        found += [f"no report by {door} was answered" for door, (_, answered) in self.doors.items() if not answered]
        if self.unrest:
            found.append(f"not calm by itself: {self.unrest}")
        if not self.reports.ok:
            examples = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in self.reports.examples.items())
            found.append(f"answered ⊆ stored ⊆ sent does not hold: {examples}")
        if self.refused:
            found.append(f"{self.refused} reports of registered meters were refused: {self.codes}")
        if self.reports.answered != self.answered:
            found.append(f"the sender counts {self.answered} answered, its ledger {self.reports.answered}")
        if self.books.unaccounted:
            found += self.books.examples() or ["the books do not add up"]
        if odd := {name: count for name, count in self.books.outcomes.items() if name in ("partial", "dead_lettered")}:
            found.append(f"every report was well-formed and of a registered meter, yet: {odd}")
        if not self.settled.ok:
            found.append("settled days are not what the readings say: " + "; ".join(self.settled.examples))
        return found + [f"not shown: {what}" for what in self.not_shown]

    @property
    def ok(self) -> bool:
        return not self.wrongs()

    def as_dict(self) -> dict[str, Any]:
        document = asdict(self)
        document["reports"]["ok"] = self.reports.ok
        for name in ("without_row", "without_message", "rows_twice", "letters_amiss", "days_amiss"):
            document["books"][name] = len(document["books"][name])
        return {"ok": self.ok, "wrongs": self.wrongs(), **document}

    def table(self) -> Table:
        reports, books, days = self.reports, self.books, self.settled
        table = Table(title=f"chaos, seed {self.seed}, {self.seconds:.0f} s", show_header=False)
        table.add_row("faults", ", ".join(f"{kind} {count}" for kind, count in self.faults.items()))
        for what in self.missed:
            table.add_row("  missed", what)
        table.add_row("datagrams", ", ".join(f"{count} {what}" for what, count in self.network.items()))
        again = f"again {self.sent_again}, retransmissions {self.sender.retransmissions}"
        table.add_row("reports sent", f"{self.sent}; {again}, after 5.03 {self.sender.unavailable_retries}")
        table.add_row("answered / refused / unknown", f"{self.answered} / {self.refused} / {self.unknown}")
        for door, (sent, answered) in self.doors.items():
            table.add_row(f"  by {door}", f"{answered} of {sent} answered")
        table.add_row("stored once, as sent", f"{reports.stored} (of the unknown {reports.stored - reports.answered})")
        table.add_row("lost / doubled / altered / unsent",
                      f"{reports.lost} / {reports.doubled} / {reports.altered} / {reports.unsent}")  # fmt: skip
        table.add_row("readings sent / stored / unsent",
                      f"{reports.readings_sent} / {reports.readings_stored} / {reports.unsent_readings}")  # fmt: skip
        outcomes = ", ".join(f"{name} {count}" for name, count in sorted(books.outcomes.items()))
        table.add_row("received", f"{books.received} = {outcomes}, in flight {books.in_flight}")
        table.add_row("unaccounted", f"{books.unaccounted} (twice in the stream: {books.stream_copies})")
        table.add_row("settled days", f"{days.days}; missing {days.missing}, wrong {days.wrong}, torn {days.torn}")
        table.add_row("calm", f"after {self.calm_after_s:.0f} s" if not self.unrest else f"NOT: {self.unrest}")
        wrongs = self.wrongs()
        for wrong in wrongs:
            table.add_row("WRONG", wrong)
        table.add_row("verdict", "FAILED" if wrongs else "nothing lost, nothing doubled, everything accounted for")
        return table
