"""The same requests when they need more than one datagram: aiocoap puts the blocks together (RFC 7959).

aiocoap matches a path-capable resource at ``rd`` for what is below it but not for ``/rd`` itself: both are registered.
"""

from __future__ import annotations

from collections.abc import Iterator

import aiocoap
from aiocoap import resource

from gateway.coap.lwm2m.requests import Answer, Inbound, Requests
from gateway.coap.remote import Remote


class _Exact(resource.Resource):  # type: ignore[misc]  # aiocoap has no types
    def __init__(self, requests: Requests, path: tuple[str, ...], retry_after_s: int) -> None:
        super().__init__()
        self._requests, self._path, self._retry_after_s = requests, path, retry_after_s

    async def render(self, request: aiocoap.Message) -> aiocoap.Message:
        remote: Remote = request.remote.client
        content_format = request.opt.content_format
        inbound = Inbound(
            int(request.code),
            self._path + self._below(request),
            tuple(part.encode() for part in request.opt.uri_query),
            None if content_format is None else int(content_format),
            request.payload,
            remote,
        )
        return self._message(await self._requests.handle(inbound))

    def _below(self, request: aiocoap.Message) -> tuple[str, ...]:  # noqa: ARG002 - the path is all there is
        return ()

    def _message(self, answer: Answer) -> aiocoap.Message:
        message = aiocoap.Message(code=aiocoap.numbers.codes.Code(answer.code))
        message.opt.location_path = answer.location
        if answer.retry_later:
            message.opt.max_age = self._retry_after_s
        return message


class _Below(_Exact, resource.PathCapable):  # type: ignore[misc]  # aiocoap has no types
    def _below(self, request: aiocoap.Message) -> tuple[str, ...]:
        return tuple(request.opt.uri_path)


def resources(requests: Requests, retry_after_s: int) -> Iterator[tuple[list[str], resource.Resource]]:
    """Path and resource, for aiocoap's site."""
    for path in (("rd",), ("dp",), ("bs",), ("t", "r")):
        yield list(path), _Exact(requests, path, retry_after_s)
    yield ["rd"], _Below(requests, ("rd",), retry_after_s)
