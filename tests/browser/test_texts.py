"""Both languages say everything, and nothing is said that no page shows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from api.alert_kinds import KINDS
from api.alert_life import AlertAction, AlertState
from api.pages.evidence import SENTENCES, Certainty
from api.pages.grades import Grade
from api.pages.texts import TEXTS
from api.pages.texts.phrases import WORDS
from api.queries.alerts import CERTAINTIES, SEVERITIES, AlertOrder
from api.queries.meters import MeterState
from api.queries.suppressions import SuppressionState
from api.roles import Role
from deploy.enrolment import ACTOR
from ingest.classify import UNKNOWN_DOOR
from ingest.first_contact import BOUND_BY
from ingest.leaks.closed_by_platform import Reason
from ingest.leaks.events import Kind
from ingest.leaks.outage_groups import KINDS as OUTAGE_KINDS
from metering.alarms import Alarm
from metering.command_arguments import kind_name
from metering.commands import CommandKind, CommandState, Recall
from metering.consumption import Flag
from metering.leak_settings import VendorRule
from metering.model import Authentication, ContentFormat, Door, Outcome, Quality, Valve
from metering.new_keys import KINDS as KEY_KINDS

PAGES = Path(__file__).parents[2] / "api" / "pages"
SOURCE = "\n".join(path.read_text() for path in PAGES.glob("*.py"))
CHINESE = re.compile(r"[\u4e00-\u9fff]")
PLACEHOLDER = re.compile(r"\{[a-z_]+\}")
WITHOUT_ENGLISH = {"overview.meters_unit"}
NAMES_THE_OTHER_LANGUAGE = {"frame.language", "frame.language_label"}
PROPER_NAMES = {"CoAP", "LwM2M", "MQTT", "OSCORE", "DTLS", "JSON", "CBOR", "IMEI"}
GROUPS = {"login.", "password.", "reason.", "use."}
"""Chosen by what is stored or by which form it is: their keys are put together where they are used."""


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("key", sorted(TEXTS))
def test_both_languages_say_it_with_the_same_figures(key: str) -> None:
    zh, en = TEXTS[key]
    assert zh.strip()
    assert en.strip() or key in WITHOUT_ENGLISH
    assert _placeholders(zh) == _placeholders(en)
    if key not in NAMES_THE_OTHER_LANGUAGE:
        assert not CHINESE.search(en)
        assert CHINESE.search(zh) or zh in PROPER_NAMES or PLACEHOLDER.sub("", zh).strip("（）：；、。→, ") == ""


def test_every_key_in_the_source_exists() -> None:
    used = set(re.findall(r"""say\(\s*"([a-z_.0-9]+)\"""", SOURCE))
    assert used
    assert used <= set(TEXTS)


def test_every_text_is_used() -> None:
    literal = set(re.findall(r"""["']([a-z_]+(?:\.[a-z_0-9]+)+)["']""", SOURCE))
    built = set(re.findall(r"""["']([a-z_]+(?:\.[a-z_]+)*[._])\{""", SOURCE))
    groups = {f"{group}." for group in re.findall(r"""\.value\(\s*"([a-z_.]+)\"""", SOURCE)}
    used = tuple(built | groups | GROUPS | {f"{group}." for group in WORDS.values()})
    assert not [key for key in TEXTS if key not in literal and not key.startswith(used)]


@pytest.mark.parametrize(
    ("group", "values"),
    [
        ("quality", list(Quality)),
        ("outcome", list(Outcome)),
        ("door", [*Door, UNKNOWN_DOOR]),
        ("authentication", list(Authentication)),
        ("format", [int(value) for value in ContentFormat]),
        ("valve", [int(value) for value in Valve]),
        ("grade", list(Grade)),
        ("alarm", [str(alarm.name).lower() for alarm in Alarm]),
        ("evidence.advice", [str(alarm.name).lower() for alarm in Alarm]),
        ("evidence.certainty", list(Certainty)),
        ("step", [str(flag.name).lower() for flag in Flag]),
        ("alerts.state", list(AlertState)),
        ("alerts.certainty", list(CERTAINTIES)),
        ("alerts.order", list(AlertOrder)),
        ("alerts.kind", [kind.rstrip(":") for kind in KINDS]),
        ("evidence.rule", list(VendorRule)),
        ("evidence.outage_group", list(OUTAGE_KINDS)),
        ("alerts.closed_by_platform", list(Reason)),
        ("suppressions.state", list(SuppressionState)),
        ("alerts.severity", list(SEVERITIES)),
        ("alerts", list(AlertAction)),
        ("commands.state", [*CommandState, *Recall]),
        ("commands.kind", [kind_name(kind) for kind in CommandKind]),
        ("meters.state", list(MeterState)),
        ("frame.role", [role.label for role in Role]),
        ("keys.kind", list(KEY_KINDS)),
        ("keys.why", ["expired", "replaced", "moved"]),
        ("keys.by", [ACTOR, BOUND_BY, "import", "migration"]),
    ],
)
def test_every_stored_value_has_a_word(group: str, values: list[object]) -> None:
    assert not [value for value in values if f"{group}.{value}" not in TEXTS]


