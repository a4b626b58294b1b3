"""Keys of meters, many at once, for the command line: made, taken in, replaced, ended; each a transaction with its line
in the audit log."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from api.audit import audit
from deploy.accounts import master_key_path
from deploy.key_files import Row, written
from deploy.servers import connect_database, locked_transaction
from ingest.registry import credentials as stored
from ingest.registry.credentials import Held, KeyHolder, NewCredential
from ingest.registry.key_rows import KeyRow, parse_key_file
from metering.credentials import CredentialKind, MasterKeys, load_master_keys
from metering.errors import ConflictError, ImportRowsError, SettingsError
from metering.new_keys import new_key
from metering.settings import KeysSettings, load

ACTOR = "command line"
MAX_ATTEMPTS = 8
"""Of finding Sender IDs that nobody has; two are needed once in a thousand million keys."""


def master_keys(data: Path) -> MasterKeys:
    """Of the settings, else of the platform on `data`; never made here: a key that gateways do not have would seal
    what nobody opens. Raises SettingsError."""
    settings = load(KeysSettings)
    if not settings.master.get_secret_value() and not settings.master_file:
        file = master_key_path(data)
        if not file.exists():
            raise SettingsError(
                f"there is no master key: set NBWATER_KEYS_MASTER_FILE, or name with --data a platform that has {file}"
            )
        settings = settings.model_copy(update={"master_file": str(file)})
    keys = load_master_keys(settings)
    assert keys is not None  # noqa: S101 - one of the two is set
    return keys


async def make_keys(
    url: str,
    keys: MasterKeys,
    kind: CredentialKind,
    names: Sequence[tuple[int, str]] | None,
    out: Path | None,
    urn: bool = False,
    overlap: timedelta | None = None,
) -> int:
    """New keys for these devices, or, `names` being None, for all that have none of this kind; written to `out`, and
    how many. `overlap`: they replace the present ones, which end so much later or when the new one is used.

    Raises ImportRowsError when one is nobody's, or has a key already (without `overlap`) or none (with it).
    """
    with ExitStack() as keeping:
        async with locked_transaction(url, stored.lock) as connection:
            holders = (
                await stored.holders_without(connection, kind)
                if names is None
                else await stored.holders_of(connection, names)
            )
            before = await stored.held(connection, kind, holders)
            _check_held(holders, before, kind, replacing=overlap is not None)
            if overlap is not None:
                await stored.phase_out(connection, kind, holders, overlap)
            made = await _store_made(connection, keys, kind, holders, before, urn)
            action = "keys.generate" if overlap is None else "keys.rotate"
            await audit(
                connection, ACTOR, action, audit_target(holders), {"kind": kind.name.lower(), "keys": len(made)}
            )
            # Before the commit: keys that meters need and nobody has are worse than a file of keys that are not valid.
            keeping.enter_context(written(out, made))
    return len(made)


async def import_keys(url: str, keys: MasterKeys, data: bytes, overlap: timedelta | None = None) -> int:
    """The keys of a file (see `key_rows`), all of them or none; how many. `overlap`: as for `make_keys`, for devices
    that have a key of the kind already. Raises ImportRowsError."""
    rows = parse_key_file(data)
    async with locked_transaction(url, stored.lock) as connection:
        for kind in CredentialKind:
            await _import_kind(connection, keys, kind, [row for row in rows if row.key.kind is kind], overlap)
        await audit(connection, ACTOR, "keys.import", f"{len(rows)} devices", {"keys": len(rows)})
    return len(rows)


async def enrol_rows(url: str, keys: MasterKeys, rows: Sequence[dict[str, str]]) -> int:
    """As `import_keys`, for rows that use the names of the file's header; how many were new. Keys that are valid
    already are passed over: simulated meters are enrolled at each start."""
    connection = await connect_database(url)
    try:
        valid = await connection.fetch("SELECT kind, key_id FROM credentials WHERE revoked_at IS NULL")
    finally:
        await connection.close()
    present = {(CredentialKind(row["kind"]), bytes(row["key_id"])) for row in valid}
    new = [row for row in rows if _key_of(row) not in present]
    if not new:
        return 0
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ("serial", "kind", "key_id", "key"))
    writer.writeheader()
    writer.writerows(new)
    return await import_keys(url, keys, text.getvalue().encode())


def _key_of(row: dict[str, str]) -> tuple[CredentialKind, bytes]:
    kind = CredentialKind[row["kind"].upper()]
    return kind, bytes.fromhex(row["key_id"]) if kind is CredentialKind.OSCORE else row["key_id"].encode()


async def revoke_keys(url: str, names: Sequence[tuple[int, str]], kind: CredentialKind | None, reason: str) -> int:
    """End the keys of these devices now; how many. Raises ImportRowsError for a device that is nobody's."""
    async with locked_transaction(url, stored.lock) as connection:
        holders = await stored.holders_of(connection, names)
        count = await stored.revoke(connection, holders, kind, reason)
        detail = {"kind": kind.name.lower() if kind else "all", "keys": count, "reason": reason}
        await audit(connection, ACTOR, "keys.revoke", audit_target(holders), detail)
    return count


