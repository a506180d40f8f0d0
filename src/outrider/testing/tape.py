"""Tapes: what an engine told a drafter about each sequence, to be told again in other ways.

    engine ── Recorder ── drafter          Stage ── drafter    the same commits later: one by one, joined into one,
                 └── Tape(context, commits) ──┘                in a batch, forked
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from outrider.cache.kv import KVCache
from outrider.core.commit import Commit, CommitBatch
from outrider.core.ratio_noise import DrawKey
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

    def drawn(self) -> Tape:
        """The same under a ratio rule, where a sampled sequence's drafts are drawn."""
        noise, is_greedy = self.context.noise, self.context.sampling.is_greedy
        draw = None if is_greedy else DrawKey(noise.seed, noise.sample)
        return Tape(replace(self.context, draw=draw), self.commits)

    def joined(self) -> Tape:
        """The same tokens in one commit, as a long prefill would bring them; a prefix hit stays by itself."""
        hit = [commit for commit in self.commits[:1] if commit.feature_nF is None]
        rest = self.commits[len(hit) :]
        if not any(commit.feature_nF is not None for commit in rest):  # nothing is tapped
            hit, rest = [], self.commits
        tokens = [token for commit in rest for token in commit.token_n]
        features = [commit.feature_nF for commit in rest if commit.feature_nF is not None]
        return Tape(self.context, [*hit, Commit(tokens, torch.cat(features) if features else None)] if tokens else hit)


@dataclass(slots=True)
class _Recorded:
    state: Any
    tape: Tape


class Recorder(Drafter[_Recorded]):
    """Stands before a drafter and keeps a tape of every sequence; checks each proposal on its way."""

    def __init__(self, inner: Drafter[Any]) -> None:
        super().__init__(inner.config, inner.target)
        self.inner = inner
        self.taps, self.candidates, self.payloads = inner.taps, inner.candidates, inner.payloads
        self.draws = inner.draws
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


@dataclass(slots=True)
class Actor:
    """A sequence on a stage: the drafter's state and, where it declares payloads, the row of the cache it writes to."""

    state: Any
    token_n: list[int]
    row: int = -1


class Stage:
    """What an engine is to a drafter, without a target: tells it of tokens and keeps its pages.

    `cache` is that of the engine which made the tapes: what it hit there is still found.
    """

    def __init__(self, drafter: Drafter[Any], cache: KVCache[Any]) -> None:
        self.drafter, self._cache = drafter, cache

    def start(self, tape: Tape) -> Actor:
        """A new sequence that has been told nothing yet."""
        context = tape.context
        if not self.drafter.payloads:
            return Actor(self.drafter.start(context), [context.token])
        hit = [context.token, *(tape.commits[0].token_n if tape.commits and tape.commits[0].feature_nF is None else ())]
        row = self._cache.open(hit, context.scope)
        assert self._cache.length(row) == len(hit) - 1, "what a tape hit has to be there still"
        state = self.drafter.start(replace(context, pages=self._cache.pages(row)))
        return Actor(state, [context.token], row)

    def replay(self, tape: Tape) -> Actor:
        """The state of a new sequence that was told the tape's commits one by one."""
        actor = self.start(tape)
        for commit in tape.commits:
            self.tell([actor], [commit])
        return actor

    def tell(self, actors: Sequence[Actor], commits: Sequence[Commit]) -> None:
        for actor, commit in zip(actors, commits, strict=True):
            known = len(actor.token_n)
            actor.token_n += commit.token_n
            if actor.row >= 0 and self._cache.length(actor.row) < len(actor.token_n) - 1:
                gained = actor.token_n[known - 1 : -1]
                self._cache.reserve(actor.row, len(gained))
                self._cache.keep(actor.row, gained, range(len(gained)))
        states = [actor.state for actor in actors]
        self.drafter.commit(states, CommitBatch(tuple(commits), self.drafter.target.device))

    def shapes(self, actors: Sequence[Actor], budgets: Sequence[Budget]) -> list[Shape]:
        """What is proposed, in a form that can be compared: tokens, parents and sources of every tree."""
        draft = self.drafter.propose([actor.state for actor in actors], budgets)
        check_draft(self.drafter, draft, budgets)
        return [_shape(tree) for tree in draft.trees]

    def fork(self, actor: Actor) -> Actor:
        if actor.row < 0:
            return Actor(self.drafter.fork(actor.state), list(actor.token_n))
        row = self._cache.fork(actor.row)
        return Actor(self.drafter.fork(actor.state, self._cache.pages(row)), list(actor.token_n), row)

    def finish(self, actor: Actor) -> None:
        self.drafter.finish(actor.state)
        if actor.row >= 0:
            self._cache.release(actor.row)


def _shape(tree: DraftTree) -> Shape:
    return tuple(tree.token_N), tuple(tree.parent_N), tuple(tree.source(node) for node in range(len(tree)))