def _trees(folder: str) -> Iterator[ast.AST]:
    for path in sorted((PAGES.parents[1] / folder).rglob("*.py")):
        yield ast.parse(path.read_text())


def _constants(node: ast.AST, named: dict[str, str]) -> set[str]:
    """The words an expression can be, with names of module constants looked up."""
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) else set()
    if isinstance(node, ast.IfExp):
        return _constants(node.body, named) | _constants(node.orelse, named)
    return {named[node.id]} if isinstance(node, ast.Name) and node.id in named else set()


def _module_constants(folder: str) -> dict[str, str]:
    return {
        target.id: statement.value.value
        for tree in _trees(folder)
        for statement in ast.walk(tree)
        if isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
        for target in statement.targets
        if isinstance(target, ast.Name) and target.id.isupper()
    }


REASON_AT = {"DecodeError": 0, "Refused": 1, "Ended": 2}
"""Whose calls name the reason of a report, and at which position."""


def _reasons() -> set[str]:
    """Every reason that ingest can write to a report or dead letter, out of its source."""
    named, found = _module_constants("ingest"), set()
    for node in (node for tree in _trees("ingest") for node in ast.walk(tree)):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name in REASON_AT and len(node.args) > REASON_AT[name]:
                found |= _constants(node.args[REASON_AT[name]], named)
            if isinstance(node.func, ast.Attribute) and ast.unparse(node.func) == "reasons.append":
                found |= _constants(node.args[0], named)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "reason":
            found |= _constants(node.value, named)
        elif isinstance(node, ast.Tuple) and ast.unparse(node).startswith("(failed['report_id'], "):
            found |= _constants(node.elts[1], named)
    return {reason for reason in found if re.fullmatch("[a-z_]+", reason)} | {named["ENVELOPE_REASON"]}


def test_every_reason_by_which_doors_know_a_stranger_has_words() -> None:
    assert {"reason.unknown_device", "reason.unknown_identity", "reason.unknown_user"} <= set(TEXTS)


def test_every_reason_of_ingest_has_a_word() -> None:
    """Adding a reason without words for it fails here."""
    reasons = _reasons()
    assert {
        "checksum",
        "unknown_device",
        "implausible_time",
        "conflict",
        "repeat",
        "write_error",
        "envelope",
    } <= reasons
    assert not [reason for reason in reasons if f"reason.{reason}" not in TEXTS]


def test_every_kind_of_alert_has_a_name_and_sentences() -> None:
    named = _module_constants("ingest")
    kinds: set[str] = set()
    for node in (node for tree in _trees("ingest/leaks") for node in ast.walk(tree)):
        if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] != "Finding":
            continue
        kind = node.args[1]
        by_alarm = isinstance(kind, ast.Call) and ast.unparse(kind.func) == "_kind"
        words = {named["KIND"].rstrip(":")} if by_alarm else _constants(kind, named)
        if ast.unparse(kind).endswith("kind.value"):  # one of the detector's
            words = {str(one) for one in Kind}
        assert words, f"unknown kind of alert: {ast.unparse(node)}"
        kinds |= words
    assert {"continuous_flow", "silent", "meter_alarm"} <= kinds
    assert not [kind for kind in kinds if f"alerts.kind.{kind}" not in TEXTS or kind not in SENTENCES]


def test_every_extra_field_of_the_decoders_has_a_word() -> None:
    """What decoders keep beside the report's own fields, by the names they give it; devices may add others."""
    fields = {"meter_address"}
    for node in (node for tree in _trees("ingest/decoders") for node in ast.walk(tree)):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "extra":
            fields |= _constants(node.slice, {})
        elif isinstance(node, (ast.AnnAssign, ast.Return)) and isinstance(node.value, ast.Dict):
            whole = isinstance(node, ast.Return) or ast.unparse(node.target) == "extra"
            fields |= {key.value for key in node.value.keys if whole and isinstance(key, ast.Constant)}
    fields -= {"kind", "extra"}
    assert {"di", "st", "settlement_index_ml", "csq"} <= fields
    assert not [name for name in fields if f"extra.{name}" not in TEXTS]


def test_the_default_use_of_water_has_a_word() -> None:
    schema = (PAGES.parents[1] / "ingest/schema/migrations/0001_registry.sql").read_text()
    (default,) = re.findall(r"use_class\s+text NOT NULL DEFAULT '([a-z]+)'", schema)
    assert f"use.{default}" in TEXTS
