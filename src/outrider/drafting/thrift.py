"""When a node is worth drafting, as long as no policy says so: the floor under its survival.

Checking a handful of nodes costs a target hardly more than checking none, so the first `cheap` nodes need a quarter of
the survival that later ones do. A policy's own bound (`Budget.min_survival`) holds for all nodes alike, and the
stricter of the two counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from outrider.core.tree import Budget

_CHEAP_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Thrift:
    """`first` is the least survival of the first `cheap` nodes, `later` that of the others."""

    cheap: int
    first: float
    later: float

    @classmethod
    def within(cls, budget: Budget, floor: float, cheap: int) -> Thrift:
        return cls(cheap, max(budget.min_survival, floor * _CHEAP_SHARE), max(budget.min_survival, floor))

    def allows(self, survival: float, drafted: int) -> bool:
        """Whether another node is worth it behind `drafted` ones."""
        return survival >= (self.first if drafted < self.cheap else self.later)
