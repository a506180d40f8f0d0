"""`Answer`: what comes of one request to an `AsyncLLM`, read in an event loop while the engine's thread writes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from outrider.core.request import Delta, Request, Result
from outrider.engine.sequence import Sequence
from outrider.errors import RequestError

Item = Delta | BaseException | None


class Answer:
    """`async for delta in answer` gives it as it comes; then `result()` has all of it.

    Leaving the loop early, or cancelling the task, aborts the request. Make it inside a running event loop.
    """

    def __init__(self, request: Request, stop: Callable[[Answer], None]) -> None:
        self.request = request
        self.sequences: list[Sequence] = []  # written by the engine's thread, before the first item
        self._stop = stop
        self._error: BaseException | None = None
        self.loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Item] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[Delta]:
        """Raises: what kept the engine from answering, OutriderError where the request is at fault."""
        try:
            while (item := await self._items.get()) is not None:
                if isinstance(item, BaseException):
                    self._error = item
                    raise item
                yield item
        finally:
            self.abort()

    def abort(self) -> None:
        """End it, wherever it is; what was emitted stays readable. Nothing happens where it has ended."""
        self._stop(self)

    @property
    def is_done(self) -> bool:
        return bool(self.sequences) and all(sequence.finish_reason is not None for sequence in self.sequences)

    @property
    def error(self) -> Exception | None:
        """Why one of its samples cannot go on, if there is such a thing."""
        return next((sequence.error for sequence in self.sequences if sequence.error is not None), None)

    def result(self) -> Result:
        """The whole answer. Raises: RequestError while it is still coming; what the loop raised, if it did."""
        if self._error is not None:
            raise self._error
        if not self.is_done:
            raise RequestError("the answer is still coming: read it to its end first")
        return Result(tuple(sequence.result() for sequence in self.sequences), self.request.token_n,
                      tuple(self.sequences[0].prompt_logprobs))

    def take(self, item: Item) -> None:
        """In the event loop: news, an error, or None for the end."""
        self._items.put_nowait(item)


class Post:
    """Items on their way from the engine's thread to event loops, each of which is woken once for all of them."""

    def __init__(self) -> None:
        self._of_loop: dict[asyncio.AbstractEventLoop, list[tuple[Answer, Item]]] = {}

    def add(self, answer: Answer, item: Item) -> None:
        """To go with the next `send`."""
        self._of_loop.setdefault(answer.loop, []).append((answer, item))

    def send(self) -> None:
        """All that was added."""
        for loop, items in self._of_loop.items():
            with suppress(RuntimeError):  # the loop has closed meanwhile: nobody listens any more
                loop.call_soon_threadsafe(_deliver, items)
        self._of_loop = {}


def _deliver(items: list[tuple[Answer, Item]]) -> None:
    for answer, item in items:
        answer.take(item)
