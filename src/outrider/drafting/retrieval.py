"""What drafters that look things up have in common: an index of their sequences, asked once a round.

    drafter ──> index ─┬─ native   outrider.ops.native.retrieval: C++, one call for all sequences
                       └─ twin     Python, sequence by sequence: what it says, the native one says, bit for bit

`native_library` is where it is decided which of the two a drafter gets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from outrider.cache.payload import Pages
from outrider.core.commit import Commit, CommitBatch
from outrider.core.tree import EMPTY_TREE, Budget, DraftBatch, DraftTree
from outrider.drafting.interface import HostDrafter, SequenceContext
from outrider.ops.native import library
from outrider.ops.native.library import Library

State = TypeVar("State")


class RetrievalIndex(Protocol[State]):
    """Sequences, and what is known across them. Frozen, nothing enters what they share."""

    def start(self, token: int, prediction: Sequence[int], scope: str, num_prompt: int) -> State: ...
    def ingest(self, states: Sequence[State], commits: Sequence[Commit], frozen: bool) -> None: ...
    def propose(self, states: Sequence[State], budgets: Sequence[Budget]) -> list[DraftTree]: ...
    def fork(self, state: State) -> State: ...
    def finish(self, state: State, frozen: bool) -> None: ...
    def check_integrity(self, states: Sequence[State]) -> None: ...


class IndexTwin(ABC, Generic[State]):
    """A `RetrievalIndex` in Python: write `start`, `observe`, `draft` and `fork`, one sequence at a time."""

    @abstractmethod
    def start(self, token: int, prediction: Sequence[int], scope: str, num_prompt: int) -> State:
        """The state of a sequence that begins with `token`."""

    @abstractmethod
    def observe(self, state: State, commit: Commit, frozen: bool) -> None:
        """One sequence has gained `commit.token_n`."""

    @abstractmethod
    def draft(self, state: State, budget: Budget) -> DraftTree:
        """A proposal within a budget that is not empty."""

    @abstractmethod
    def fork(self, state: State) -> State:
        """An independent copy."""

    def ingest(self, states: Sequence[State], commits: Sequence[Commit], frozen: bool) -> None:
        for state, commit in zip(states, commits, strict=True):
            self.observe(state, commit, frozen)

    def propose(self, states: Sequence[State], budgets: Sequence[Budget]) -> list[DraftTree]:
        return [self.draft(state, budget) if budget else EMPTY_TREE
                for state, budget in zip(states, budgets, strict=True)]

    def finish(self, state: State, frozen: bool) -> None:
        """The sequence is over."""

    def check_integrity(self, states: Sequence[State]) -> None:
        """Nothing is held outside of states."""


class RetrievalDrafter(HostDrafter[Any]):
    """A drafter that passes everything on to its index, a round in one call each; `bind` has to make the index."""

    index: RetrievalIndex[Any]

    @property
    def _is_frozen(self) -> bool:
        return self.memory is not None and self.memory.frozen

    def start(self, context: SequenceContext) -> Any:
        return self.index.start(context.token, context.prediction, context.scope, context.num_prompt)

    def commit(self, states: Sequence[Any], commits: CommitBatch) -> None:
        self.index.ingest(states, commits.commits, self._is_frozen)

    def propose(self, states: Sequence[Any], budgets: Sequence[Budget]) -> DraftBatch:
        return DraftBatch.of(self.index.propose(states, budgets), self.target.device)

    def observe(self, state: Any, commit: Commit) -> None:
        self.index.ingest((state,), (commit,), self._is_frozen)

    def draft(self, state: Any, budget: Budget) -> DraftTree:
        return self.index.propose((state,), (budget,))[0]

    def fork(self, state: Any, pages: Pages | None = None) -> Any:
        return self.index.fork(state)

    def finish(self, state: Any) -> None:
        self.index.finish(state, self._is_frozen)

    def check_integrity(self, states: Sequence[Any]) -> None:
        self.index.check_integrity(states)


def native_library(wanted: bool) -> Library | None:
    """The library whose indices to use; None for the twins."""
    return library.load() if wanted else None