async def reseal_keys(url: str, keys: MasterKeys) -> int:
    """Seal all with the newest master key; how many were not. Raises ConflictError, having done nothing, when some are
    sealed with a master key that is not here."""
    async with locked_transaction(url, stored.lock) as connection:
        count, failed = await stored.reseal(connection, keys)
        if failed:
            raise ConflictError(f"{failed} keys open with none of the master keys at hand; nothing was changed")
        await audit(connection, ACTOR, "keys.reseal", f"master key {keys.newest}", {"keys": count})
    return count


async def _store_made(
    connection: Any,
    keys: MasterKeys,
    kind: CredentialKind,
    holders: Sequence[KeyHolder],
    before: dict[int, Held],
    urn: bool,
) -> list[Row]:
    """Those whose id is taken are made again: a Sender ID is drawn by lot."""
    made: dict[int, Row] = {}
    waiting = list(holders)
    for _ in range(MAX_ATTEMPTS):
        drawn = [
            (holder, new_key(kind, holder.device, urn, before.get(holder.device_id, Held()).ids)) for holder in waiting
        ]
        made |= {holder.device_id: (holder, key) for holder, key in drawn}
        refused = await stored.store(connection, stored.seal_all(keys, drawn, before), ACTOR)
        waiting = [each.holder for each in refused]
        if not waiting or kind is not CredentialKind.OSCORE:
            break
    if waiting:
        raise ImportRowsError([(holder.line, "key_id", f"{holder.device} is another key's id") for holder in waiting])
    return list(made.values())


async def _import_kind(
    connection: Any, keys: MasterKeys, kind: CredentialKind, rows: Sequence[KeyRow], overlap: timedelta | None
) -> None:
    holders = await stored.holders_of(connection, [(row.line, row.name) for row in rows])
    before = await stored.held(connection, kind, holders)
    if overlap is None:
        _check_held(holders, before, kind, replacing=False)
    else:
        await stored.phase_out(connection, kind, holders, overlap)
    by_line = {row.line: row.key for row in rows}
    named = [
        (holder, key if key.key_id else key._replace(key_id=holder.device.encode()))
        for holder, key in ((holder, by_line[holder.line]) for holder in holders)
    ]
    refused: list[NewCredential] = await stored.store(connection, stored.seal_all(keys, named, before), ACTOR)
    if refused:
        raise ImportRowsError([(each.holder.line, "key_id", "is another valid key's id") for each in refused])


def _check_held(
    holders: Sequence[KeyHolder], before: dict[int, Held], kind: CredentialKind, *, replacing: bool
) -> None:
    word = kind.name.lower()
    message = f"has no {word} key to replace: generate one" if replacing else f"has an {word} key already: rotate it"
    errors = [
        (holder.line, "", f"{holder.name} {message}")
        for holder in holders
        if (before.get(holder.device_id, Held()).newest is not None) is not replacing
    ]
    if errors:
        raise ImportRowsError(errors)


def audit_target(holders: Sequence[KeyHolder]) -> str:
    """What the audit log names as the object of an act on these devices."""
    return holders[0].device if len(holders) == 1 else f"{len(holders)} devices"
