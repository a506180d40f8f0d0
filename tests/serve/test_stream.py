"""Streams end with their readers, whatever these do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest

from outrider.serve.errors import ApiError, ClientGoneError
from outrider.serve.stream import DONE, EventStream, while_connected

Message = MutableMapping[str, Any]
SCOPE: Message = {"type": "http"}


class Source:
    """Events that never end, or end with an error; it notes that it was closed."""

    def __init__(self, error: Exception | None = None) -> None:
        self.is_closed = False
        self._error = error

    async def events(self) -> AsyncIterator[bytes]:
        try:
            yield b"data: 1\n\n"
            if self._error is not None:
                raise self._error
            while True:
                await asyncio.sleep(0)
                yield b"data: 2\n\n"
        finally:
            self.is_closed = True


async def never() -> Message:
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}


async def leaving() -> Message:
    await asyncio.sleep(0.01)
    return {"type": "http.disconnect"}


def test_a_reader_that_takes_nothing_counts_as_gone() -> None:
    source = Source()

    async def stuck(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    asyncio.run(EventStream(source.events(), stall_s=0.02)(SCOPE, never, stuck))
    assert source.is_closed


def test_a_reader_that_leaves_closes_the_source() -> None:
    source, sent = Source(), []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(EventStream(source.events())(SCOPE, leaving, send))
    assert source.is_closed and len(sent) > 2


def test_an_error_becomes_an_event() -> None:
    source, bodies = Source(ApiError(408, "too long", code="request_timeout")), []

    async def send(message: Message) -> None:
        bodies.append(message.get("body"))

    asyncio.run(EventStream(source.events())(SCOPE, never, send))
    assert bodies[1] == b"data: 1\n\n" and b'"request_timeout"' in bodies[2] and bodies[3] == DONE
    assert source.is_closed


def test_work_ends_with_its_client() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def main() -> None:
        assert await while_connected(never, asyncio.sleep(0, 5)) == 5
        with pytest.raises(ClientGoneError):
            await while_connected(leaving, work())
        assert ended.is_set()

    asyncio.run(main())
