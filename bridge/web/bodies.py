"""Reading a request's body: only once asked for, at most so large, in at most so long.

aiohttp itself has no deadline for a body, and invites it (`100 Continue`) before a handler has run.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.web import RequestPayloadError

from bridge.clock import Clock
from bridge.web.problems import RETRY_AFTER, Problem

DEADLINE = 10.0
"""Seconds for a whole body."""


class TooBig(Problem):
    """The body, inflated, is larger than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"more than {limit} bytes; send fewer alerts at once, or raise server.max_body")


class Garbled(Problem):
    """The body's own wrapping (gzip, chunks) cannot be undone."""

    def __init__(self) -> None:
        super().__init__(400, "the body's Content-Encoding or Transfer-Encoding cannot be undone")


async def read_body(request: web.Request, limit: int, clock: Clock) -> bytes:
    """The whole body. Raises TooBig, Garbled, or a 503 when it does not come in time.

    A slow body is 503 and not 408: Alertmanager repeats the one and drops the other.
    """
    if request.content.is_eof():  # it came along with the headers, as most do: nothing to wait for
        return _arrived(request, limit)
    if (request.content_length or 0) > limit:
        raise TooBig(limit)
    if request.version == HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as aiohttp does: the answer itself has not begun
    return await _in_time(_all_of(request, limit), clock)


async def uninvited(request: web.Request) -> None:
    """The `expect_handler` of every route: a body is invited by whoever reads it, after the credential."""


def _arrived(request: web.Request, limit: int) -> bytes:
    try:
        body = request.content.read_nowait()
    except (RequestPayloadError, BadHttpMessage) as error:
        raise Garbled from error
    if len(body) > limit:
        raise TooBig(limit)
    return body


async def _all_of(request: web.Request, limit: int) -> bytes:
    body = bytearray()
    try:
        while chunk := await request.content.readany():
            body += chunk
            if len(body) > limit:
                raise TooBig(limit)
    except (RequestPayloadError, BadHttpMessage) as error:
        raise Garbled from error
    return bytes(body)


async def _in_time(reading: Coroutine[Any, Any, bytes], clock: Clock) -> bytes:
    body = asyncio.ensure_future(reading)
    deadline = asyncio.ensure_future(clock.wait(DEADLINE))
    try:
        await asyncio.wait({body, deadline}, return_when=asyncio.FIRST_COMPLETED)
        if not body.done():
            raise Problem(503, f"the body did not come within {DEADLINE:.0f} s", headers={"Retry-After": RETRY_AFTER})
        return body.result()
    finally:
        body.cancel()
        deadline.cancel()
