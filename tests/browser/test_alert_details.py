"""The page of alerts: what was seen and its hours at once, the rest behind the details."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Site, Visitors
from tests.browser.leaks import LEAK_SERIAL

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest.mark.parametrize(
    ("language", "details", "advice"), [("zh", "详情", "怎样算漏水已止"), ("en", "Details", "What would clear it")]
)
async def test_more_of_an_alert_is_behind_its_details(
    site: Site, visitors: Visitors, language: str, details: str, advice: str
) -> None:
    visitor = await visitors.new(site)
    await visitor.log_in("viewer", language)
    await visitor.open("/alerts?kind=leak")
    alert = visitor.page.locator("article", has_text=LEAK_SERIAL)
    assert await alert.locator("figure svg").is_visible()
    assert not await alert.get_by_text(advice).is_visible()
    await visitor.shoot(f"alerts-folded-{language}")
    await alert.get_by_text(details, exact=True).click()
    await alert.get_by_text(advice).wait_for()
    await visitor.shoot(f"alerts-unfolded-{language}")
    assert not visitor.faults
