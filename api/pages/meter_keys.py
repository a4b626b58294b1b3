"""What vouches for a meter's device: its keys (what kind, since when, until when, by whom; never what they are) and the
push products that may speak for it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from api.pages import parts
from api.pages.parts import Words, box
from api.pages.visit import Visit
from api.pages.wording import Wording
from api.queries.credentials import CredentialRow
from api.queries.pushers import BindingRow


class Vouchers(NamedTuple):
    keys: list[CredentialRow]
    bindings: list[BindingRow]


def draw(visit: Visit, found: Vouchers, now: datetime) -> None:
    if not found.keys and not any(binding.ended_at is None for binding in found.bindings):
        parts.empty(visit.say("keys.none"))
    for key in found.keys:
        _key(visit, key, now)
    for binding in found.bindings:
        _binding(visit, binding)


def _who(say: Wording, actor: str) -> str:
    """A login, or one of our own words."""
    return say.value("keys.by", actor)


def _binding(visit: Visit, binding: BindingRow) -> None:
    say, ended_at = visit.say, binding.ended_at
    with box("nb-alert info"):
        with box("nb-alert-head"):
            Words(say("keys.pusher"), "nb-alert-kind", "span")
            Words(binding.product, "nb-digits", "span")
            parts.tag(say("keys.bound" if ended_at is None else "keys.ended"), "good" if ended_at is None else "quiet")
        facts = [say("keys.bound_at", time=say.instant(binding.bound_at), who=_who(say, binding.bound_by))]
        if ended_at is not None:
            who, why = _who(say, binding.ended_by or ""), say.value("keys.why", binding.ended_why)
            facts.append(say("keys.unbound_at", time=say.instant(ended_at), who=who, why=why))
        Words(" · ".join(facts), "nb-muted nb-small")


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
        facts = [say("keys.made", time=say.instant(key.created_at), who=_who(say, key.created_by))]
        if key.revoked_at is not None:
            why = say.value("keys.why", key.revoked_why)
            facts.append(say("keys.ended_at", time=say.instant(key.revoked_at), why=why))
        elif key.expires_at is not None:
            facts.append(say("keys.ends_at", time=say.instant(key.expires_at)))
        Words(" · ".join(facts), "nb-muted nb-small")
