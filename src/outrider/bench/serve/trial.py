"""Contenders under the same load in turns, A B A B, so that a machine whose speed drifts treats all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from outrider.bench.interval import Interval, ratio_interval
from outrider.bench.serve.answer import Answer, Drafts, read_answer
from outrider.bench.serve.ask import Wish
from outrider.bench.serve.contender import Contender, since
from outrider.bench.serve.figures import Fault, Figures, Latency, faults, figures, latency, sum_of
from outrider.bench.serve.load import Level, put_load
from outrider.bench.workload import Prompt

WARM_TOKENS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`requests` of each run, 0: twice as many as are kept in flight, at least 8. `repeat` runs of each contender."""

    levels: tuple[Level, ...]
    wish: Wish
    requests: int = 0
    repeat: int = 1
    timeout_s: float = 600.0

    def count(self, level: Level) -> int:
        return self.requests or max(2 * level.at_once, 8)

    def warm_up(self, level: Level) -> Plan:
        """A short run, not counted: what is loaded, compiled or measured on first use is so by then."""
        short = replace(self.wish, max_tokens=min(self.wish.max_tokens, WARM_TOKENS))
        return replace(self, wish=short, requests=max(level.at_once, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One run of load on one entrant. `client` is the share of one CPU that measuring took."""

    answers: tuple[Answer, ...]
    figures: Figures
    client: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of a contender's rate to that of the first, run by run: the geometric mean, and where it lies with 95 %."""

    pairs: tuple[float, ...]
    mean: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A contender at a level: medians of the rates over `rounds`, percentiles over the answers of all of them.

    The ratios are None for the first contender, and where a run has no such rate.
    """

    name: str
    level: Level
    rounds: tuple[Round, ...]
    tok_s: float
    decode_tok_s: float | None
    latency: Latency
    faults: tuple[Fault, ...]
    drafts: Drafts | None
    client: float
    ratio: Ratio | None = None
    decode_ratio: Ratio | None = None


class Entrant(Protocol):
    """Whoever can be put under load: a server, or an engine without one."""

    @property
    def name(self) -> str: ...

    def run(self, prompts: Sequence[Prompt], plan: Plan, level: Level, number: int) -> Round:
        """One run of load; no two with different numbers share what is remembered."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server as an entrant."""

    contender: Contender

    @property
    def name(self) -> str:
        return self.contender.name

    def run(self, prompts: Sequence[Prompt], plan: Plan, level: Level, number: int) -> Round:
        """Replies are read when all of them are here."""
        salt = f"{self.name}-{level.name}-{number}"
        messages = self.contender.messages(prompts, plan.count(level), plan.wish, salt)
        before = self.contender.counters()
        load = put_load(self.contender.site, messages, level, plan.wish.seed + number + 1, plan.timeout_s)
        drafts = since(before, self.contender.counters())
        answers = tuple(read_answer(one) for one in load.exchanges)
        return Round(answers=answers, figures=figures(answers, load.begin_s, load.end_s, level.at_once, drafts),
                     client=load.cpu_s / (load.end_s - load.begin_s))


def hold(entrants: Sequence[Entrant], prompts: Sequence[Prompt], plan: Plan,
         tell: Callable[[str], None] = lambda _: None) -> list[Row]:
    """All levels, one after the other; only one entrant has load at any moment."""
    rows: list[Row] = []
    for level in plan.levels:
        for entrant in entrants:
            tell(f"{entrant.name}, {level.name}: warming up")
            entrant.run(prompts, plan.warm_up(level), level, -1)
        rounds: list[list[Round]] = [[] for _ in entrants]
        for number in range(plan.repeat):
            for entrant, own in zip(entrants, rounds, strict=True):
                tell(f"{entrant.name}, {level.name}: {number + 1} of {plan.repeat}")
                own.append(entrant.run(prompts, plan, level, number))
        rows += compared([entrant.name for entrant in entrants], level, rounds)
    return rows


def compared(names: Sequence[str], level: Level, rounds: Sequence[Sequence[Round]]) -> list[Row]:
    """A row for each contender, beside the first one."""
    rows = []
    for number, (name, own) in enumerate(zip(names, rounds, strict=True)):
        row = _row(name, level, own)
        if number:
            row = replace(row, ratio=ratio_of([one.figures.tok_s for one in own],
                                              [one.figures.tok_s for one in rounds[0]]),
                          decode_ratio=ratio_of([one.figures.decode_tok_s for one in own],
                                                [one.figures.decode_tok_s for one in rounds[0]]))
        rows.append(row)
    return rows


def ratio_of(mine: Sequence[float | None], theirs: Sequence[float | None]) -> Ratio | None:
    """Pair by pair; None where a rate is missing."""
    pairs = tuple(one / other for one, other in zip(mine, theirs, strict=True) if one and other)
    if len(pairs) < len(mine):
        return None
    return Ratio(pairs, statistics.geometric_mean(pairs), ratio_interval(pairs))


def _row(name: str, level: Level, rounds: Sequence[Round]) -> Row:
    answers = [answer for one in rounds for answer in one.answers]
    decoded = [one.figures.decode_tok_s for one in rounds if one.figures.decode_tok_s is not None]
    return Row(name=name, level=level, rounds=tuple(rounds),
               tok_s=statistics.median(one.figures.tok_s for one in rounds),
               decode_tok_s=statistics.median(decoded) if decoded else None,
               latency=latency([answer for answer in answers if not answer.error]), faults=faults(answers),
               drafts=sum_of(one.figures.drafts for one in rounds),
               client=statistics.fmean(one.client for one in rounds))
