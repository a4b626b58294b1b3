"""What becomes known of reports that the CoAP port refuses: a line of the log now and then, and who knocked."""

from __future__ import annotations

from uuid import UUID

import structlog

from gateway.strangers import Strangers
from metering.clock import now_us
from metering.envelope import mint_report_id
from metering.errors import AdmissionError
from metering.following import Pace
from metering.model import Door

LOG_PAUSE_S = 1.0
MAX_LOGGED_NAME = 64
UNKNOWN_DEVICE = "unknown_device"
"""The reason by which `Intake` refuses a name that nobody has."""

_log = structlog.get_logger()


class RefusalNotes:
    def __init__(self, strangers: Strangers) -> None:
        self._strangers = strangers
        self._pace = Pace(LOG_PAUSE_S)

    def note(self, error: AdmissionError, device: bytes, source: str, now: float) -> None:
        """A line a second at most: anybody can cause refusals. The report has an id only here: nobody stores it."""
        reason = error.reason
        if reason == UNKNOWN_DEVICE:
            self._strangers.knock(device[:MAX_LOGGED_NAME].decode("utf-8", "replace"), Door.COAP, source, reason)
        if self._pace.allows(now):
            report_id = str(UUID(bytes=mint_report_id(now_us())))
            name = device[:MAX_LOGGED_NAME].decode("utf-8", "replace")
            _log.warning("report_refused", report_id=report_id, reason=reason, device=name, source=source)
