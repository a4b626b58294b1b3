"""Reports that could not be taken: why, from whom, and their bytes."""

from __future__ import annotations

from typing import Literal

from api.pages import parts
from api.pages.listing import Listing
from api.pages.parts import Words, attributes, box, place
from api.pages.visit import LiveView, Visit, redrawn
from api.pages.wording import Language
from api.queries.dead_letters import DeadLetterRow, ReasonCount, count_reasons, list_dead_letters
from api.queries.paging import Page

INTERVAL_S = 5.0
REASONS_S = 10.0
PAGE_ROWS = 25
REPLAYED: Literal["replayed"] = "replayed"


async def build(visit: Visit) -> None:
    say = visit.say
    listing = Listing(visit, "/dead-letters", {"state": {REPLAYED}, "reason": None, "device": None})
    reasons: list[ReasonCount] = (
        await visit.answers.get("reasons", REASONS_S, lambda: count_reasons(visit.context.read))
    ).value
    with box("nb-head"):
        Words(say("frame.dead_letters"), tag="h1")
    Words(say("dead_letters.intro"), "nb-muted")
    with box("nb-filters", "search"):
        listing.select(
            "state", say("alerts.state"), {REPLAYED: say("dead_letters.was_replayed")}, say("dead_letters.open")
        )
        names = {row.reason: f"{say.value('reason', row.reason)} ({row.waiting})" for row in reasons}
        listing.select("reason", say("dead_letters.reason"), names)
        listing.search("device", say("dead_letters.device_search"))
    with box("nb-card"):
        found = place()
    opened: set[int] = set()

    def draw(page: Page[DeadLetterRow]) -> None:
        with redrawn(found):
            if not page.items:
                parts.empty(say("dead_letters.none_found" if listing.filtered else "dead_letters.empty"))
            for letter in page.items:
                _letter(visit, letter, opened)
            listing.pager(page.next_cursor)

    view = LiveView(visit, lambda: listing.key, lambda: _load(visit, listing), draw, INTERVAL_S)
    listing.changed = view.look
    await view.start()


async def _load(visit: Visit, listing: Listing) -> Page[DeadLetterRow]:
    asked = listing.asked
    return await list_dead_letters(
        visit.context.read,
        waiting=asked["state"] != REPLAYED,
        reason=asked["reason"],
        device=asked["device"].strip(),
        limit=PAGE_ROWS,
        cursor=listing.cursor or None,
    )


def _letter(visit: Visit, letter: DeadLetterRow, opened: set[int]) -> None:
    say = visit.say
    with parts.disclosure("nb-report", letter.dead_letter_id, opened) as (heading, body):
        with heading:
            Words(say.instant(letter.received_at, seconds=True), "nb-digits", "span")
            parts.tag(say.value("reason", letter.reason), "poor")
            Words(letter.device, "nb-digits", "span")
            if say.language is Language.EN:  # messages of decoders are for engineers, and English
                Words(letter.message, "nb-muted", "span")
        with body:
            _details(visit, letter)


def _details(visit: Visit, letter: DeadLetterRow) -> None:
    say = visit.say
    rows = [
        (say("dead_letters.device"), letter.device),
        (say("dead_letters.reason"), f"{say.value('reason', letter.reason)} ({letter.reason})"),
        (say("dead_letters.message"), letter.message),
        (say("dead_letters.received"), say.instant(letter.received_at, seconds=True)),
        (say("meter.report_door"), say.value("door", letter.door)),
        (say("meter.report_authentication"), say.value("authentication", letter.authentication)),
        (say("meter.report_source"), letter.source),
        (say("dead_letters.format"), say.value("format", letter.content_format)),
        (say("dead_letters.attempts"), str(letter.attempts)),
    ]
    if letter.replayed_at is not None:
        rows.append((say("alerts.state"), say("dead_letters.replayed", time=say.instant(letter.replayed_at))))
    with parts.pairs():
        for name, value in rows:
            with parts.pair(name):
                words = Words(value, tag="span")
            if value is letter.message:
                attributes(words, {"lang": "en"})  # of a decoder, for engineers
    Words(say("dead_letters.raw", bytes=len(letter.payload_hex) // 2), "nb-muted nb-small")
    parts.hexadecimal(letter.payload_hex)
