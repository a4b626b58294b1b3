"""The commands beside `up`, each called once against a running platform."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable

import httpx

from ingest.registry.key_rows import parse_key_file
from tests.e2e.running import Up, until

HOURS = 30


def json_of(up: Up, *arguments: str) -> dict[str, object]:
    done = up.plain(*arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_commands_find_the_running_platform(start: Callable[..., Up]) -> None:
    up = start()
    up.register()
    a_recording_is_played_and_found_whole(up)
    load_is_reconciled(up)
    a_dead_letter_is_listed_and_tried_again(up)
    a_copy_is_marked_until_it_is_gone(up)
    a_token_opens_the_rest_interface(up)
    meters_are_told_and_valves_closed_by_two(up)
    a_lost_password_is_replaced(up)
    keys_are_made_and_end(up)
    settings_and_versions_are_printed(up)
    assert "nothing to do" in up.nbwater("migrate").stdout
    assert up.end() == 0


def a_recording_is_played_and_found_whole(up: Up) -> None:
    file = up.data.parent / "readings.csv"
    rows = [f"M{meter},2026-01-0{1 + h // 24} {h % 24:02d}:00,{100 + 7 * h}" for meter in (1, 2) for h in range(HOURS)]
    file.write_text("\n".join(("meter_id,ts,index_l", *rows)) + "\n")
    found = json_of(up, "simulate", "--data", str(up.data), "replay", str(file), "--format", "mixed", "--check")
    assert found["ok"]
    assert found["check"]["readings_stored_once"] == 2 * HOURS


def load_is_reconciled(up: Up) -> None:
    options = ("--reports-per-second", "50", "--meters", "10", "--duration", "1")
    found = json_of(up, "simulate", "--data", str(up.data), "load", *options)
    assert found["reconciliation"]["ok"]
    assert found["reconciliation"]["stored"] == 50


def a_dead_letter_is_listed_and_tried_again(up: Up) -> None:
    long = b"no frame of any meter" + bytes(100)
    until(lambda: up.post(long) == "2.04", "a report nobody can read is taken all the same")
    until(lambda: "1 waiting" in up.nbwater("dead-letters", "list").stderr, "it stands under dead letters")
    shown = up.nbwater("dead-letters", "list").stdout
    assert f"{long[:64].hex()}… (121 bytes)\n" in shown
    assert f"{long.hex()}\n" in up.nbwater("dead-letters", "list", "--full").stdout
    missing = up.nbwater("dead-letters", "replay", "999999")
    assert (missing.returncode, missing.stderr) == (1, "nbwater: no open dead letter 999999\n")
    assert "1 still wait" in up.nbwater("dead-letters", "replay", shown.split()[0]).stdout
    assert "1 still wait" in up.nbwater("dead-letters", "replay").stdout


def a_copy_is_marked_until_it_is_gone(up: Up) -> None:
    up.nbwater("backup", "mark", "night")
    again = up.nbwater("backup", "mark", "night")
    assert (again.returncode, again.stderr.startswith("nbwater: the restore point night exists")) == (1, True)
    assert up.nbwater("backup", "list").stdout.startswith("night ")
    assert "night: unmarked" in up.nbwater("backup", "unmark", "night").stdout
    assert up.nbwater("backup", "list").stdout == ""
    missing = up.nbwater("backup", "unmark", "night")
    assert (missing.returncode, missing.stderr) == (1, "nbwater: no restore point is called night\n")


def a_token_opens_the_rest_interface(up: Up) -> None:
    token = up.nbwater("tokens", "create", "billing").stdout.strip()
    url = f"{up.instance['api_url']}/api/v1/meters"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200


def meters_are_told_and_valves_closed_by_two(up: Up) -> None:
    token = up.nbwater("tokens", "create", "engineer", "--role", "engineer").stdout.strip()
    who = ("--token", token)
    nobody = up.nbwater("commands", "file", "set_clock", "434045073902")
    assert nobody.returncode == 1
    assert "NBWATER_TOKEN" in nobody.stderr
    filed = up.nbwater("commands", "file", "report_now", "434045073902", *who)
    command_id = filed.stdout.split()[0]
    close = up.nbwater(
        "commands", "file", "valve", "434045073902", "--set", "valve=close", "--reason", "burst", *who
    ).stdout.split()[0]  # fmt: skip
    assert "somebody else" in up.nbwater("commands", "approve", close, *who).stderr
    assert up.nbwater("commands", "cancel", close, *who).returncode == 0
    until(lambda: "handed_over" in _after_a_report(up, command_id), "the command is handed over")
    assert "cancelled" in up.nbwater("commands", "list", "--state", "cancelled").stdout
    spread = up.nbwater("plan", "spread", "--days", "1")
    assert "nothing was changed" in spread.stdout, spread.stderr
    assert up.nbwater("campaigns", "show").returncode == 0


def _after_a_report(up: Up, command_id: str) -> str:
    up.post()
    return up.nbwater("commands", "show", command_id).stdout


def a_lost_password_is_replaced(up: Up) -> None:
    password = up.nbwater("users", "set-password", "admin").stdout.strip()
    assert "one-time password" in up.nbwater("users", "list").stdout
    url = up.instance["api_url"]
    answer = httpx.post(f"{url}/login", data={"login": "admin", "password": password}, headers={"Origin": url})
    assert answer.headers["location"] == "/"
    unknown = up.nbwater("users", "set-password", "nobody")
    assert (unknown.returncode, unknown.stderr) == (1, "nbwater: there is no user nobody\n")


def keys_are_made_and_end(up: Up) -> None:
    file = up.data.parent / "keys.xlsx"
    made = up.nbwater("keys", "generate", "434045073902", "--kind", "oscore", "--out", str(file))
    assert (made.returncode, made.stdout) == (0, ""), made.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    (row,) = parse_key_file(file.read_bytes())
    until(lambda: up.post() == "4.01", "a meter that has a key is refused on the plain door")
    again = up.nbwater("keys", "generate", "434045073902", "--kind", "oscore")
    assert (again.returncode, again.stderr.splitlines()[0]) == (1, "434045073902 has an oscore key already: rotate it")
    rotated = up.nbwater("keys", "rotate", "434045073902", "--kind", "oscore")
    (newer,) = parse_key_file(rotated.stdout.encode())
    listed = up.nbwater("keys", "list", "--device", "434045073902").stdout
    assert (row.key.shown_id in listed, newer.key.shown_id in listed) == (True, True)
    assert "0 keys sealed anew" in up.nbwater("keys", "reseal").stderr
    assert "2 keys revoked" in up.nbwater("keys", "revoke", "434045073902", "--reason", "test").stderr
    said = listed + "".join(log.read_text() for log in (up.data / "logs").glob("*.log"))
    for key in (row.key, newer.key):
        assert key.shown_key not in said
        assert key.salt.hex() not in said


def settings_and_versions_are_printed(up: Up) -> None:
    assert tomllib.loads(up.plain("config", "print").stdout)["gateway"]["port"] == 5683
    assert "database schema" in up.plain("version").stdout
