"""Plain against speculative on one machine: two engines over one target, as if both ran at once.

Only one of them computes at any moment, so neither slows the other down. Each has a clock that runs during its own
steps alone, and the one whose clock shows less takes the next step: at any moment both have had the same time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from outrider.core.request import Request
from outrider.core.stats import Stats
from outrider.engine.engine import Engine
from outrider.engine.sequence import Sequence


@dataclass(slots=True)
class Lane:
    """One engine and its answer. `time_s` is the clock, `first_s` what it showed at the first token."""

    name: str
    engine: Engine
    sequence: Sequence
    time_s: float = 0.0
    first_s: float = 0.0

    @property
    def is_done(self) -> bool:
        return self.sequence.finish_reason is not None

    @property
    def stats(self) -> Stats:
        """Counts only: its times include the other lane's steps."""
        return self.sequence.stats

    @property
    def tok_s(self) -> float:
        """Decoding speed so far: tokens after the first over the time since it."""
        since_s = self.time_s - self.first_s
        return (self.sequence.num_output - 1) / since_s if self.sequence.num_output > 1 else 0.0

    def step(self) -> None:
        begin_s = time.perf_counter()
        self.engine.step()
        self.time_s += time.perf_counter() - begin_s
        if not self.first_s and self.sequence.num_output:
            self.first_s = self.time_s


def lane(name: str, engine: Engine, request: Request) -> Lane:
    """An engine at the start; both lanes need the same seed in their request."""
    assert request.sampling.seed is not None, "without a seed each lane would draw one of its own"
    return Lane(name, engine, engine.add(request)[0])


def race(lanes: list[Lane]) -> Iterator[Lane]:
    """Steps until all are done; yields the lane that has just stepped."""
    while running := [lane for lane in lanes if not lane.is_done]:
        behind = min(running, key=lambda lane: lane.time_s)
        behind.step()
        yield behind
