"""Tapes: what an engine told a drafter about each sequence, to be told again in other ways.

    engine ── Recorder ── drafter          the same commits later: one by one, joined into one, in a batch, forked
                 └── Tape(context, commits)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from outrider.core.commit import Commit, CommitBatch
from outrider.core.tree import Budget, DraftBatch, DraftTree
from outrider.drafting.interface import Drafter, SequenceContext

Shape = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


@dataclass(slots=True)
class Tape:
    """A sequence as its drafter heard of it."""

    context: SequenceContext
    commits: list[Commit]

    def cut(self, count: int) -> Tape:
        """Its first `count` commits."""
        return Tape(self.context, self.commits[:count])

    def joined(self) -> Tape:
        """The same tokens in one commit, as a prefix hit or a long prefill would bring them."""
        tokens = [token for commit in self.commits for token in commit.token_n]
        features = [commit.feature_nF for commit in self.commits if commit.feature_nF is not None]
        is_whole = len(features) == len(self.commits) > 0
        return Tape(self.context, [Commit(tokens, torch.cat(features) if is_whole else None)] if tokens else [])


@dataclass(slots=True)
class _Recorded:
    state: Any
    tape: Tape


class Recorder(Drafter[_Recorded]):
    """Stands before a drafter and keeps a tape of every sequence; checks each proposal on its way."""

    def __init__(self, inner: Drafter[Any]) -> None:
        super().__init__(inner.config, inner.target)
        self.inner = inner
        self.taps, self.candidates = inner.taps, inner.candidates
        self.tapes: list[Tape] = []
        self.live: list[_Recorded] = []

    @property
    def sources(self) -> tuple[str, ...]:
        return self.inner.sources

    def start(self, context: SequenceContext) -> _Recorded:
        recorded = _Recorded(self.inner.start(context), Tape(context, []))
        self.tapes.append(recorded.tape)
        self.live.append(recorded)
        return recorded

    def commit(self, states: Sequence[_Recorded], commits: CommitBatch) -> None:
        for recorded, commit in zip(states, commits, strict=True):
            recorded.tape.commits.append(commit)
        self.inner.commit([recorded.state for recorded in states], commits)

    def propose(self, states: Sequence[_Recorded], budgets: Sequence[Budget]) -> DraftBatch:
        draft = self.inner.propose([recorded.state for recorded in states], budgets)
        check_draft(self.inner, draft, budgets)
        return draft

    def finish(self, state: _Recorded) -> None:
        self.inner.finish(state.state)
        self.live = [recorded for recorded in self.live if recorded is not state]


def check_draft(drafter: Drafter[Any], draft: DraftBatch, budgets: Sequence[Budget]) -> None:
    """AssertionError unless every tree is valid, within its budget, and made of the target's tokens."""
    assert len(draft) == len(budgets), f"{len(budgets)} states, but {len(draft)} trees"
    for tree, budget in zip(draft.trees, budgets, strict=True):
        tree.check(budget)
        assert budget or not len(tree), f"{budget} is empty, but {len(tree)} nodes were drafted"
        bad = [token for token in tree.token_N if not 0 <= token < drafter.target.vocab_size]
        assert not bad, f"token {bad[0]} is outside the vocabulary of {drafter.target.vocab_size}"
        bits = (1 << len(drafter.sources)) - 1
        assert all(0 < tree.source(node) <= bits for node in range(len(tree))), "source bits that have no name"
        assert all(0.0 <= tree.score(node) <= 1.0 for node in range(len(tree))), "a score is a chance, from 0 to 1"


def replay(drafter: Drafter[Any], tape: Tape) -> Any:
    """The state of a new sequence that was told the tape's commits one by one."""
    state = drafter.start(tape.context)
    for commit in tape.commits:
        tell(drafter, [state], [commit])
    return state


def tell(drafter: Drafter[Any], states: Sequence[Any], commits: Sequence[Commit]) -> None:
    drafter.commit(states, CommitBatch(tuple(commits), drafter.target.device))


def shapes(drafter: Drafter[Any], states: Sequence[Any], budgets: Sequence[Budget]) -> list[Shape]:
    """What is proposed, in a form that can be compared: tokens, parents and sources of every tree."""
    draft = drafter.propose(states, budgets)
    check_draft(drafter, draft, budgets)
    return [_shape(tree) for tree in draft.trees]


def _shape(tree: DraftTree) -> Shape:
    return tuple(tree.token_N), tuple(tree.parent_N), tuple(tree.source(node) for node in range(len(tree)))
