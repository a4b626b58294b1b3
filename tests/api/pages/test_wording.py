"""Figures with units: to the millilitre where sums are checked."""

from __future__ import annotations

import pytest

from api.pages.wording import exact


@pytest.mark.parametrize(
    ("volume_ml", "words"),
    [
        (None, "–"), (0, "0 L"), (500, "0.5 L"), (-98_500, "-98.5 L"), (3_000, "3 L"), (120_000, "120 L"),
        (9_266_000, "9.266 m³"), (9_269_001, "9.269001 m³"), (-2_000_000, "-2.000 m³"),
        (1_654_383_290, "1,654.38329 m³"),
    ],
)  # fmt: skip
def test_an_exact_volume_hides_nothing(volume_ml: int | None, words: str) -> None:
    assert exact(volume_ml) == words
