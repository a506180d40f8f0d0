"""Trees grown level by level, where asking what follows a node costs a pass.

Of each level the likeliest nodes are asked; all that was ever proposed stays in the pool, and its likeliest nodes are
the draft. Survival falls along a path, so the ancestors of the chosen are chosen too.

Source: Li et al., "EAGLE-2" (arXiv 2406.16858), §4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from outrider.core.drawn import DrawnTree
from outrider.core.ratio_noise import DrawKey
from outrider.core.tree import ANCHOR, Budget, DraftTree
from outrider.drafting.draws import drawn
from outrider.drafting.guesses import Guess


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposed token; `survival` multiplies along the path."""

    token: int
    parent: int
    depth: int
    survival: float


@dataclass(slots=True)
class Growth:
    """One sequence's candidates while its tree grows, parents before children. `frontier` is to be asked next."""

    budget: Budget
    anchor: int
    pool: list[Candidate] = field(default_factory=list)
    frontier: list[int] = field(default_factory=lambda: [ANCHOR])
    q_NV: list[Tensor] = field(default_factory=list)
    _children: dict[int, dict[int, int]] = field(default_factory=dict)

    def depth(self, node: int) -> int:
        return 0 if node == ANCHOR else self.pool[node].depth

    def token(self, node: int) -> int:
        return self.anchor if node == ANCHOR else self.pool[node].token

    def survival(self, node: int) -> float:
        return 1.0 if node == ANCHOR else self.pool[node].survival

    def children(self, parent: int) -> dict[int, int]:
        """By token."""
        return self._children.setdefault(parent, {})

    def add(self, parent: int, guesses: Sequence[Guess]) -> list[int]:
        """Children of a node within the budget, but for those that it has already; returns the new ones."""
        begin, depth, survival = len(self.pool), self.depth(parent), self.survival(parent)
        known = self.children(parent)
        for guess in guesses if depth < self.budget.depth else ():
            if guess.token not in known and survival * guess.share >= self.budget.min_survival:
                known[guess.token] = len(self.pool)
                self.pool.append(Candidate(guess.token, parent, depth + 1, survival * guess.share))
        return list(range(begin, len(self.pool)))

    def extend(self, guesses_F: Sequence[Sequence[Guess]], width: int) -> None:
        """Children for the whole frontier; the likeliest `width` of them are the next."""
        new = [node for parent, guesses in zip(self.frontier, guesses_F, strict=True)
               for node in self.add(parent, guesses)]
        self.frontier = new
        self.narrow(width)

    def narrow(self, width: int) -> None:
        """Leaves the likeliest `width` nodes in the frontier, of those that may have children, if they pay."""
        best = sorted(self.frontier, key=lambda node: -self.pool[node].survival)[:width]
        pays = bool(best) and self.pool[best[0]].survival >= self.budget.min_step
        self.frontier = [node for node in sorted(best) if self.pool[node].depth < self.budget.depth] if pays else []

    def draw(self, q_V: Tensor, key: DrawKey, position: int) -> None:
        """One token, drawn from q, behind the only node of the frontier. `position` is that of the round's first token.

        Whether there is one is settled before it is drawn: while the likeliest token would be likely enough.
        """
        parent, = self.frontier
        chance = self.survival(parent) * float(q_V.max())
        self.frontier = []
        if chance >= self.budget.min_survival and len(self.pool) < self.budget.nodes:
            token, = drawn(q_V, key, position, parent, 1)
            self.pool.append(Candidate(token, parent, self.depth(parent) + 1, chance))
            self.q_NV.append(q_V)
            self.frontier = [len(self.pool) - 1]
            self.narrow(1)

    def tree(self) -> DraftTree:
        """The likeliest candidates, in the order in which they came up; all of them if they were drawn."""
        if self.q_NV:
            return DrawnTree([one.token for one in self.pool], range(ANCHOR, len(self.pool) - 1), (),
                             [one.survival for one in self.pool], self.q_NV)
        order = sorted(range(len(self.pool)), key=lambda node: -self.pool[node].survival)
        kept = sorted(order[: self.budget.nodes])
        place = {node: at for at, node in enumerate(kept)} | {ANCHOR: ANCHOR}
        chosen = [self.pool[node] for node in kept]
        return DraftTree([one.token for one in chosen], [place[one.parent] for one in chosen], (),
                         [one.survival for one in chosen])
