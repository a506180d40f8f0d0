"""The race: whoever has had less time steps next, and clocks run in their own steps only."""

from __future__ import annotations

import time

import pytest

from outrider.bench.race import Lane, lane, race
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.drafters.none import NoDrafter
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.target.tiny import tiny_target

TARGET = tiny_target()


def new_lane(name: str, num_tokens: int) -> Lane:
    engine = Engine(TARGET, NoDrafter(None, TARGET), None, EngineConfig(cache_tokens=512))
    return lane(name, engine, Request((1, 2, 3), Sampling(max_tokens=num_tokens, seed=0)))


def test_the_lane_with_less_time_steps_next(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    slow, fast = new_lane("slow", 4), new_lane("fast", 8)
    for each, cost in ((slow, 3.0), (fast, 1.0)):
        def step(each: Lane = each, cost: float = cost, original: object = each.engine.step) -> None:
            now[0] += cost
            assert callable(original)
            original()

        monkeypatch.setattr(each.engine, "step", step)
    order = [stepped.name for stepped in race([slow, fast])]
    assert order == ["slow", "fast", "fast", "fast", "slow", "fast", "fast", "fast", "slow", "fast", "fast", "slow"]
    assert (slow.time_s, slow.first_s, fast.time_s, fast.first_s) == (12.0, 3.0, 8.0, 1.0)
    assert slow.tok_s == pytest.approx(3 / 9.0)
    assert fast.tok_s == pytest.approx(1.0)


def test_both_end_with_the_same_tokens() -> None:
    lanes = [new_lane("a", 10), new_lane("b", 10)]
    assert sum(1 for _ in race(lanes)) == 20
    assert all(each.is_done for each in lanes)
    assert lanes[0].sequence.output == lanes[1].sequence.output
