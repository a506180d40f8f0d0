"""`none`: drafts nothing. Plain decoding is speculation with an empty tree."""

from __future__ import annotations

from dataclasses import dataclass

from outrider.core.commit import Commit
from outrider.core.tree import EMPTY_TREE, Budget, DraftTree
from outrider.drafting.interface import Draws, HostDrafter, SequenceContext


class NoDrafter(HostDrafter[None]):
    """The baseline of every comparison."""

    draws: Draws = "chains"  # empty ones, which are drawn from any distribution
    drafts = False

    @dataclass(frozen=True, slots=True)
    class Config:
        pass

    def start(self, context: SequenceContext) -> None:
        return None

    def observe(self, state: None, commit: Commit) -> None:
        pass

    def draft(self, state: None, budget: Budget) -> DraftTree:
        return EMPTY_TREE
