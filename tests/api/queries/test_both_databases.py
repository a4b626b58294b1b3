"""Every query on plain PostgreSQL and on TimescaleDB, and with no more rights than the api's own role has."""

from __future__ import annotations

from datetime import timedelta

from api.accounts import create_token, create_user, ensure_first_administrator, revoke_token, update_user
from api.alert_life import AlertAction, AlertState
from api.auth import Auth
from api.database import check_schema, open_read_pool, open_write_pool
from api.queries.accounting import list_accounting
from api.queries.alerts import AlertFilter, AlertOrder, get_alert, list_alert_events, list_alerts, move_alert
from api.queries.consumption import Granularity, list_consumption
from api.queries.dead_letters import count_reasons, list_dead_letters
from api.queries.meters import MeterFilter, get_meter, list_meters, list_zones
from api.queries.overview import get_overview, received_total
from api.queries.paging import Page
from api.queries.people import list_tokens, list_users
from api.queries.readings import index_curve, list_conflicts, list_readings
from api.queries.reports import get_report, list_reports
from api.roles import Role
from metering.model import MeterId
from tests.api.conftest import METERS, NOW, PASSWORD, SILENCE, TODAY, ZONE, seed


async def ask_everything(url: str, first_meter: int, report_id: str, alert_id: int) -> None:
    read = await open_read_pool(url, 1)
    try:
        await check_schema(read)
        meter = MeterId(first_meter)
        since, until = NOW - timedelta(days=3), NOW
        assert len((await list_meters(read, MeterFilter(), now=NOW, silence_after=SILENCE)).items) == METERS
        assert (await get_meter(read, "210000000001", now=NOW, silence_after=SILENCE)).meter.meter_id == meter
        assert len(await list_zones(read)) == 2
        assert len((await list_readings(read, meter, since, until)).items) == 49
        assert len(await index_curve(read, meter, since, until)) == 49
        assert await list_conflicts(read, meter, since, until) == []
        for granularity, known in [(Granularity.HOUR, 48), (Granularity.DAY, 3), (Granularity.MONTH, 1)]:
            rows = await list_consumption(read, meter, granularity, TODAY - timedelta(days=2), TODAY, ZONE)
            assert len([row for row in rows if row.volume_ml is not None]) == known
        page = await list_reports(read, meter, limit=3)
        following: Page = await list_reports(read, meter, limit=10, cursor=page.next_cursor)
        assert len(page.items + following.items) == 7
        assert (await get_report(read, report_id)).payload_hex == "a10001"
        assert len((await list_dead_letters(read)).items) == len(await count_reasons(read)) == 1
        assert len((await list_alerts(read, AlertFilter(zone="HLD"))).items) == 4
        worst = (await list_alerts(read, AlertFilter(), order=AlertOrder.WORST)).items
        assert list(await list_alert_events(read, worst)) == [row.alert_id for row in worst]
        assert (await get_alert(read, alert_id)).alert.state is AlertState.OPEN
        assert all(row.adds_up for row in await list_accounting(read, TODAY - timedelta(days=30), TODAY, ZONE))
        overview = await get_overview(read, now=NOW, silence_after=SILENCE, zone=ZONE)
        assert (overview.meters, await received_total(read, TODAY)) == (11, 7)
    finally:
        await read.close()


async def test_every_query_runs_on_both(any_database_url: str) -> None:
    seeded = await seed(any_database_url)
    await ask_everything(any_database_url, seeded.meter_ids[0], str(seeded.report_ids[0]), seeded.alert_ids[0])


async def test_the_rights_of_the_api_are_enough(database_url: str) -> None:
    seeded = await seed(database_url)
    url = f"{database_url}?role=nbwater_api"
    await ask_everything(url, seeded.meter_ids[0], str(seeded.report_ids[0]), seeded.alert_ids[0])
    read, write = await open_read_pool(url, 1), await open_write_pool(url, 1)
    try:
        await ensure_first_administrator(write, PASSWORD)
        await create_user(write, "li", Role.VIEWER, PASSWORD, actor="admin")
        await update_user(write, "li", role=Role.OPERATOR, enabled=None, password=None, actor="admin")
        token = await create_token(write, "t", "li", Role.OPERATOR, actor="admin")
        auth = Auth(read, write, 3600)
        assert await auth.token_of(token)
        session = await auth.verify_login("li", PASSWORD, "127.0.0.1")
        await auth.change_password("li", PASSWORD, "another-password", "127.0.0.1")
        await auth.logout(session)
        await revoke_token(write, "t", actor="admin")
        assert (len(await list_users(read)), await list_tokens(read)) == (2, [])
        alert = seeded.alert_ids[0]
        assert await move_alert(write, alert, AlertAction.RESOLVE, actor="li") is AlertState.RESOLVED
    finally:
        await read.close()
        await write.close()
