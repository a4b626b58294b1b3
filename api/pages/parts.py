"""The few shapes pages are made of. Whatever a device or a person supplied goes in as text or as an attribute's value,
never as HTML or as a template.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import quote, urlencode

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import GenericEventArguments

from api.pages.grades import Grade

Tone = Literal["", "good", "fair", "poor", "quiet"]
HEX_CHARACTERS_PER_BYTE = 2
GRADE_TONES: dict[Grade, Tone] = {Grade.GOOD: "good", Grade.FAIR: "fair", Grade.POOR: "poor", Grade.UNKNOWN: "quiet"}


# A Vue template, constant: on a narrow screen a row is a card, its figures in pairs of name and value.
_FACTS_CARD = """<div class="nb-item"><div class="nb-item-head"><b
 v-for="(column, at) in props.cols.slice(0, RIGHT_FROM)" :key="column.name"
><a v-if="!at && props.row.target" :href="props.row.target">{{ props.row[column.name] }}</a
><template v-else>{{ props.row[column.name] }}</template></b></div><dl class="nb-item-grid nb-inline">
<div v-for="column in props.cols.slice(RIGHT_FROM)" :key="column.name"><dt>{{ column.label }}</dt>
<dd class="nb-digits">{{ props.row[column.name] }}</dd></div></dl></div>"""

_LEADING = '<q-td :props="props"><a :href="props.row.target">{{ props.value }}</a></q-td>'


class Words(TextElement):
    """Plain text in an element with a tag of its own."""

    def __init__(self, text: str, classes: str = "", tag: str = "div") -> None:
        super().__init__(text=text, tag=tag)
        self.classes(classes)


def attributes(element: Element, values: Mapping[str, Any]) -> Element:
    """Sets attributes whose values may be anybody's text; `Element.props` would parse them."""
    for name, value in values.items():
        element.props[name] = value
    return element


@contextmanager
def box(classes: str = "", tag: str = "div", **values: str) -> Iterator[Element]:
    """An element that holds what is drawn inside the block."""
    with attributes(ui.element(tag).classes(classes), values) as element:
        yield element


def place(classes: str = "") -> Element:
    """An empty element to draw into later."""
    return ui.element("div").classes(classes)


@contextmanager
def card(title: str, extra: str = "") -> Iterator[Element]:
    """A titled surface; what is drawn inside the block goes to its body."""
    with box("nb-card", "section", **{"aria-label": title}) as surface:
        with box("nb-card-head"):
            Words(title, tag="h2")
            if extra:
                Words(extra, "nb-muted", "span")
        with box("nb-card-body"):
            yield surface


def link(text: str, target: str, classes: str = "") -> Element:
    """A link inside the site."""
    return attributes(Words(text, classes, "a"), {"href": target})


def meter_path(serial: str) -> str:
    return f"/meters/{quote(serial, safe='')}"


def district_path(code: str) -> str:
    return f"/districts?{urlencode({'zone': code})}"


def named(name: str | None, code: str | None) -> str:
    """A name with its code, unless they say the same."""
    return f"{name} ({code})" if name and code and name != code else name or code or ""


def tag(text: str, tone: Tone = "") -> Element:
    """A word in a colour."""
    return Words(text, f"nb-tag {tone}", "span")


def figure(name: str, value: str, unit: str = "", detail: str = "", target: str | None = None, hint: str = "") -> None:
    """A number worth a glance; `hint` says how it is defined, to pointer, finger and screen reader."""
    with box("nb-figure", "a" if target else "div", **({"href": target} if target else {})):
        with box("nb-figure-name"):
            Words(name, tag="span")
            if hint:
                attributes(Words("ⓘ", "nb-hint", "span"), {"role": "img", "aria-label": hint, "tabindex": "0"})
        with box("nb-figure-value"):
            Words(value, tag="span")
            if unit:
                Words(unit, "nb-figure-unit", "span")
        Words(detail, "nb-figure-detail")


@contextmanager
def pairs() -> Iterator[None]:
    """A list of names and values; fill it with `pair`."""
    with box("nb-pairs", "dl"):
        yield


@contextmanager
def pair(name: str) -> Iterator[None]:
    Words(name, tag="dt")
    with box(tag="dd"):
        yield


def text_pairs(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values that are plain text."""
    with pairs():
        for name, value in rows:
            with pair(name):
                Words(value, tag="span")


def empty(text: str) -> None:
    """What to say, and what to do, where there is nothing to show."""
    Words(text, "nb-empty")


def hexadecimal(payload_hex: str) -> None:
    """Raw bytes in pairs of digits."""
    step = HEX_CHARACTERS_PER_BYTE
    Words(" ".join(payload_hex[i : i + step] for i in range(0, len(payload_hex), step)), "nb-hex", "pre")


def button(text: str, on_click: Callable[[], object], primary: bool = False) -> Element:
    """Who clicks twice, as on a desktop, means once: the second click of a double click is passed over."""
    shown = ui.button(text, color=None).props("no-caps unelevated dense")
    shown.on("click", on_click, js_handler="(event) => { if (event.detail < 2) emit(); }")
    return shown.classes("nb-button nb-primary" if primary else "nb-button")


def facts_table(
    columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], right_from: int, targets: Sequence[str] = ()
) -> None:
    """A small table of plain texts; columns (name, heading) from `right_from` on hold figures. `targets`: where the
    first text of each row leads."""
    shown = [
        {"name": name, "label": label, "field": name, "align": "right" if at >= right_from else "left"}
        for at, (name, label) in enumerate(columns)
    ]
    cells = [
        {
            "id": number,
            "target": targets[number] if targets else "",
            **{name: cell for (name, _), cell in zip(columns, row, strict=True)},
        }
        for number, row in enumerate(rows)
    ]
    table = ui.table(rows=cells, columns=shown).classes("nb-table nb-facts")
    table.props('flat dense :grid="Quasar.Screen.lt.sm"')
    table.add_slot("item", _FACTS_CARD.replace("RIGHT_FROM", str(right_from)))
    if targets:
        table.add_slot(f"body-cell-{columns[0][0]}", _LEADING)


@contextmanager
def disclosure(classes: str, key: Hashable, opened: set[Any]) -> Iterator[tuple[Element, Element]]:
    """A line that opens, by the browser's own <details>. `opened` remembers which ones the reader has open, so that
    they stay so when the list is drawn again. Draw into the line and the body it hands out.
    """
    with box(classes, "details") as details:
        if key in opened:
            details.props["open"] = True
        heading = ui.element("summary").classes("nb-report-line")
        body = ui.element("div").classes("nb-report-body")
    yield heading, body

    def toggled(event: GenericEventArguments) -> None:
        (opened.add if event.args else opened.discard)(key)

    details.on("toggle", toggled, js_handler="(event) => emit(event.target.open)")
