"""`Running`: the answers to one HTTP request while they come, joined into one sequence of news."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from outrider.core.request import Delta, Request, Result
from outrider.core.stats import Stats
from outrider.engine.answer import Answer
from outrider.engine.async_llm import AsyncLLM
from outrider.serve.errors import ApiError
from outrider.serve.metrics import Metrics
from outrider.serve.predicted import Predicted, PredictionCounts
from outrider.serve.settings import Settings


@dataclass(frozen=True, slots=True)
class News:
    """What one choice gained. Choices are numbered prompt by prompt, the samples of each together."""

    choice: int
    delta: Delta


@dataclass(frozen=True, slots=True)
class Watch:
    """Who counts what all answers did."""

    metrics: Metrics
    predictions: PredictionCounts


class Running:
    """Read `news` to its end, then ask for `results`. Leaving early aborts everything and frees its place.

    `release` is called once, with this object, when nothing of it runs any more.
    """

    def __init__(self, llm: AsyncLLM, requests: Sequence[Request], settings: Settings, watch: Watch,
                 release: Callable[[Running], None]) -> None:
        self.requests = tuple(requests)
        self.num_choices = sum(request.sampling.n for request in requests)
        self._metrics, self._predictions, self._release = watch.metrics, watch.predictions, release
        self._begin_s = time.perf_counter()
        self._answers = [llm.submit(request) for request in requests]
        loop = asyncio.get_running_loop()
        self._queueing = loop.call_later(settings.queue_timeout_s, self.fail, ApiError(
            429, "the server is busy: the request waited too long for its turn", code="queue_timeout", retry_s=10))
        self._timer = loop.call_later(settings.request_timeout_s, self.fail, ApiError(
            408, f"the answer took longer than {settings.request_timeout_s:g} s", code="request_timeout"))

    async def news(self) -> AsyncIterator[News]:
        """Raises: ApiError, OutriderError and whatever else kept the engine from answering."""
        try:
            is_first = True
            async for item in self._joined():
                if item.delta.finish_reason == "abort":
                    continue  # what comes next says why
                if is_first:
                    self._queueing.cancel()
                    self._metrics.first_token(time.perf_counter() - self._begin_s)
                    is_first = False
                yield item
            results = self.results()
            if any(sample.finish_reason == "abort" for result in results for sample in result.samples):
                raise stopping()
            self._metrics.finished(results, time.perf_counter() - self._begin_s)
        finally:
            self.stop()

    def predicted(self) -> Predicted:
        """What came of the predictions of all requests, once the answers have ended."""
        total = Predicted()
        for answer in self._answers:
            for sequence in answer.sequences:
                counts = self._predictions.of(sequence)
                total.accepted += counts.accepted
                total.rejected += counts.rejected
        return total

    def stats(self) -> Stats:
        """What the answers did so far, added up: also of those that were ended early."""
        total = Stats()
        for answer in self._answers:
            for sequence in answer.sequences:
                total.add(sequence.stats)
        return total

    def results(self) -> list[Result]:
        """The whole answers, one for each request. Raises: RequestError while they are still coming."""
        return [answer.result() for answer in self._answers]

    def stop(self) -> None:
        """Abort what still runs; safe to call twice."""
        self._queueing.cancel()
        self._timer.cancel()
        for answer in self._answers:
            answer.abort()
        self._release(self)

    def fail(self, error: ApiError) -> None:
        """End it with an error, which `news` raises."""
        for answer in self._answers:
            answer.take(error)

    async def _joined(self) -> AsyncIterator[News]:
        if len(self._answers) == 1:
            async for delta in self._answers[0]:
                yield News(delta.sample, delta)
            return
        items: asyncio.Queue[News | BaseException | None] = asyncio.Queue()
        first = 0
        tasks = []
        for request, answer in zip(self.requests, self._answers, strict=True):
            tasks.append(asyncio.create_task(_pump(answer, first, items)))
            first += request.sampling.n
        try:
            open_answers = len(tasks)
            while open_answers:
                item = await items.get()
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    open_answers -= 1
                else:
                    yield item
        finally:
            for task in tasks:
                task.cancel()


async def _pump(answer: Answer, first: int, items: asyncio.Queue[News | BaseException | None]) -> None:
    try:
        async for delta in answer:
            items.put_nowait(News(first + delta.sample, delta))
        items.put_nowait(None)
    except Exception as error:
        items.put_nowait(error)


def stopping() -> ApiError:
    """What clients are told when the server ends."""
    return ApiError(503, "the server is stopping", code="server_stopping", retry_s=10)
