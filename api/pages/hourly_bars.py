"""Hours of flow as a small drawing that stands in a line of text: an SVG made of numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from api.pages.wording import ML_PER_L

BAR_PX = 9
STEP_PX = 12
HEIGHT_PX = 46


def drawing(hourly_ml: Sequence[int | None], threshold_ml: int, titles: Sequence[str]) -> str:
    """One bar an hour, from zero; a line at the threshold; a hollow bar where no reading tells.

    `titles` (one per hour) show when the pointer rests on a bar. Raises TypeError or ValueError for what are no
    figures, so that nothing a stranger wrote gets into the markup.
    """
    flows = [None if flow is None else int(flow) for flow in hourly_ml]
    top = max((flow for flow in (*flows, int(threshold_ml)) if flow is not None), default=0) or ML_PER_L
    bars = (_bar(at, flow, top, title) for at, (flow, title) in enumerate(zip(flows, titles, strict=True)))
    line = HEIGHT_PX - _height(int(threshold_ml), top)
    width = STEP_PX * len(flows)
    return (
        f'<svg viewBox="0 0 {width} {HEIGHT_PX}" width="{width}" height="{HEIGHT_PX}" aria-hidden="true">'
        f'{"".join(bars)}<line class="nb-limit" x1="0" x2="{width}" y1="{line}" y2="{line}"/></svg>'
    )


def _bar(at: int, flow_ml: int | None, top_ml: int, title: str) -> str:
    height = HEIGHT_PX - 1 if flow_ml is None else max(1.0, _height(flow_ml, top_ml))
    style = "nb-unknown" if flow_ml is None else "nb-flow"
    return (
        f'<rect class="{style}" x="{at * STEP_PX + 1}" y="{HEIGHT_PX - height:g}" width="{BAR_PX}" height="{height:g}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _height(flow_ml: int, top_ml: int) -> float:
    return round(max(0, flow_ml) / top_ml * (HEIGHT_PX - 2), 1)
