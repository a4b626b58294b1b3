"""The end of device keys: by time, and because the key that replaces them was used. The feed hears of it by the outbox.

Run by the one who publishes the registry (expiry) and by whoever hears the gateways (use). Both only ever end keys, and
for good: so a key's time is over when both the database's clock and ours say so. One that was stepped ahead by a day
would lock out every meter that is about to change its key.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from prometheus_client import Counter

from metering.key_uses import KeyUse

EXPIRY_EVERY_S = 1.0
MAX_EXPIRED_PER_ROUND = 10_000

ENDED = Counter("nbwater_ingest_keys_ended_total", "Device keys ended by the platform", ["why"])

_EXPIRE = """
UPDATE credentials SET revoked_at = now(), revoked_why = 'expired'
WHERE credential_id IN (
    SELECT credential_id FROM credentials WHERE revoked_at IS NULL AND expires_at <= LEAST(now(), $2)
    ORDER BY expires_at LIMIT $1
)
"""

# The keys of the device that were on their way out when the used one was made.
_REPLACED = """
UPDATE credentials old SET revoked_at = now(), revoked_why = 'replaced'
FROM credentials used JOIN unnest($1::smallint[], $2::bytea[]) AS told (kind, key_id)
    ON used.kind = told.kind AND used.key_id = told.key_id AND used.revoked_at IS NULL
WHERE used.replaces_id IS NOT NULL AND old.device_id = used.device_id AND old.kind = used.kind
    AND old.credential_id < used.credential_id AND old.revoked_at IS NULL AND old.expires_at IS NOT NULL
"""


async def end_expired(connection: Any, now: datetime) -> int:
    """End the keys whose time is over; how many there were."""
    count = _count(await connection.execute(_EXPIRE, MAX_EXPIRED_PER_ROUND, now))
    ENDED.labels("expired").inc(count)
    return count


async def end_replaced(connection: Any, uses: Sequence[KeyUse]) -> int:
    """End what these keys replace; how many there were. A key that replaces nothing ends nothing."""
    count = _count(await connection.execute(_REPLACED, [int(use.kind) for use in uses], [use.key_id for use in uses]))
    ENDED.labels("replaced").inc(count)
    return count


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
