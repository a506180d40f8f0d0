"""`AsyncLLM`: the verbs of `LLM` for asyncio. One thread owns the engine; requests and aborts reach it by queue."""

from __future__ import annotations

import asyncio
import copy
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from outrider.constrain.grammar import Grammar
from outrider.core.request import Delta, Request, Result
from outrider.core.sampling import Sampling
from outrider.core.stats import Stats
from outrider.engine.answer import Answer, Post
from outrider.engine.llm import DEFAULT_DRAFTER, LLM, Form
from outrider.engine.prompt import Control, Messages
from outrider.engine.watch import EngineLoad
from outrider.errors import RequestError
from outrider.target.load import LoadedModel

_log = logging.getLogger(__name__)


class AsyncLLM:
    """Same arguments as `LLM`. Use as an async context manager, or call `close`."""

    def __init__(self, model: str | Path | LoadedModel, *, drafter: object = DEFAULT_DRAFTER, **options: Any) -> None:
        self.llm = LLM(model, drafter=drafter, **options)
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._answers: list[Answer] = []
        self._post = Post()
        self._idle: list[Callable[[], object]] = []  # whom to tell when nothing is left to do
        self._closed = False
        self._thread = threading.Thread(target=self._drive, name="outrider-engine", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> Answer:
        """Hand over a request, inside a running event loop; the engine starts on it at once, read or not."""
        if self._closed:
            raise RequestError("this AsyncLLM is closed: make a new one")
        answer = Answer(request, lambda stopped: self._calls.put(lambda: self._stop(stopped)))
        self._calls.put(lambda: self._start(answer))
        return answer

    async def generate(self, prompt: str, sampling: Sampling | None = None, *, prediction: str | None = None,
                       scope: str = "", speculation: Control = None, constraint: Form = None,
                       **changes: Any) -> Result:
        """Complete one text; requests made together share batches. The arguments are those of `LLM.generate`."""
        request = self.llm.prompts.request(prompt, Sampling.of(sampling, **changes), prediction, scope, speculation)
        answer = self.submit(await self._held_to(constraint, request))
        async for _ in answer:
            pass
        return answer.result()

    async def chat(self, messages: Messages, sampling: Sampling | None = None, *,
                   template: Mapping[str, object] | None = None, **changes: Any) -> Result:
        """The assistant's next message."""
        return await self.generate(self.llm.prompts.render(messages, template or {}), sampling, **changes)

    def stream(self, prompt: str | Messages, sampling: Sampling | None = None, *, prediction: str | None = None,
               scope: str = "", speculation: Control = None, constraint: Form = None,
               template: Mapping[str, object] | None = None, **changes: Any) -> AsyncIterator[Delta]:
        """The answer as it comes. Leaving the loop early, or cancelling the task, aborts the request."""
        text = prompt if isinstance(prompt, str) else self.llm.prompts.render(prompt, template or {})
        request = self.llm.prompts.request(text, Sampling.of(sampling, **changes), prediction, scope, speculation)
        return aiter(self.submit(request)) if constraint is None else self._held_deltas(constraint, request)

    def load(self) -> EngineLoad:
        """How busy the engine is, at this moment."""
        return self.llm.engine.load()

    def totals(self) -> Stats:
        """All sequences' counts since the start, those of running ones too; sources are `sources`."""
        return copy.deepcopy(self.llm.engine.stats)

    @property
    def sources(self) -> tuple[str, ...]:
        """Who may have guessed a token: the names of the bits in `Delta.source_n`, lowest first."""
        return self.llm.engine.drafter.sources

    async def drain(self) -> None:
        """Until nothing runs or waits. Whoever wants that to happen submits nothing meanwhile."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        self._calls.put(lambda: self._idle.append(lambda: loop.call_soon_threadsafe(done.set)))
        if not self._closed:
            await done.wait()

    async def close(self) -> None:
        """Abort what is running and end the engine's thread."""
        self._closed = True
        self._calls.put(None)
        await asyncio.to_thread(self._thread.join)

    async def __aenter__(self) -> AsyncLLM:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _held_to(self, form: Form, request: Request) -> Request:
        """A grammar may take a second to compile, and the loop has others to serve."""
        held = await asyncio.to_thread(self.llm.compiler.compile, form) if isinstance(form, Grammar) else form
        return request if held is None else replace(request, constraint=held)

    async def _held_deltas(self, form: Form, request: Request) -> AsyncIterator[Delta]:
        answer = self.submit(await self._held_to(form, request))
        try:
            async for delta in answer:
                yield delta
        finally:
            answer.abort()

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
            self._post.send()
            self._tell_idle()
        self.llm.close()
        for answer in list(self._answers):
            self._finish(answer)
        self._post.send()
        self._tell_idle()

    def _round(self) -> None:
        try:
            gained = self.llm.engine.round()
        except Exception as error:
            for answer in list(self._answers):
                self._fail(answer, error)
            gained = []
        for sequence in gained:
            if sequence.listener is not None:
                sequence.listener(sequence.delta())
        for answer in [answer for answer in self._answers if answer.is_done or answer.error is not None]:
            if answer.error is None:
                self._finish(answer)
            else:
                self._fail(answer, answer.error)
        self._post.send()
        self._tell_idle()

    def _tell_idle(self) -> None:
        if self._idle and not self.llm.engine.has_work:
            for tell in self._idle:
                tell()
            self._idle.clear()

    def _start(self, answer: Answer) -> None:
        try:
            answer.sequences = self.llm.engine.add(answer.request)
        except Exception as error:
            self._post.add(answer, error)
            return
        for sequence in answer.sequences:
            sequence.listener = partial(self._post.add, answer)
        self._answers.append(answer)

    def _stop(self, answer: Answer) -> None:
        self._abort(answer)
        if answer in self._answers:
            self._finish(answer)

    def _finish(self, answer: Answer) -> None:
        self._answers.remove(answer)
        self._post.add(answer, None)

    def _fail(self, answer: Answer, error: Exception) -> None:
        self._abort(answer)
        self._answers.remove(answer)
        self._post.add(answer, error)

    def _abort(self, answer: Answer) -> None:
        for sequence in answer.sequences:
            try:
                self.llm.engine.abort(sequence)
            except Exception:  # the others go on
                _log.exception("a sequence could not be ended in order")
