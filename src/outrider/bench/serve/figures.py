"""From what answers got to figures: percentiles, rates, and what counts as decoding. Arithmetic only."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from outrider.bench.serve.answer import Answer, Drafts


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles, in milliseconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of error, how often it came, and what one server said of it."""

    name: str
    count: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """None where no answer has what it takes: an answer of one token has no time per output token."""

    first_token: Spread | None
    per_token: Spread | None
    gap: Spread | None
    end_to_end: Spread | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one run of load, or of several of the same kind.

    tok_s         output tokens of the answers that came to their end, over the time from the first request to the end
    decode_tok_s  see `decoding`; None where nothing was only decoded
    decode_s      the time behind it
    """

    requests: int
    completed: int
    tokens: int
    wall_s: float
    tok_s: float
    decode_tok_s: float | None
    decode_s: float
    request_s: float
    prompt_tokens: int
    cached_tokens: int
    drafts: Drafts | None
    are_chunks: bool
    latency: Latency
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time."""

    low: float
    high: float

    def share_of(self, before: float, after: float) -> float:
        """How much of the time between these two lies in it; of two that are one, whether it does."""
        if before == after:
            return float(self.low <= before <= self.high)
        return max(min(after, self.high) - max(before, self.low), 0.0) / (after - before)


@dataclass(frozen=True, slots=True)
class Decoding:
    """Tokens that came while all requests in flight were past their first one, and how long that was."""

    tokens: float
    seconds: float

    @property
    def tok_s(self) -> float | None:
        return self.tokens / self.seconds if self.seconds > 0.0 and self.tokens > 0.0 else None


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of ascending values, with a straight line between neighbours. `share` is in [0, 1]."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def spread(seconds: Iterable[float]) -> Spread | None:
    ordered = sorted(seconds)
    return Spread(*(percentile(ordered, share) * 1e3 for share in (0.5, 0.95, 0.99))) if ordered else None


def figures(answers: Sequence[Answer], begin_s: float, end_s: float, at_once: int,
            drafts: Drafts | None = None) -> Figures:
    """`at_once` requests were kept in flight, 0: as they came. `drafts`: from the server's counters, if answers do
    not tell.
    """
    good = [answer for answer in answers if not answer.error]
    tokens, wall_s = sum(answer.num_tokens for answer in good), end_s - begin_s
    decoded = decoding(answers, at_once)
    return Figures(
        requests=len(answers), completed=len(good), tokens=tokens, wall_s=wall_s, tok_s=tokens / wall_s,
        decode_tok_s=decoded.tok_s, decode_s=decoded.seconds, request_s=len(good) / wall_s,
        prompt_tokens=sum(answer.prompt_tokens or 0 for answer in good),
        cached_tokens=sum(answer.cached_tokens or 0 for answer in good),
        drafts=sum_of(answer.drafts for answer in good) or drafts,
        are_chunks=any(answer.tokens is None for answer in good), latency=latency(good), faults=faults(answers))


def sum_of(some: Iterable[Drafts | None]) -> Drafts | None:
    told = [one for one in some if one is not None]
    return Drafts(sum(one.drafted for one in told), sum(one.accepted for one in told)) if told else None


def latency(good: Sequence[Answer]) -> Latency:
    timed = [answer for answer in good if answer.texts_s]
    return Latency(
        first_token=spread(answer.texts_s[0] - answer.begin_s for answer in timed),
        per_token=spread((answer.last_s - answer.texts_s[0]) / (answer.num_tokens - 1)
                         for answer in timed if answer.num_tokens > 1),
        gap=spread(after - before for answer in timed
                   for before, after in pairwise(answer.texts_s)),
        end_to_end=spread(answer.last_s - answer.begin_s for answer in timed))


def faults(answers: Iterable[Answer]) -> tuple[Fault, ...]:
    """The most frequent first."""
    bad = [answer for answer in answers if answer.error]
    examples = {answer.error: answer.detail for answer in reversed(bad)}
    return tuple(Fault(name, count, examples[name]) for name, count in Counter(one.error for one in bad).most_common())


def decoding(answers: Sequence[Answer], at_once: int) -> Decoding:
    """Counts only moments in which no request in flight waits for its first token, and `at_once` answers grow (0: any).

    So prompts are computed at none of these moments, and no end of a run counts at which fewer requests are left.
    An answer's tokens after its first one are taken to be spread evenly over its chunks after the first, and those of
    a chunk evenly over the time since the chunk before.
    """
    marks = sorted({mark for answer in answers for mark in (answer.begin_s, *answer.texts_s[:1], answer.last_s)})
    windows: list[Window] = []
    for low, high in pairwise(marks):
        if not _only_decode(answers, low, high, at_once):
            continue
        if windows and windows[-1].high == low:
            low = windows.pop().low
        windows.append(Window(low, high))
    tokens = sum(_tokens_in(answer, windows) for answer in answers if not answer.error)
    return Decoding(tokens, sum(window.high - window.low for window in windows))


def _only_decode(answers: Sequence[Answer], low: float, high: float, at_once: int) -> bool:
    """No answer begins, starts to grow or ends between these two."""
    flying = [answer for answer in answers if answer.begin_s <= low and answer.last_s >= high]
    growing = sum(bool(answer.texts_s) and answer.texts_s[0] <= low and not answer.error for answer in flying)
    return growing == len(flying) and growing >= max(at_once, 1)


def _tokens_in(answer: Answer, windows: Sequence[Window]) -> float:
    gaps = list(pairwise(answer.texts_s))
    share = sum(window.share_of(before, after) for before, after in gaps for window in windows)
    return share * (answer.num_tokens - 1) / len(gaps) if gaps else 0.0
