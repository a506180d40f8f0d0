"""`Service`: what all routes share, and the one way from them to the engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial

from outrider.constrain.compiler import Compiler
from outrider.core.request import Request
from outrider.engine.async_llm import AsyncLLM
from outrider.engine.planner import margin_of
from outrider.errors import RequestError
from outrider.io.chat_template import ChatTemplate
from outrider.io.tokenizer import Tokenizer
from outrider.serve.answer.dialect import Dialect
from outrider.serve.errors import ApiError
from outrider.serve.metrics import Metrics
from outrider.serve.predicted import PredictionCounts
from outrider.serve.running import Running, Watch, stopping
from outrider.serve.settings import Settings

_LONG_TEXT = 20_000  # characters; encoding more would hold up everybody's streams


class Service:
    """One model behind all routes. Lives in one event loop."""

    def __init__(self, llm: AsyncLLM, settings: Settings) -> None:
        if llm.llm.model.tokenizer is None:
            raise RequestError("this model was loaded without a tokenizer: a server needs one")
        self.llm, self.settings = llm, settings
        self.tokenizer: Tokenizer = llm.llm.model.tokenizer
        self.prompts = llm.llm.prompts
        self.names = settings.model_names or (llm.llm.model.name,)
        engine = llm.llm.engine
        in_cache = engine.cache.shape.num_slots - margin_of(engine.config, engine.drafter)
        self.context = min(engine.context, in_cache)  # prompt and answer together, at most
        self.max_draft = engine.config.max_draft
        self.dialect = Dialect.of(self.tokenizer.template)
        target = llm.llm.model.target
        self.compiler = Compiler(self.tokenizer, target.vocab_size, target.spec.eos_ids)
        self.created = int(time.time())
        self.metrics = Metrics(llm, self.names[0])
        self._watch = Watch(self.metrics, PredictionCounts())
        engine.watch(self._watch.predictions.see, in_turn=False)
        self.is_stopping = False
        self._running: set[Running] = set()
        # One thread: what encoding a long text takes, over 10 MB, the allocator keeps for every thread that did it.
        self._long_texts = ThreadPoolExecutor(1, "outrider-texts")

    @cached_property
    def template_variables(self) -> frozenset[str]:
        """What the chat template reads, if there is one."""
        return ChatTemplate.of(self.tokenizer).variables if self.tokenizer.template else frozenset()

    @property
    def num_running(self) -> int:
        """Answers under way for clients, queueing ones among them."""
        return sum(running.num_choices for running in self._running)

    def check_model(self, name: str | None) -> None:
        """Raises: ApiError (404) for a model that is not this one; none named means this one."""
        if name is not None and name not in self.names:
            raise ApiError(404, f"the model '{name:.100}' is not served here; there is: {', '.join(self.names)}",
                           param="model", code="model_not_found")

    def check_ids(self, token_n: Sequence[int], param: str) -> None:
        """Raises: ApiError for an id that the vocabulary does not have."""
        size = self.llm.llm.model.target.vocab_size
        if token_n and max(token_n) >= size:
            raise ApiError(400, f"{param}: token id {max(token_n)} is outside the vocabulary of {size}", param=param,
                           code="invalid_value")

    async def encode(self, text: str, *, special: bool) -> list[int]:
        """The ids of a text, without a beginning-of-text token."""
        if len(text) < _LONG_TEXT:
            return self.tokenizer.encode(text, special=special)
        encode = partial(self.tokenizer.encode, text, special=special)
        return await asyncio.get_running_loop().run_in_executor(self._long_texts, encode)

    def room(self, num_prompt: int, param: str = "prompt") -> int:
        """How many tokens may follow a prompt of this length. Raises: ApiError where it is too long."""
        longest = min(self.context - 1, self.settings.max_prompt_tokens or self.context)
        if not 0 < num_prompt <= longest:
            said = f"has {num_prompt} tokens, and {longest} are allowed" if num_prompt else "is empty"
            raise ApiError(400, f"{param}: {said}", param=param,
                           code="context_length_exceeded" if num_prompt else "invalid_value")
        return self.context - num_prompt

    def check_choices(self, num_choices: int) -> None:
        """Raises: ApiError for more answers than one request may have; best before its prompts are read."""
        if num_choices > self.settings.max_choices:
            raise ApiError(400, f"n: {num_choices} answers were asked for (prompts times n), at most "
                                f"{self.settings.max_choices} are given at once", param="n", code="invalid_value")

    def start(self, requests: Sequence[Request]) -> Running:
        """Hand requests to the engine, all of them or none. Raises: ApiError (400, 429, 503)."""
        num_choices = sum(request.sampling.n for request in requests)
        self.check_choices(num_choices)
        if self.is_stopping:
            raise stopping()
        busy = self.num_running
        most = self.llm.llm.engine.config.max_sequences + self.settings.max_waiting
        if busy + num_choices > most:
            raise ApiError(429, f"the server is busy with {busy} answers; try again later", code="server_busy",
                           retry_s=self.metrics.expected_wait_s(busy))
        running = Running(self.llm, requests, self.settings, self._watch, self._running.discard)
        self._running.add(running)
        return running

    def begin_stop(self) -> None:
        """Take no more; what still runs after the limit is told that it ends."""
        self.is_stopping = True
        asyncio.get_running_loop().call_later(self.settings.drain_s, self._end_all)

    async def stop(self) -> None:
        """Abort what is left and end the engine."""
        self.is_stopping = True
        self._long_texts.shutdown(wait=False, cancel_futures=True)
        await self.llm.close()

    def _end_all(self) -> None:
        for running in list(self._running):
            running.fail(stopping())
