"""The keys of a meter's device: what kind, since when, until when, by whom; never what they are."""

from __future__ import annotations

from datetime import datetime

from api.pages import parts
from api.pages.parts import Words, box
from api.pages.visit import Visit
from api.queries.credentials import CredentialRow


def draw(visit: Visit, keys: list[CredentialRow], now: datetime) -> None:
    if not keys:
        parts.empty(visit.say("keys.none"))
    for key in keys:
        _key(visit, key, now)


def _key(visit: Visit, key: CredentialRow, now: datetime) -> None:
    say = visit.say
    with box("nb-alert info"):
        with box("nb-alert-head"):
            Words(say.value("keys.kind", key.kind), "nb-alert-kind", "span")
            Words(key.key_id, "nb-digits", "span")
            if key.revoked_at is not None:
                parts.tag(say("keys.ended"), "quiet")
            elif key.expires_at is not None and key.expires_at <= now:
                parts.tag(say("keys.expired"), "quiet")
            elif key.expires_at is not None:
                parts.tag(say("keys.ending"), "fair")
            else:
                parts.tag(say("keys.valid"), "good")
        facts = [say("keys.made", time=say.instant(key.created_at), who=key.created_by)]
        if key.revoked_at is not None:
            why = say.value("keys.why", key.revoked_why)
            facts.append(say("keys.ended_at", time=say.instant(key.revoked_at), why=why))
        elif key.expires_at is not None:
            facts.append(say("keys.ends_at", time=say.instant(key.expires_at)))
        Words(" · ".join(facts), "nb-muted nb-small")
