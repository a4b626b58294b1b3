"""Every refusal that pages can show, out of the source: what the functions that pages reach raise, in English.

What a hole in a text holds is put in from SAMPLES, else a figure.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from metering.errors import RequestError
from tests.api.pages.reached import ROOT, Definition, Source

MIGRATIONS = ROOT / "ingest" / "schema" / "migrations"
FIGURE = "7"
SAMPLES = {
    "kind_name(kind)": "valve",
    "NEEDED_ROLE.label": "engineer",
    "needed": "engineer",
    "who.role.label": "operator",
    "said.noun": "edit",
    "_PARTICIPLE[action]": "resolved",
    "field.name": "period_s",
    "wanted.kind": "district_leak",
    "campaign.state": "stopped",
    "row['state']": "queued",
    "stands": "expired",
    "state": "resolved",
    "expected": "open",
    "action": "dismiss",
}
"""What may stand in a hole, by its expression, where a figure would be no example."""
OWN_WORDS = ("say(", "visit.say(")
"""How a page says something itself, in the reader's language."""


class Refusal(NamedTuple):
    where: str
    text: str
    """Empty: it cannot be told from the source."""


class Refusals:
    """Those of a package, and of all that it reaches."""

    def __init__(self, source: Source, package: str) -> None:
        self.source, self.reached = source, source.reached(package)
        self.calls: dict[str, list[tuple[Definition, ast.Call]]] = {}
        for one in self.reached:
            for call in _calls(one.node):
                self.calls.setdefault(ast.unparse(call.func).rpartition(".")[2], []).append((one, call))

    def all(self) -> Iterator[Refusal]:
        named = ((one, name, call) for name, calls in self.calls.items() for one, call in calls)
        for one, name, call in named:
            if call.args and name.endswith("Error") and _is_refusal(one.module, name):
                yield from (Refusal(one.where, text) for text in self._texts(one, call.args[0]) if text is not None)

    def _texts(self, within: Definition, said: ast.expr) -> Iterator[str | None]:
        """Every text it can be; None where the page finds words of its own, "" where it cannot be told."""
        if isinstance(said, ast.Constant) and isinstance(said.value, str):
            yield said.value or None
        elif isinstance(said, ast.JoinedStr):
            yield from map("".join, product(*(list(self._part(within, part)) for part in said.values)))
        elif isinstance(said, ast.IfExp):
            yield from self._texts(within, said.body)
            yield from self._texts(within, said.orelse)
        elif isinstance(said, ast.Name):
            yield from self._named(within, said.id)
        elif ast.unparse(said) == "str(error)":
            yield from _raised_by_the_database(within)
        else:
            yield None if ast.unparse(said).startswith(OWN_WORDS) else ""

    def _part(self, within: Definition, part: ast.expr) -> Iterator[str]:
        if not isinstance(part, ast.FormattedValue):
            yield str(part.value) if isinstance(part, ast.Constant) else ""
            return
        hole = ast.unparse(part.value)
        found: list[str] = []
        if hole == "error":
            found = list(self._values_refused(within))
        elif isinstance(part.value, ast.Name) and hole not in SAMPLES:
            found = [text for text in self._named(within, hole) if text and " " in text]
        yield from found or [SAMPLES.get(hole, FIGURE)]

    def _named(self, within: Definition, name: str) -> Iterator[str | None]:
        """What a variable holds, or what callers give as that argument."""
        assigned = [node for node in ast.walk(within.node) if isinstance(node, ast.Assign)]
        bound = [node.value for node in assigned if [ast.unparse(target) for target in node.targets] == [name]]
        for value in bound:
            yield from self._texts(within, value)
        if bound or not isinstance(within.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        names = [argument.arg for argument in within.node.args.args]
        if name in names:
            yield from self._given(within.node.name, name, names.index(name))

    def _given(self, function: str, name: str, position: int) -> Iterator[str | None]:
        for caller, call in self.calls.get(function, ()):
            given = [keyword.value for keyword in call.keywords if keyword.arg == name] or call.args[position:][:1]
            for value in given:
                yield from self._texts(caller, value)

    def _values_refused(self, within: Definition) -> Iterator[str]:
        """What the ValueErrors of the same module say."""
        for one, call in self.calls.get("ValueError", ()):
            if one.module == within.module:
                yield from (text for text in self._texts(one, call.args[0]) if text)


def _is_refusal(module: str, name: str) -> bool:
    """Whether it is one whose first argument is what it says."""
    kind = getattr(importlib.import_module(module), name, None)
    return isinstance(kind, type) and issubclass(kind, RequestError) and "__init__" not in vars(kind)


def _raised_by_the_database(within: Definition) -> Iterator[str]:
    """What the functions of the schema that it calls raise for people."""
    for name in set(re.findall(r"SELECT (\w+)\(", ast.unparse(within.node))):
        for path in sorted(MIGRATIONS.glob("*.sql")):
            for body in re.findall(rf"FUNCTION {name}\(.*?\$\$(.*?)\$\$", path.read_text(), re.DOTALL):
                yield from (said.replace("%", FIGURE) for said in re.findall(r"RAISE EXCEPTION '([^']+)'", body))


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (each for each in ast.walk(node) if isinstance(each, ast.Call))


def refusals_of(package: str) -> list[Refusal]:
    return sorted(set(Refusals(Source("api", "metering"), package).all()))
