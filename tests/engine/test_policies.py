"""Policies in the engine: never another token, whatever rows cost, and what was drawn is left as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from outrider.core.drawn import DrawnTree
from outrider.core.request import Request, Result, Speculation
from outrider.core.sampling import Sampling
from outrider.core.tree import Budget, DraftBatch, DraftTree
from outrider.drafters.model import ModelDrafter
from outrider.drafting.interface import Drafter
from outrider.drafting.syntax import drafter_of
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.engine.flight import Computed, _waited
from outrider.engine.journal import Entry, journal_of
from outrider.errors import ConfigError
from outrider.policy.interface import Ask, Policy
from outrider.policy.pass_price import Curve
from outrider.target.interface import ForwardOutput
from outrider.target.load import LoadedModel
from scripted_policy import (
    CONTEXT_DEAR,
    ROWS_CHEAP,
    ROWS_DEAR,
    ROWS_FREE,
    ROWS_IMPOSSIBLE,
    Timed,
)
from tiny_engine import generate, ids, target_of

CURVES = {"free": ROWS_FREE, "cheap": ROWS_CHEAP, "dear": ROWS_DEAR, "impossible": ROWS_IMPOSSIBLE,
          "context": CONTEXT_DEAR}
DRAFTERS = ["suffix", "ngram_hash:entries=65536", "auto", "auto+model:target=toy",
            "recycling+model:target=toy;branch=2"]
PROMPT = (5, 6, 7, 8)
REQUESTS = [Request(PROMPT * 4, Sampling(max_tokens=40, seed=1, temperature=temperature, ignore_eos=True))
            for temperature in (0.0, 0.8)]
REQUESTS += [Request((9, 10, 11), Sampling(max_tokens=24, seed=2, temperature=0.8, repetition_penalty=1.3)),
             Request((3, *PROMPT, 3, *PROMPT), Sampling(max_tokens=33, seed=5), speculation=Speculation(max_draft=3))]


@pytest.fixture(autouse=True)
def _draft_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target's own weights, spread less: nearly one token a round is accepted."""
    small = target_of(seed=0, spread=0.6)
    monkeypatch.setattr("outrider.drafters.model.load_model", lambda *_, **__: LoadedModel("toy", small, None))
    monkeypatch.setattr(ModelDrafter, "read_bytes", small.weight_bytes // 20)  # as if it were


@pytest.fixture(scope="module")
def plain() -> list[list[tuple[int, ...]]]:
    return ids([generate(target_of(), "none", [request])[0] for request in REQUESTS])


@dataclass
class Played:
    """What a run gave: tokens, and every round of it."""

    ids: list[list[tuple[int, ...]]]
    entries: list[Entry]

    @property
    def verified(self) -> int:
        return sum(entry.verified for entry in self.entries)


def played(name: str, curve: Curve, requests: Sequence[Request] = REQUESTS, batch: int = 4,
           wrapped: Callable[[Policy], Policy] = lambda policy: policy, **options: Any) -> Played:
    drafter = drafter_of(name, target_of())
    engine = Engine(target_of(), drafter, None, EngineConfig(max_sequences=batch, **options),
                    policy=wrapped(Timed(drafter, curve)))
    groups = [engine.add(request) for request in requests]
    with journal_of(engine) as journal:
        engine.run()
    engine.check_integrity()
    results = [Result(tuple(one.result() for one in group), request.token_n)
               for request, group in zip(requests, groups, strict=True)]
    engine.close()
    return Played(ids(results), journal.entries)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("name", DRAFTERS)
def test_tokens_are_those_of_none(name: str, curve: str, batch: int, plain: list[list[tuple[int, ...]]]) -> None:
    found = played(name, CURVES[curve], batch=batch, prefill_tokens=512 if curve == "impossible" else 7)
    assert found.ids == plain
    if curve == "impossible":
        assert found.verified == 0
    if curve == "free":
        assert found.verified > 0 and any(entry.accepted for entry in found.entries)
        members = range(name.count("+") + 1)
        assert all(any(entry.reason.offered[member] > 0 for entry in found.entries) for member in members)
    for entry in found.entries:
        assert entry.verified == entry.reason.chosen <= sum(count for count in entry.reason.offered if count > 0)


def test_more_is_verified_the_less_it_costs() -> None:
    counts = [played("auto", CURVES[curve]).verified for curve in ("free", "dear", "impossible")]
    assert counts[0] > counts[1] >= counts[2] == 0


def test_limits_of_requests_hold_side_by_side(plain: list[list[tuple[int, ...]]]) -> None:
    limits = [Speculation(), Speculation(enabled=False), Speculation(drafter="model"), Speculation(max_draft=1)]
    asked = [replace(request, speculation=one) for request, one in zip(REQUESTS, limits, strict=True)]
    drafter = drafter_of("auto+model:target=toy", target_of())
    engine = Engine(target_of(), drafter, None, EngineConfig(), policy=Timed(drafter, ROWS_FREE))
    sequences = [engine.add(request)[0] for request in asked]
    engine.run()
    assert [[tuple(one.output)] for one in sequences] == plain
    assert sequences[1].stats.drafted == 0
    assert set(sequences[2].sources) <= {0, 4}, "of three members the last"
    assert sequences[3].stats.drafted <= sequences[3].stats.rounds


def test_a_policy_outlives_rounds_that_break(
        plain: list[list[tuple[int, ...]]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, within and behind the target's pass: the sequences of that round end, the next ones are as ever."""
    drafter = drafter_of("auto+model:target=toy", target_of())
    engine = Engine(target_of(), drafter, None, EngineConfig(), policy=Timed(drafter, ROWS_FREE))
    for owner, name in ((engine.policy, "draft"), (engine.target, "forward"), (engine.policy, "settle")):
        groups = [engine.add(request) for request in REQUESTS]
        for _ in range(6):
            engine.step()
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="trouble"):
            patch.setattr(owner, name, _trouble)
            engine.step()
        for group in groups:
            engine.abort(group[0])
        engine.check_integrity()
        again = [engine.add(request)[0] for request in REQUESTS]
        engine.run()
        assert [[tuple(one.output)] for one in again] == plain


def _trouble(*_: object, **__: object) -> None:
    raise RuntimeError("trouble")


class Watched:
    """Checks that of what was drawn nothing is missing: the very trees that the drafter handed out."""

    def __init__(self, policy: Policy, drafter: Drafter[Any]) -> None:
        self.policy, self.drafter, self.sizes = policy, drafter, list[int]()
        self.start, self.settle, self.finish, self.explain = policy.start, policy.settle, policy.finish, policy.explain

    def draft(self, asks: Sequence[Ask], beside: int = 0) -> list[DraftTree]:
        drawn: list[DraftTree] = []
        propose = self.drafter.propose

        def noted(states: Sequence[Any], budgets: Sequence[Budget]) -> DraftBatch:
            found = propose(states, budgets)
            drawn.extend(tree for tree in found.trees if len(tree))
            return found

        self.drafter.propose = noted  # type: ignore[method-assign]
        trees = self.policy.draft(asks, beside)
        del self.drafter.propose
        kept = [tree for ask, tree in zip(asks, trees, strict=True) if ask.track.limits.draws and len(tree)]
        assert {id(tree) for tree in kept} == {id(tree) for tree in drawn if isinstance(tree, DrawnTree)}
        self.sizes += [len(tree) for tree in trees]
        return trees


@pytest.mark.parametrize(("rule", "options"), [("ratio", ""), ("ratio", ";branch=2;nodes=6"), ("block", "")])
@pytest.mark.parametrize("curve", CURVES)
def test_what_was_drawn_is_never_pruned(rule: str, options: str, curve: str) -> None:
    """And greedy requests still get the tokens of plain decoding."""
    drafter = drafter_of(f"model:target=toy{options}", target_of())
    watched = Watched(Timed(drafter, CURVES[curve]), drafter)
    config = EngineConfig(rule=rule, draft_policy="adaptive")  # type: ignore[arg-type]
    engine = Engine(target_of(), drafter, None, config, policy=watched)
    hot = [Request(PROMPT, Sampling(temperature=1.0, seed=7, n=3, max_tokens=40, ignore_eos=True))]
    sequences = [one for request in [*hot, REQUESTS[0]] for one in engine.add(request)]
    engine.run()
    engine.check_integrity()
    assert sequences[-1].output == list(generate(target_of(), "none", REQUESTS[:1])[0].ids)
    assert curve not in ("free", "cheap") or sum(watched.sizes) > 0
    assert curve != "impossible" or sum(watched.sizes) == 0


@pytest.mark.parametrize("name", ["suffix", "auto", "auto+model:target=toy"])
def test_nothing_undrawn_is_let_in(name: str) -> None:
    drafter = drafter_of(name, target_of())
    with pytest.raises(ConfigError, match="has no distribution to draw from"):
        Engine(target_of(), drafter, None, EngineConfig(rule="ratio", draft_policy="adaptive"),
               policy=Timed(drafter, ROWS_FREE))


def test_the_wait_for_a_device_is_time_of_the_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device's clock: half a second goes by while the verdicts are fetched."""
    now_s = 10.0

    class Distant:
        def cpu(self) -> None:
            nonlocal now_s
            now_s += 0.5

    monkeypatch.setattr("outrider.engine.flight.time.perf_counter", lambda: now_s)
    verdicts: Any = SimpleNamespace(count_B=Distant())
    computed = Computed(ForwardOutput(torch.zeros(1, 1), None), verdicts, 1.0, 0.25)
    assert _waited(computed) == replace(computed, verify_s=0.75)
