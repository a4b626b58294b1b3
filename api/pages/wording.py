"""How a page speaks to one reader: texts in the chosen language, instants in the utility's zone, figures with units."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from api.pages.clocks import comes_twice
from api.pages.texts import TEXTS
from api.pages.texts.phrases import in_chinese
from api.pages.texts.refusals import REFUSALS
from api.pages.texts.remarks import REMARKS

DASH = "–"
ML_PER_L = 1_000
ML_PER_M3 = 1_000_000


class Language(StrEnum):
    ZH = "zh"
    EN = "en"


@dataclass(frozen=True, slots=True)
class Wording:
    language: Language
    zone: ZoneInfo

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key. A key that does not exist is a bug: KeyError."""
        text = TEXTS[key]
        chosen = text.zh if self.language is Language.ZH else text.en
        return chosen.format(**values) if values else chosen

    def refusal(self, error: Exception) -> str:
        """Why something cannot be done; in English where nobody gave its Chinese."""
        return in_chinese(str(error), REFUSALS) if self.language is Language.ZH else str(error)

    def remark(self, written: str) -> str:
        """What the platform or a person wrote down; that of a person, and of other systems, as it is."""
        return in_chinese(written, REMARKS) if self.language is Language.ZH else written

    def value(self, group: str, value: object) -> str:
        """The word for a stored value, as `value("outcome", "stored")`; a value nobody named shows as it is stored."""
        text = TEXTS.get(f"{group}.{value}")
        if text is None:
            return DASH if value is None or value == "" else str(value)
        return text.zh if self.language is Language.ZH else text.en

    def instant(self, at: datetime | None, seconds: bool = False) -> str:
        """Local date and time of the utility; the year is left out when it is the present one. A time that clocks show
        twice has its offset."""
        if at is None:
            return DASH
        local = at.astimezone(self.zone)
        day = "%m-%d" if local.year == datetime.now(self.zone).year else "%Y-%m-%d"
        offset = f" {local.isoformat()[-6:]}" if comes_twice(local) else ""
        return local.strftime(f"{day} %H:%M:%S" if seconds else f"{day} %H:%M") + offset

    def day(self, at: datetime | date | None) -> str:
        if at is None:
            return DASH
        return (at.astimezone(self.zone) if isinstance(at, datetime) else at).strftime("%Y-%m-%d")

    def money(self, amount: float | None, currency: str) -> str:
        """Small amounts with a decimal; yuan by name in Chinese."""
        if amount is None:
            return DASH
        figure = f"{amount:,.1f}" if abs(amount) < 10 else f"{amount:,.0f}"
        return f"{figure} 元" if currency == "CNY" and self.language is Language.ZH else f"{currency} {figure}"

    def span(self, length: timedelta) -> str:
        """How long something lasts: hours below three days, else days."""
        hours = max(0, int(length.total_seconds() // 3600))
        return self("unit.hours", count=hours) if hours < 72 else self("unit.days", count=hours // 24)

    def ago(self, at: datetime | None, now: datetime | None = None) -> str:
        """How long ago, in the largest unit that is at least one."""
        if at is None:
            return DASH
        seconds = max(0, int(((now or datetime.now(UTC)) - at).total_seconds()))
        if seconds < 60:
            return self("unit.seconds_ago", count=seconds)
        if seconds < 3600:
            return self("unit.minutes_ago", count=seconds // 60)
        if seconds < 48 * 3600:
            return self("unit.hours_ago", count=seconds // 3600)
        return self("unit.days_ago", count=seconds // 86400)


def count(number: int | None) -> str:
    """Digits in groups of three."""
    return DASH if number is None else f"{number:,}"


def index_m3(index_ml: int | None) -> str:
    """A register's index as its face shows it: cubic metres with three decimals."""
    return DASH if index_ml is None else f"{index_ml / ML_PER_M3:,.3f} m³"


def volume(volume_ml: int | None) -> str:
    """A consumed volume: litres below one cubic metre, cubic metres above."""
    if volume_ml is None:
        return DASH
    if abs(volume_ml) < ML_PER_M3:
        return f"{volume_ml / ML_PER_L:,.0f} L"
    if abs(volume_ml) < 1_000 * ML_PER_M3:
        return f"{volume_ml / ML_PER_M3:,.2f} m³"
    return f"{volume_ml / ML_PER_M3:,.0f} m³"


def exact(volume_ml: int | None) -> str:
    """A volume to the millilitre, where sums are checked: litres below one cubic metre, cubic metres above."""
    if volume_ml is None:
        return DASH
    if abs(volume_ml) < ML_PER_M3:
        return f"{volume_ml / ML_PER_L:,.3f}".rstrip("0").rstrip(".") + " L"
    whole, part = f"{volume_ml / ML_PER_M3:,.6f}".split(".")
    return f"{whole}.{part[:3]}{part[3:].rstrip('0')} m³"


def yearly(volume_ml: int) -> str:
    """What a present rate would make in a year, no more exact than the rate."""
    cubic = volume_ml / ML_PER_M3
    return f"{cubic:,.1f} m³" if cubic < 10 else f"{cubic:,.0f} m³"


def rate(rate_ml_h: int | None) -> str:
    """A flow in litres an hour; one decimal where a whole litre would hide the figure."""
    if rate_ml_h is None:
        return DASH
    litres = rate_ml_h / ML_PER_L
    return f"{litres:,.1f} L/h" if abs(litres) < 10 else f"{litres:,.0f} L/h"


def percent(part: int, whole: int) -> str:
    """One decimal, rounded down, so that 100 % means all."""
    if whole <= 0:
        return DASH
    return f"{int(part * 1000 / whole) / 10:.1f} %"


def scaled(value: int | None, divisor: int, unit: str, decimals: int = 1) -> str:
    """An integer in a fraction of its unit, as 0.1 dBm, in the unit itself."""
    return DASH if value is None else f"{value / divisor:.{decimals}f} {unit}"
