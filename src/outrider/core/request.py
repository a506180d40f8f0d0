"""Requests and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from outrider.core.sampling import Sampling
from outrider.core.stats import Stats

FinishReason = Literal["stop", "length", "abort"]


@dataclass(frozen=True, slots=True)
class Request:
    """A tokenised prompt and what is asked of it.

    `prediction` is text the user expects in the answer, tokenised, for drafters that copy; it is never forwarded.
    `scope` separates users: prefix pages and drafter memories are shared only within one.
    """

    token_n: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)
    prediction: tuple[int, ...] = ()
    scope: str = ""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural log of the target's own probability of a token."""

    token: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Logprobs:
    """One emitted token's log-probability and the best `n` beside it, best first."""

    chosen: TokenLogprob
    top: tuple[TokenLogprob, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """What one round added to one sample: new text, its token ids, and who guessed each.

    `source_n` has one bit set a token (bit i: the drafter's i-th source), 0 for tokens that were the target's own
    correction or bonus. Text may lag behind ids where a character or a possible stop string is still incomplete.
    """

    sample: int
    text: str
    token_n: tuple[int, ...]
    source_n: tuple[int, ...]
    finish_reason: FinishReason | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One of a request's `n` answers."""

    text: str
    ids: tuple[int, ...]
    finish_reason: FinishReason
    logprobs: tuple[Logprobs, ...]
    stats: Stats


@dataclass(frozen=True, slots=True)
class Result:
    """An answer. `str(result)` is its text; with `n` above 1 the fields are the first sample's, `samples` has all."""

    samples: tuple[Sample, ...]
    prompt_ids: tuple[int, ...]

    @property
    def text(self) -> str:
        return self.samples[0].text

    @property
    def ids(self) -> tuple[int, ...]:
        return self.samples[0].ids

    @property
    def finish_reason(self) -> FinishReason:
        return self.samples[0].finish_reason

    @property
    def logprobs(self) -> tuple[Logprobs, ...]:
        return self.samples[0].logprobs

    @property
    def stats(self) -> Stats:
        return self.samples[0].stats

    def __str__(self) -> str:
        return self.text
