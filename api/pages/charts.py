"""ECharts options. Colours are those of Okabe and Ito, told apart by colour-blind readers; qualities differ in pattern
too. Every function is pure: figures in, options out; nothing a device can write gets into an option.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Options = dict[str, Any]

QUALITY_COLOURS = {"measured": "#0072B2", "interpolated": "#E69F00", "estimated": "#CC79A7", "edited": "#009E73"}
QUALITY_PATTERNS: Mapping[str, Options] = {
    "interpolated": {"symbol": "rect", "dashArrayX": [1, 0], "dashArrayY": [3, 3], "rotation": 0.785},
    "estimated": {"symbol": "circle", "symbolSize": 0.6},
    "edited": {"symbol": "rect", "dashArrayX": [1, 0], "dashArrayY": [2, 4], "rotation": -0.785},
}
WHOLE_COLOUR = "#0072B2"
RUNNING_COLOUR = "#56B4E9"
RUNNING_PATTERN: Mapping[str, Any] = {"symbol": "rect", "dashArrayX": [1, 0], "dashArrayY": [2, 5], "rotation": 0.785}
FONT = 'system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", sans-serif'


# JavaScript, constant but for the unit: only what is there, with its unit.
_TOOLTIP = """shown => [shown[0].axisValueLabel, ...shown.filter(it => it.value != null)
 .map(it => `${it.marker}${it.seriesName} <b>${it.value.toLocaleString()} %s</b>`)].join("<br>")"""
_TOOLTIP_OF_BAND = """shown => { const at = shown.find(it => it.seriesIndex === 2), half = shown[1];
 return at?.value == null ? shown[0].axisValueLabel : [at.axisValueLabel,
 `${at.marker}${at.seriesName} <b>${at.value.toLocaleString()} ± ${(half.value / 2).toFixed(2)} %s</b>`
 ].join("<br>") }"""
_HOURS_LABELLED = "(at, label) => label.slice(-5, -3) %% %d === 0"
_TIME_LABELS = {"year": "{yyyy}-{MM}", "month": "{MM}-{dd}", "day": "{MM}-{dd}", "hour": "{HH}:{mm}"}


@dataclass(frozen=True, slots=True)
class Look:
    """`title` is what a screen reader says of the chart."""

    title: str
    dark: bool


@dataclass(frozen=True, slots=True)
class Series:
    """A kind of bar: the key bars name, the word readers see, its look."""

    key: str
    name: str
    colour: str
    pattern: Mapping[str, Any] | None = None
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of consumption. `volume_ml` None leaves its place empty: nothing is known, which is not zero."""

    label: str
    volume_ml: int | None
    series: str


def qualities(names: Mapping[str, str]) -> list[Series]:
    """A series per quality of consumption, in the order of `names`."""
    return [
        Series(quality, name, QUALITY_COLOURS.get(quality, "#999999"), QUALITY_PATTERNS.get(quality))
        for quality, name in names.items()
    ]


def consumption(
    bars: Sequence[Bar], series: Sequence[Series], unit: str, ml_per_unit: int, look: Look, label_every: int = 0
) -> Options:
    """Stacked bars, one series per kind that occurs. `label_every`: of bars labelled with hours of the day only those
    of 0:00 and each so many hours on may show it, also where clocks change."""
    options = _frame([bar.label for bar in bars], unit, look)
    if label_every:
        options["xAxis"]["axisLabel"][":interval"] = _HOURS_LABELLED % label_every
    options["legend"]["show"] = True
    options["grid"]["top"] = 52  # the legend above, the unit below it
    options["series"] = [
        {
            "name": kind.name,
            "type": "bar",
            "stack": "volume",
            "barMaxWidth": 30,
            "color": kind.colour,
            "itemStyle": {"decal": kind.pattern or {"symbol": "none"}, "opacity": kind.opacity},
            "data": [_scaled(bar.volume_ml, ml_per_unit) if bar.series == kind.key else None for bar in bars],
        }
        for kind in series
        if any(bar.series == kind.key for bar in bars)
    ]
    return options


def rate(labels: Sequence[str], rates: Sequence[float], unit: str, look: Look) -> Options:
    """A rate over time as a filled line."""
    options = _frame(labels, unit, look)
    options["xAxis"]["boundaryGap"] = False
    options["series"] = [
        {
            "name": look.title,
            "type": "line",
            "data": [round(value, 2) for value in rates],
            "showSymbol": len(rates) < 3,
            "color": _stroke(look.dark),
            "areaStyle": {"opacity": 0.16},
            "lineStyle": {"width": 1.5},
        }
    ]
    return options


