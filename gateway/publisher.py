"""Publishes one batch as one JetStream message and says whether it is on disk (DESIGN sections 3.1 and 3.2).

Only `js.publish` is used: it waits for the PubAck. `js.publish_async` never resolves when the stream refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import nats.errors
import nats.js.errors
import structlog

from gateway.link import StreamLink
from metering.envelope import REPORTS_HEADER, Report, encode
from metering.errors import CustodyError, CustodyUnknownError, StreamFullError
from metering.streams import UP_STREAM, up_subject

ATTEMPTS = 3
"""A publish whose PubAck got lost is repeated under the same Nats-Msg-Id within the deadline, this often at most when
the server is silent; when it is not there at all, as often as fits."""

RETRY_PAUSE_S = 0.1
STREAM_FULL_CODE = 10077
_log = structlog.get_logger()


class Publisher:
    """`timeout_s` is the deadline of a batch, repeats included."""

    def __init__(self, link: StreamLink, timeout_s: float) -> None:
        self._link, self._timeout_s = link, timeout_s

    async def publish(self, partition: int, reports: Sequence[Report], repeats: Mapping[str, int]) -> None:
        """Returns when the batch is on disk. Raises StreamFullError (certainly not stored) or CustodyUnknownError."""
        subject, body = up_subject(partition), encode(reports, repeats)
        headers = {"Nats-Msg-Id": message_id(reports), REPORTS_HEADER: str(len(reports))}
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_s
        while (left_s := deadline - clock()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self._link.connected.wait()
                attempt_s = max(0.001, min(deadline - clock(), self._timeout_s / ATTEMPTS))
                await self._link.js.publish(subject, body, timeout=attempt_s, stream=UP_STREAM, headers=dict(headers))
                return
            except nats.js.errors.APIError as error:
                raise _refusal(error) from error
            except (nats.errors.Error, OSError, TimeoutError) as error:
                _log.warning("a batch had no PubAck yet", subject=subject, reports=len(reports), error=repr(error))
                await asyncio.sleep(RETRY_PAUSE_S)
        raise CustodyUnknownError(f"no PubAck within {self._timeout_s} s")


def message_id(reports: Sequence[Report]) -> str:
    """The same for the same reports only. A report may come again among others (out of a spool): under the name of its
    first batch, which may be stored, the server would take the second for a repeat and store none of it."""
    return blake2b(b"".join([report.report_id for report in reports]), digest_size=16).hexdigest()


def _refusal(error: nats.js.errors.APIError) -> CustodyError:
    if isinstance(error, nats.js.errors.ServiceUnavailableError) or error.err_code == STREAM_FULL_CODE:
        return StreamFullError(str(error.description))
    return CustodyUnknownError(str(error))
