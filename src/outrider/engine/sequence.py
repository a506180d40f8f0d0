"""`Sequence`: the state of one sample while it is being generated."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from outrider.core.commit import Commit
from outrider.core.distribution import History
from outrider.core.noise import NoiseKey
from outrider.core.request import Delta, FinishReason, Logprobs, Request, Sample
from outrider.core.stats import Stats
from outrider.engine.text import TextStream

_log = logging.getLogger(__name__)


class Sequence:
    """Tokens, text and the places they are kept. `tokens` ends with the anchor: its key is not in the cache yet."""

    def __init__(self, request: Request, sample: int, text: TextStream) -> None:
        assert request.sampling.seed is not None, "requests are seeded when they are added"
        self.request, self.sample, self.text = request, sample, text
        self.sampling = request.sampling
        self.key = NoiseKey(request.sampling.seed, sample)
        self.tokens = list(request.token_n)
        self.num_prompt = len(self.tokens)
        self.logprobs: list[Logprobs] = []
        self.prompt_logprobs: list[Logprobs | None] = [None] if request.prompt_logprobs is not None else []
        self.stats = Stats(prompt_tokens=self.num_prompt)
        self.history: History | None = None
        self.constraint = None if request.constraint is None else request.constraint.start()
        self.finish_reason: FinishReason | None = None
        self.listener: Callable[[Delta], None] | None = None  # who is told of every delta, if anybody is
        self.error: Exception | None = None  # why it ended, where that was nobody's wish
        self.turn = -1  # when it first ran, counted over all sequences
        self.row = self.slot = -1  # these, the drafter's state and the policy's track exist while it runs
        self.state: Any = None
        self.track: Any = None
        self.sources: list[int] = []
        self.added_s = time.perf_counter()
        self.started_s = self.first_s = self.last_s = 0.0
        self._told = 0
        self._told_text = 0
        self._told_drafted = 0
        self._told_end = False

    @property
    def output(self) -> list[int]:
        return self.tokens[self.num_prompt :]

    @property
    def num_output(self) -> int:
        return len(self.tokens) - self.num_prompt

    @property
    def scores_prompt(self) -> bool:
        """Whether log-probabilities of the prompt are still to be found: by one sample for all."""
        return (self.request.prompt_logprobs is not None and not self.sample
                and len(self.prompt_logprobs) < self.num_prompt)

    @property
    def is_held_back(self) -> bool:
        """Whether its next token is not chosen among all of the vocabulary."""
        ends = not self.sampling.ignore_eos or bool(self.sampling.stop_ids)
        return self.constraint is not None or (ends and self.num_output < self.sampling.min_tokens)

    @property
    def takes_best(self) -> bool:
        """Whether its tokens are the places of the largest logits, and nothing else is asked of these."""
        sampling = self.sampling
        return (sampling.is_plain_greedy and sampling.logprobs is None and not sampling.min_tokens
                and self.constraint is None)

    def stop_ids(self, eos_ids: Collection[int]) -> frozenset[int]:
        """The tokens that end it. A constraint says where a text may end, so that ends behind it cannot be ignored."""
        ignored = self.sampling.ignore_eos and self.constraint is None
        return frozenset(self.sampling.stop_ids).union(() if ignored else eos_ids)

    def gain(self, token: int, source: int, stop_ids: frozenset[int], limit: int) -> bool:
        """Take one emitted token; true where it ends the sequence.

        The order is stop string, then stop token or EOS or a constraint's end, then length. A constraint that cannot
        be followed any further, for its parser's limits, cuts the text short as the length does.
        """
        is_stop = token in stop_ids
        self.tokens.append(token)
        self.sources.append(source)
        if self.history is not None:
            self.history.count(token)
        if self.constraint is not None:
            self.constraint.advance(token)
        if self.text.would_stop(token) if is_stop else self.text.push(token):
            if is_stop:
                self.text.push(token)
            self.finish_reason = "stop"
        elif is_stop or (self.constraint is not None and self.constraint.is_over):
            self.finish_reason = "stop"
        elif self.constraint is not None and self.constraint.failure:
            _log.warning("an answer was cut short, its constraint cannot be followed: %s", self.constraint.failure)
            self.finish_reason = "length"
        elif self.num_output >= self.sampling.max_tokens or len(self.tokens) >= limit:
            self.finish_reason = "length"
        return self.finish_reason is not None

    def end(self, reason: FinishReason) -> None:
        """No more tokens, unless it had ended before."""
        if self.finish_reason is None:
            self.finish_reason = reason
            self.text.finish()

    def fail(self, error: Exception) -> None:
        """It cannot go on. What it has emitted stays readable."""
        self.error = self.error or error
        with suppress(Exception):  # what failed may be the text
            self.end("abort")

    def clock(self, now_s: float) -> None:
        """Times of the first and the latest token."""
        if not self.first_s:
            self.first_s = now_s
            self.stats.prefill_s = now_s - self.started_s
        self.last_s = now_s
        self.stats.decode_s = self.last_s - self.first_s

    @property
    def has_news(self) -> bool:
        """Whether `delta` would say anything: tokens or the end."""
        return self._told < self.num_output or (self.finish_reason is not None and not self._told_end)

    def delta(self) -> Delta:
        """What is new since the last call."""
        text, before = self.text.text, self._told
        told = Delta(self.sample, text[self._told_text :], tuple(self.tokens[self.num_prompt + before :]),
                     tuple(self.sources[before:]), self.finish_reason, tuple(self.logprobs[before:]),
                     self.stats.drafted - self._told_drafted)
        self._told, self._told_text, self._told_drafted = self.num_output, len(text), self.stats.drafted
        self._told_end = self.finish_reason is not None
        return told

    def result(self) -> Sample:
        """The finished sample."""
        assert self.finish_reason is not None, "the sequence is still running"
        return Sample(self.text.text, tuple(self.output), self.finish_reason, tuple(self.logprobs), self.stats)

    def first_commit(self, num_cached: int) -> Commit:
        """The tokens that a prefix hit brings beyond the first, without features."""
        return Commit(self.tokens[1 : num_cached + 1])
