"""Hours of flow as a small drawing that stands in a line of text: an SVG made of numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from api.pages.wording import ML_PER_L

BAR_PX = 9
STEP_PX = 12
HEIGHT_PX = 46
SELDOM = 0.2
"""By habit the hour meets the limit no more often."""


def drawing(
    hourly_ml: Sequence[int | None],
    limit_ml: int | None,
    titles: Sequence[str],
    usual: Sequence[float] | None = None,
) -> str:
    """One bar an hour, from zero; a line at the limit; a hollow bar where no reading tells. `usual`: how often (0..1)
    each hour meets the limit by habit, as ground behind its bar; where it seldom does, a bar that does stands out.

    `titles` (one per hour) show when the pointer rests on a bar. Raises TypeError or ValueError for what are no
    figures, so that nothing a stranger wrote gets into the markup.
    """
    flows = [None if flow is None else int(flow) for flow in hourly_ml]
    habits = [1.0] * len(flows) if usual is None else [min(1.0, max(0.0, float(share))) for share in usual]
    top = max((flow for flow in (*flows, limit_ml) if flow is not None), default=0) or ML_PER_L
    grounds = () if usual is None else (_ground(at, share) for at, share in enumerate(habits))
    hours = zip(flows, habits, titles, strict=True)
    bars = (
        _bar(at, flow, top, title, share <= SELDOM and (flow or 0) >= (limit_ml or 1))
        for at, (flow, share, title) in enumerate(hours)
    )
    width = STEP_PX * len(flows)
    line = "" if limit_ml is None else _line(HEIGHT_PX - _height(int(limit_ml), top), width)
    return (
        f'<svg viewBox="0 0 {width} {HEIGHT_PX}" width="{width}" height="{HEIGHT_PX}" aria-hidden="true">'
        f"{''.join(grounds)}{''.join(bars)}{line}</svg>"
    )


def _line(y: float, width: int) -> str:
    return f'<line class="nb-limit" x1="0" x2="{width}" y1="{y:g}" y2="{y:g}"/>'


def _ground(at: int, share: float) -> str:
    height = round(share * (HEIGHT_PX - 2), 1)
    return (
        f'<rect class="nb-usual" x="{at * STEP_PX}" y="{HEIGHT_PX - height:g}" width="{STEP_PX}" height="{height:g}"/>'
    )


def _bar(at: int, flow_ml: int | None, top_ml: int, title: str, odd: bool) -> str:
    height = HEIGHT_PX - 1 if flow_ml is None else max(1.0, _height(flow_ml, top_ml))
    style = "nb-unknown" if flow_ml is None else "nb-flow nb-odd" if odd else "nb-flow"
    return (
        f'<rect class="{style}" x="{at * STEP_PX + 1}" y="{HEIGHT_PX - height:g}" width="{BAR_PX}" height="{height:g}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _height(flow_ml: int, top_ml: int) -> float:
    return round(max(0, flow_ml) / top_ml * (HEIGHT_PX - 2), 1)
