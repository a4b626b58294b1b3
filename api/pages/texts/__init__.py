"""Every word of the pages, in Chinese and English: one literal table per page, joined here."""

from __future__ import annotations

from api.pages.texts.alerts import ALERTS
from api.pages.texts.amendments import AMENDMENTS
from api.pages.texts.billing import BILLING
from api.pages.texts.campaigns import CAMPAIGNS
from api.pages.texts.commands import COMMANDS
from api.pages.texts.dead_letters import DEAD_LETTERS
from api.pages.texts.districts import DISTRICTS
from api.pages.texts.fields import FIELDS
from api.pages.texts.frame import FRAME
from api.pages.texts.keys import KEYS
from api.pages.texts.leak_evidence import LEAK_EVIDENCE
from api.pages.texts.meter import METER
from api.pages.texts.meters import METERS
from api.pages.texts.overview import OVERVIEW
from api.pages.texts.path import PATH
from api.pages.texts.reasons import REASONS
from api.pages.texts.suppressions import SUPPRESSIONS
from api.pages.texts.text import Text
from api.pages.texts.unknown_devices import UNKNOWN_DEVICES
from api.pages.texts.values import VALUES

TEXTS: dict[str, Text] = {
    **FRAME,
    **OVERVIEW,
    **PATH,
    **METERS,
    **METER,
    **AMENDMENTS,
    **BILLING,
    **KEYS,
    **DISTRICTS,
    **ALERTS,
    **LEAK_EVIDENCE,
    **SUPPRESSIONS,
    **COMMANDS,
    **CAMPAIGNS,
    **DEAD_LETTERS,
    **UNKNOWN_DEVICES,
    **REASONS,
    **VALUES,
    **FIELDS,
}

__all__ = ["TEXTS", "Text"]
