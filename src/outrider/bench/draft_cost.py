"""What it costs to draft: a round of a drafter behind contexts of several lengths, beside a pass of its target.

A round is a commit of `GAINED` tokens, as verification would bring it, and a proposal. Tokens and features are random:
the time does not depend on what they are, as long as nothing is found or accepted in them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from outrider.bench.cost import ROUNDS, DraftCostRow
from outrider.cache.kv import KVCache
from outrider.core.commit import Commit, CommitBatch
from outrider.core.tree import Budget
from outrider.drafting.interface import Drafter, SequenceContext
from outrider.target.interface import Target

GAINED = 4
_BUDGET = Budget(64, 64)
_REPEATS = 4  # rounds of one sequence in a row
_CHUNK = 512
ROOM = _BUDGET.depth + GAINED * (2 + ROUNDS * _REPEATS)  # positions that a measurement needs behind a context


@dataclass(frozen=True, slots=True)
class DraftTimes:
    """Medians of a round in ms, and how many nodes it proposed."""

    commit_ms: float
    propose_ms: float
    nodes: int


def measure_draft(target: Target, drafter: Drafter[Any], contexts: Sequence[int],
                  tell: Callable[[str], None]) -> dict[int, DraftTimes]:
    """By context."""
    found = {}
    for context in contexts:
        tell(f"drafting behind {context} tokens")
        found[context] = _Draftee(target, drafter, context).times()
    return found


def draft_rows(times: dict[int, DraftTimes], target_ms: dict[int, dict[int, float]]) -> tuple[DraftCostRow, ...]:
    """With the time beside that of a target's pass, between whose measured sizes a straight line is drawn."""
    return tuple(DraftCostRow(context, one.commit_ms, one.propose_ms, one.nodes,
                              (one.commit_ms + one.propose_ms) / _between(target_ms[context], one.nodes + 1))
                 for context, one in times.items())


def _between(by_size: dict[int, float], size: int) -> float:
    below = max((n for n in by_size if n <= size), default=min(by_size))
    above = min((n for n in by_size if n >= size), default=max(by_size))
    share = (size - below) / (above - below) if above > below else 0.0
    return by_size[below] + share * (by_size[above] - by_size[below])


class _Draftee:
    """One sequence that a drafter is told of, with pages but without a target behind it."""

    def __init__(self, target: Target, drafter: Drafter[Any], context: int) -> None:
        self._target, self._drafter = target, drafter
        self._cache: KVCache[Any] = target.new_cache(context + 16 * ROOM, drafter.payloads)
        self._row = self._cache.open()
        self._dice = torch.Generator().manual_seed(context)
        pages = self._cache.pages(self._row) if drafter.payloads else None
        self._state = drafter.start(SequenceContext(1, pages=pages))
        for begin in range(0, context, _CHUNK):
            self._commit_s(min(_CHUNK, context - begin))

    def times(self) -> DraftTimes:
        commits, proposals, nodes = [], [], 0
        for _ in range(1 + ROUNDS * _REPEATS):
            commits.append(self._commit_s(GAINED))
            begin_s = time.perf_counter()
            tree = self._drafter.propose([self._state], [_BUDGET]).trees[0]
            proposals.append(time.perf_counter() - begin_s)
            nodes = len(tree)
        self._drafter.finish(self._state)
        return DraftTimes(statistics.median(commits[1:]) * 1e3, statistics.median(proposals[1:]) * 1e3, nodes)

    def _commit_s(self, count: int) -> float:
        tokens: list[int] = torch.randint(self._target.vocab_size, (count,), generator=self._dice).tolist()
        self._cache.reserve(self._row, count)
        self._cache.keep(self._row, tokens, range(count))
        commit = CommitBatch((Commit(tokens, self._features(count)),), self._target.device)
        begin_s = time.perf_counter()
        self._drafter.commit([self._state], commit)
        return time.perf_counter() - begin_s

    def _features(self, count: int) -> Tensor | None:
        if not self._drafter.taps:
            return None
        size = self._target.hidden_size * len(self._drafter.taps)
        return torch.randn(count, size, generator=self._dice).to(self._target.device)
