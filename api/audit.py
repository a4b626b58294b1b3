"""The log of what people did."""

from __future__ import annotations

import json
from typing import Any


async def audit(connection: Any, actor: str, action: str, target: str, detail: dict[str, Any]) -> None:
    """One line of the audit log, in the caller's transaction. `detail` holds no secret."""
    await connection.execute(
        "INSERT INTO audit_log (actor, action, object, detail) VALUES ($1, $2, $3, $4::jsonb)",
        actor,
        action,
        target,
        json.dumps(detail),
    )
