"""Whatever a client sends, it is answered with a 2xx, 3xx or 4xx that says what is wrong: never with a 500."""

from __future__ import annotations

import random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.queries.paging import decode_cursor, encode_cursor
from api.routes import accounting, alerts, meters
from metering.errors import RequestError
from tests.api.conftest import NOW, Seed

NAMES = [
    "search", "zone", "state", "silent", "has_alert", "limit", "cursor", "from", "to", "format", "by", "severity",
    "kind", "serial", "recount_days", "waiting", "reason", "device",
]  # fmt: skip
VALUES = [
    "", "0", "-1", "1", "501", "9" * 30, "1e9", "NaN", "true", "null", "[]", "a" * 3000, "é", "龙", "'", '"', "\\", "%",
    "%00", "\ufffd", "2026-03-01", "2026-02-30", "0001-01-01", "9999-12-31", "2026-03-01T00:00:00Z", "hour", "day",
    "month", "csv", "json", "open", "silent", "critical",
    encode_cursor(["210000000003"]), encode_cursor([NOW, 5]), encode_cursor([NOW, 2**63 - 1]), encode_cursor([-5]),
    encode_cursor([NOW, "00000000-0000-0000-0000-000000000000"]), encode_cursor(["0001-01-01", 1]),
    encode_cursor(["9999-12-31T23:59:59.999999-14:00", 1]),
]  # fmt: skip
PATHS = {
    "serial": ["210000000001", "x", "é", "%2e%2e"],
    "alert_id": ["1", "0", "x", "9" * 19],
    "report_id": ["x", "ffffffff-ffff-ffff-ffff-ffffffffffff", "0" * 32],
    "dead_letter_id": ["1", "9" * 40],
}
ROUNDS = 12


@pytest.mark.parametrize("seed_number", [1, 2])
async def test_garbage_never_breaks_a_route(viewer: httpx.AsyncClient, seeded: Seed, seed_number: int) -> None:
    dice = random.Random(seed_number)
    templates = [
        route.path
        for router in (meters, alerts, accounting)
        for route in router.router.routes
        if "GET" in route.methods
    ]
    for template in templates:
        for _ in range(ROUNDS):
            path = template.format(**{name: dice.choice(values) for name, values in PATHS.items()})
            params = {dice.choice(NAMES): dice.choice(VALUES) for _ in range(dice.randrange(5))}
            answer = await viewer.get(f"/api/v1{path}", params=params)
            assert answer.status_code < 500, (path, params, answer.text)
            assert answer.status_code < 400 or answer.json()["message"]


@given(st.text(max_size=600))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        (member,) = decode_cursor(text, str)
    except RequestError:
        return
    assert isinstance(member, str)


@given(st.text(st.characters(categories=["L", "N"]), max_size=50), st.integers(-(2**63) + 1, 2**63 - 1), st.datetimes())
def test_a_cursor_comes_back_as_it_was(text: str, number: int, instant: object) -> None:
    instant = instant.replace(tzinfo=NOW.tzinfo)
    assert decode_cursor(encode_cursor([text, number, instant]), str, int, type(NOW)) == [text, number, instant]
