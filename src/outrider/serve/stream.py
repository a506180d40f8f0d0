"""Server-sent events, and a response that ends the work behind it when its reader leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from outrider.serve.errors import ClientGoneError, as_api_error, document, log_fault

Value = TypeVar("Value")
DONE = b"data: [DONE]\n\n"
# What `/openapi.json` says of routes that stream where they are asked to.
STREAMED: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
# ASCII only: some clients split lines at U+2028 and the like, which other encodings would leave as they are.
quote = json.encoder.encode_basestring_ascii


def event(text: str) -> bytes:
    """One event from a JSON text."""
    return f"data: {text}\n\n".encode("ascii")


def error_event(error: BaseException) -> bytes:
    """What happened in the middle of a stream, when the status has long been sent."""
    log_fault(error)
    return event(json.dumps(document(as_api_error(error))))


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Value]) -> Value:
    """The result of `work`, which is cancelled when the client leaves. Raises: ClientGoneError."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


class EventStream(Response):
    """Sends events as they come. When the client leaves, the source is closed where it stands.

    An error of the source becomes an event; `done` ends every stream that is read to its end. A client that takes
    nothing for `stall_s` counts as gone: what it does not read would be kept for it, and its place taken.
    """

    def __init__(self, events: AsyncIterator[bytes], headers: Mapping[str, str] | None = None, *,
                 done: bytes = DONE, stall_s: float = 60.0) -> None:
        super().__init__(headers=dict(headers or {}), media_type="text/event-stream")
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-cache"
        self.headers["x-accel-buffering"] = "no"  # proxies that would hold events back
        self._events, self._done, self._stall_s = events, done, stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await while_connected(receive, self._send_all(send))
        except (ClientGoneError, TimeoutError):
            return  # unfinished, so that the connection is closed

    async def _send_all(self, send: Send) -> None:
        now_s = asyncio.get_running_loop().time
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async with asyncio.timeout(None) as limit:
                async for data in _with_errors(self._events):
                    limit.reschedule(now_s() + self._stall_s)
                    await send({"type": "http.response.body", "body": data, "more_body": True})
                    limit.reschedule(None)
                limit.reschedule(now_s() + self._stall_s)
                await send({"type": "http.response.body", "body": self._done, "more_body": False})
        finally:
            await self._events.aclose()  # type: ignore[attr-defined]


async def _with_errors(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for data in events:
            yield data
    except Exception as error:
        yield error_event(error)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
