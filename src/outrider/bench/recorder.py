"""Recording: decoding plainly through the engine, while every member of a drafter is asked at every position.

The policy `Recorder` verifies nothing. What it is told by the members it notes, with the time that each took.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

import outrider
from outrider.bench.recording import Answer, Proposal, Recording, Seat, Setting
from outrider.bench.run import BenchConfig, requests_of
from outrider.bench.workload import Workload
from outrider.core.request import Request
from outrider.core.tree import EMPTY_TREE, Budget, DraftTree
from outrider.drafting.interface import Drafter
from outrider.drafting.syntax import drafter_of
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.engine.prompt import PromptReader
from outrider.policy.interface import Ask, Explain, Fate, Limits, Pass, Track
from outrider.policy.price_file import price_of
from outrider.target.load import LoadedModel

# Wider than any policy asks, so that what it asks for is a part of what was recorded.
_MIN_SURVIVAL, _MIN_STEP = 0.01, 0.05


@dataclass(slots=True)
class Trace(Track):
    """One sequence: proposals by member, and the times of its rounds."""

    by_seat: list[list[Proposal]] = field(default_factory=list)
    remaining: int = 0
    asked_s: float = 0.0
    prompt_s: float = 0.0
    pass_n: list[float] = field(default_factory=list)
    host_n: list[float] = field(default_factory=list)


class Recorder:
    """A policy for one sequence at a time; `trace` is that of the newest."""

    def __init__(self, drafter: Drafter[Any], clock: Callable[[], float] = time.perf_counter) -> None:
        self._drafter, self._clock = drafter, clock
        self.trace = Trace()

    def start(self, limits: Limits) -> Trace:
        self.trace = Trace(limits, [[] for _ in self._drafter.members])
        return self.trace

    def explain(self, listener: Explain | None) -> None:
        """There is nothing to tell."""

    def draft(self, asks: Sequence[Ask], beside: int = 0) -> list[DraftTree]:
        for ask in asks:
            trace: Trace = ask.track
            trace.remaining = trace.remaining or ask.remaining
            proposals = [self._heard(index, ask) for index in range(len(self._drafter.members))]
            for own, proposal in zip(trace.by_seat, proposals, strict=True):
                own.append(proposal)
            trace.asked_s = sum(proposal.seconds for proposal in proposals)
        return [EMPTY_TREE] * len(asks)

    def settle(self, fates: Sequence[Fate], spent: Pass) -> None:
        trace = self.trace
        if spent.prefill:
            trace.prompt_s += spent.target_s
        else:
            trace.pass_n.append(spent.target_s)
            trace.host_n.append(max(0.0, spent.other_s - trace.asked_s))
        trace.asked_s = 0.0

    def finish(self, track: Track) -> None:
        """What was noted stays."""

    def _heard(self, index: int, ask: Ask) -> Proposal:
        member, state = self._drafter.members[index], self._drafter.part(ask.state, index)
        if not ask.room:
            return Proposal(EMPTY_TREE, 0.0, 0)
        budget = Budget(ask.room.nodes, ask.room.depth, _MIN_SURVIVAL, _MIN_STEP if member.read_bytes else 0.0)
        debt = member.debt(state)
        begin_s = self._clock()
        tree, = member.propose([state], [budget]).trees
        return Proposal(tree, self._clock() - begin_s, debt)


def record(model: LoadedModel, workloads: Sequence[Workload], drafter: str, config: BenchConfig,
           tell: Callable[[str], None]) -> Recording:
    """Answers to all prompts, one after the other; every workload gets a new drafter. Raises: OutriderError."""
    answers: list[Answer] = []
    setting = None
    for workload in workloads:
        engine, recorder = _engine(model, drafter, requests := _requests(model, workload, config), config)
        setting = setting or _setting(model, drafter, engine.drafter, config)
        try:
            for number, request in enumerate(requests, start=1):
                tell(f"{workload.name}: prompt {number} of {len(requests)}")
                answers += _answer(workload.name, engine, recorder, request)
        finally:
            engine.close()
    assert setting is not None, "at least one workload"
    return Recording(setting, tuple(answers))


def _requests(model: LoadedModel, workload: Workload, config: BenchConfig) -> list[Request]:
    return requests_of(workload, PromptReader(model.tokenizer), config)


def _engine(model: LoadedModel, drafter: str, requests: Sequence[Request], config: BenchConfig
            ) -> tuple[Engine, Recorder]:
    longest = max(len(request.token_n) + request.sampling.max_tokens for request in requests) + config.max_draft + 32
    sizes = EngineConfig(max_sequences=1, max_draft=config.max_draft, context=config.context,
                         prefill_tokens=config.prefill, cache_tokens=2 * longest)
    found = drafter_of(drafter, model.target)
    recorder = Recorder(found)
    return Engine(model.target, found, model.tokenizer, sizes, policy=recorder), recorder


def _setting(model: LoadedModel, name: str, drafter: Drafter[Any], config: BenchConfig) -> Setting:
    seats = tuple(Seat(type(member).__module__.rpartition(".")[2], member.sources, member.read_bytes)
                  for member in drafter.members)
    return Setting(model.name, name, seats, model.target.weight_bytes, config.max_draft,
                   price_of(model.target).curve, f"outrider {outrider.__version__}, torch {torch.__version__}")


def _answer(workload: str, engine: Engine, recorder: Recorder, request: Request) -> list[Answer]:
    """The answer to one request; none where its first token was its last."""
    sequence, = engine.add(request)
    engine.run()
    trace = recorder.trace
    if len(sequence.output) < 2:
        return []
    by_seat = tuple(map(tuple, trace.by_seat))
    return [Answer(workload, sequence.num_prompt, tuple(sequence.output), by_seat, trace.remaining, trace.prompt_s,
                   median(trace.pass_n), median(trace.host_n))]
