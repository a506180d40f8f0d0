"""From an `Asked` to a response: a stream of events, or one document."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence

from fastapi import Request
from starlette.responses import Response

import outrider
from outrider.core.request import Result
from outrider.serve.asked import Asked
from outrider.serve.chunks import ChunkWriter, Head
from outrider.serve.running import News, Running
from outrider.serve.service import Service
from outrider.serve.stream import EventStream, while_connected
from outrider.serve.usage import metrics, usage

Choices = Callable[[Asked, Service, Sequence[Result]], list[dict[str, object]]]


def head_of(prefix: str, kind: str, service: Service) -> Head:
    """A fresh id, and the name and version of what answers."""
    return Head(f"{prefix}-{secrets.token_hex(12)}", kind, int(time.time()), service.names[0],
                f"outrider-{outrider.__version__}")


async def streamed(http: Request, service: Service, asked: Asked, writer: ChunkWriter) -> Response:
    """Headers go out with the first token: until then an error still has a status of its own."""
    running = service.start(asked.requests)
    rest = running.news()
    try:
        first = await while_connected(http.receive, _next(rest))
    except BaseException:
        running.stop()
        raise
    return EventStream(writer.events(running, first, rest), stall_s=service.settings.stall_s)


async def whole(http: Request, service: Service, asked: Asked, head: Head, choices: Choices) -> Response:
    """All of it at once; a client that leaves ends the work."""
    running = service.start(asked.requests)
    try:
        results = await while_connected(http.receive, _collected(running))
    finally:
        running.stop()
    told = {**head.fields(), "choices": choices(asked, service, results), "usage": usage(running, asked),
            "metrics": metrics(results, service.max_draft)}
    return Response(json.dumps(told), media_type="application/json")


async def _next(news: AsyncIterator[News]) -> News:
    return await anext(news)


async def _collected(running: Running) -> list[Result]:
    async for _ in running.news():
        pass
    return running.results()
