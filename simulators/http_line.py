"""HTTP/1.1 as a platform that pushes speaks it: one request after the other on a connection that is kept."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

ANSWER_S = 15.0
"""The real platform waits no longer."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where pushes go. `ca`: PEM file of who signed its certificate; `header`: name and value of its own."""

    url: str
    header: tuple[str, str] | None = None
    ca: str = ""


class Line:
    """HTTP/1.1 over one connection that is made again when it breaks."""

    def __init__(self, receiver: Receiver) -> None:
        parts = urlsplit(receiver.url)
        self._host, self._port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context(cafile=receiver.ca or None) if parts.scheme == "https" else None
        own = f"{receiver.header[0]}: {receiver.header[1]}\r\n" if receiver.header else ""
        self._head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{own}Content-Type: application/json\r\n"
            "Content-Length: "
        ).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Line:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def post(self, body: bytes) -> str:
        """The status; `error` or `timeout` when there was none."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._post(body)
        except TimeoutError:
            self.close()
            return "timeout"
        except (OSError, EOFError, ValueError, IndexError):
            self.close()
            return "error"

    async def _post(self, body: bytes) -> str:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        reader, writer = self._streams
        writer.write(self._head + b"%d\r\n\r\n" % len(body) + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = head.partition("content-length:")[2].partition("\r\n")[0]
        await reader.readexactly(int(length or 0))
        if "connection: close" in head:
            self.close()
        return head.split(" ", 2)[1]

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
