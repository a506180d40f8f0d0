"""`AsyncLLM`: the verbs of `LLM` for asyncio. One thread owns the engine; requests and aborts reach it by queue."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outrider.core.request import Delta, Request, Result
from outrider.core.sampling import Sampling
from outrider.engine.llm import DEFAULT_DRAFTER, LLM
from outrider.engine.prompt import Control, Messages
from outrider.engine.sequence import Sequence
from outrider.errors import RequestError
from outrider.target.load import LoadedModel


@dataclass(slots=True)
class _Job:
    """A request under way: where its deltas go, and its sequences once the engine has them."""

    request: Request
    tell: Callable[[Delta | BaseException | None], None]
    sequences: list[Sequence]


class AsyncLLM:
    """Same arguments as `LLM`. Use as an async context manager, or call `close`."""

    def __init__(self, model: str | Path | LoadedModel, *, drafter: object = DEFAULT_DRAFTER, **options: Any) -> None:
        self.llm = LLM(model, drafter=drafter, **options)
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._jobs: list[_Job] = []
        self._closed = False
        self._thread = threading.Thread(target=self._drive, name="outrider-engine", daemon=True)
        self._thread.start()

    async def generate(self, prompt: str, sampling: Sampling | None = None, *, prediction: str | None = None,
                       scope: str = "", speculation: Control = None, **changes: Any) -> Result:
        """Complete one text; requests made together share batches."""
        request = self.llm.prompts.request(prompt, Sampling.of(sampling, **changes), prediction, scope, speculation)
        job, deltas = self._submit(request)
        async for _ in self._listen(job, deltas):
            pass
        return Result(tuple(sequence.result() for sequence in job.sequences), request.token_n)

    async def chat(self, messages: Messages, sampling: Sampling | None = None, *,
                   template: Mapping[str, object] | None = None, **changes: Any) -> Result:
        """The assistant's next message."""
        return await self.generate(self.llm.prompts.render(messages, template or {}), sampling, **changes)

    def stream(self, prompt: str | Messages, sampling: Sampling | None = None, *, prediction: str | None = None,
               scope: str = "", speculation: Control = None, template: Mapping[str, object] | None = None,
               **changes: Any) -> AsyncIterator[Delta]:
        """The answer as it comes. Leaving the loop early, or cancelling the task, aborts the request."""
        text = prompt if isinstance(prompt, str) else self.llm.prompts.render(prompt, template or {})
        request = self.llm.prompts.request(text, Sampling.of(sampling, **changes), prediction, scope, speculation)
        return self._listen(*self._submit(request))

    async def close(self) -> None:
        """Abort what is running and end the engine's thread."""
        self._closed = True
        self._calls.put(None)
        await asyncio.to_thread(self._thread.join)

    async def __aenter__(self) -> AsyncLLM:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _submit(self, request: Request) -> tuple[_Job, asyncio.Queue[Delta | BaseException | None]]:
        if self._closed:
            raise RequestError("this AsyncLLM is closed: make a new one")
        loop = asyncio.get_running_loop()
        deltas: asyncio.Queue[Delta | BaseException | None] = asyncio.Queue()
        job = _Job(request, lambda item: _tell(loop, deltas, item), [])
        self._calls.put(lambda: self._start(job))
        return job, deltas

    async def _listen(self, job: _Job, deltas: asyncio.Queue[Delta | BaseException | None]) -> AsyncIterator[Delta]:
        try:
            while (item := await deltas.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._calls.put(lambda: self._stop(job))

    def _drive(self) -> None:
        """The engine's thread: calls first, then a round; sleeps while there is nothing to do."""
        while True:
            try:
                call = self._calls.get(block=not self.llm.engine.has_work)
            except queue.Empty:
                self._round()
                continue
            if call is None:
                break
            call()
        self.llm.close()
        for job in list(self._jobs):
            self._finish(job)

    def _round(self) -> None:
        try:
            gained = self.llm.engine.step()
        except Exception as error:
            for job in list(self._jobs):
                self._fail(job, error)
            return
        for job in list(self._jobs):
            for sequence in job.sequences:
                if sequence in gained:
                    job.tell(sequence.delta())
            if all(sequence.finish_reason is not None for sequence in job.sequences):
                self._finish(job)

    def _start(self, job: _Job) -> None:
        try:
            job.sequences = self.llm.engine.add(job.request)
        except Exception as error:
            job.tell(error)
            return
        self._jobs.append(job)

    def _stop(self, job: _Job) -> None:
        for sequence in job.sequences:
            self.llm.engine.abort(sequence)
        if job in self._jobs:
            self._jobs.remove(job)

    def _finish(self, job: _Job) -> None:
        self._jobs.remove(job)
        job.tell(None)

    def _fail(self, job: _Job, error: Exception) -> None:
        self._stop(job)
        job.tell(error)


def _tell(loop: asyncio.AbstractEventLoop, deltas: asyncio.Queue[Delta | BaseException | None],
          item: Delta | BaseException | None) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(deltas.put_nowait, item)