def band(
    labels: Sequence[str], rows: Sequence[tuple[float, float] | None], names: tuple[str, str], unit: str, look: Look
) -> Options:
    """A figure per label with the half width of its band; None where it is not known."""
    options = _frame(labels, unit, look)
    options["xAxis"]["boundaryGap"] = False
    options["legend"]["show"] = True
    options["legend"]["data"] = list(names)
    options["grid"]["top"] = 52
    shape = {"type": "line", "showSymbol": len(rows) < 3, "color": _stroke(look.dark)}
    hidden = {"lineStyle": {"opacity": 0}, "stack": "band", "silent": True, "stackStrategy": "all"}
    low = [None if row is None else round(row[0] - row[1], 3) for row in rows]
    options["series"] = [
        {**shape, **hidden, "name": "", "data": low, "showSymbol": False, "tooltip": {"show": False}},
        {**shape, **hidden, "name": names[1], "showSymbol": False, "areaStyle": {"opacity": 0.18},
         "data": [None if row is None else round(2 * row[1], 3) for row in rows]},
        {**shape, "name": names[0], "lineStyle": {"width": 1.5},
         "data": [None if row is None else round(row[0], 3) for row in rows]},
    ]  # fmt: skip
    options["tooltip"] = {"trigger": "axis", "confine": True, ":formatter": _TOOLTIP_OF_BAND % unit}
    return options


def lines(labels: Sequence[str], series: Mapping[str, Sequence[float | None]], unit: str, look: Look) -> Options:
    """Several figures over time, told apart by colour and dash."""
    options = _frame(labels, unit, look)
    options["xAxis"]["boundaryGap"] = False
    options["legend"]["show"] = True
    options["grid"]["top"] = 52
    looks = zip(QUALITY_COLOURS.values(), ("solid", "dashed", "dotted", "solid"), strict=True)
    options["series"] = [
        {"name": name, "type": "line", "data": list(values), "showSymbol": len(values) < 3, "color": colour,
         "lineStyle": {"width": 1.5, "type": dash}}
        for (name, values), (colour, dash) in zip(series.items(), looks, strict=False)
    ]  # fmt: skip
    return options


def index(points: Sequence[tuple[int, int]], look: Look) -> Options:
    """Cumulative index over time; points are (local wall time as Unix milliseconds, millilitres)."""
    options = _frame([], "m³", look)
    options["useUTC"] = True
    options["xAxis"] = {
        "type": "time",
        "axisLabel": {"color": _ink(look.dark), "hideOverlap": True, "formatter": _TIME_LABELS},
        "axisLine": _line(look.dark),
    }
    options["yAxis"]["scale"] = True
    options["tooltip"] = {"trigger": "axis", "confine": True, ":valueFormatter": "value => value.toFixed(3) + ' m³'"}
    options["series"] = [
        {
            "name": look.title,
            "type": "line",
            "data": [[at_ms, round(index_ml / 1_000_000, 6)] for at_ms, index_ml in points],
            "showSymbol": len(points) < 3,
            "color": _stroke(look.dark),
            "lineStyle": {"width": 1.5},
            "sampling": "lttb",
        }
    ]
    return options


def _frame(labels: Sequence[str], unit: str, look: Look) -> Options:
    ink = _ink(look.dark)
    return {
        "animation": False,
        "textStyle": {"fontFamily": FONT, "fontSize": 12},
        "aria": {"enabled": True, "label": {"description": look.title}, "decal": {"show": True}},
        "grid": {"left": 8, "right": 30, "top": 34, "bottom": 4, "containLabel": True},
        "legend": {"show": False, "right": 8, "top": 0, "itemWidth": 14, "itemHeight": 9, "textStyle": {"color": ink}},
        "tooltip": {"trigger": "axis", "confine": True, ":formatter": _TOOLTIP % unit},
        "xAxis": {
            "type": "category",
            "data": list(labels),
            "axisLabel": {"color": ink, "hideOverlap": True},
            "axisLine": _line(look.dark),
            "axisTick": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "name": unit,
            "nameTextStyle": {"color": ink, "align": "left", "padding": [0, 0, 0, -24]},
            "axisLabel": {"color": ink},
            "splitLine": {"lineStyle": {"color": "#2c3b47" if look.dark else "#e6eaee"}},
        },
        "series": [],
    }


def _stroke(dark: bool) -> str:
    return RUNNING_COLOUR if dark else WHOLE_COLOUR


def _ink(dark: bool) -> str:
    return "#b8c4ce" if dark else "#4a5a68"


def _line(dark: bool) -> Options:
    return {"lineStyle": {"color": "#44545f" if dark else "#b9c3cc"}}


def _scaled(volume_ml: int | None, ml_per_unit: int) -> float | None:
    return None if volume_ml is None else round(volume_ml / ml_per_unit, 3)
