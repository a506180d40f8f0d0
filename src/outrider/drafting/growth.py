"""Trees grown best first: the likeliest node that is left joins the tree, and its children join the race.

With a node's survival the product of the chances along its path this is the tree of a given size with the largest
expected number of accepted nodes, if the chances are right.

Source: Ringel and Romano, "DDTree" (arXiv 2604.12989), for blocks; the same order reranks EAGLE-2's pool.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import count

from outrider.core.tree import ANCHOR, Budget, DraftTree
from outrider.drafting.guesses import Guess

Children = Callable[[int, int, int], Sequence[Guess]]
"""What may follow a node: its index, its depth (0: the anchor) and its token."""


def grown(children: Children, budget: Budget, anchor: int) -> DraftTree:
    """The tree of the likeliest nodes within the budget; `anchor` is the last committed token."""
    order = count()
    token_N: list[int] = []
    parent_N: list[int] = []
    score_N: list[float] = []
    race: list[tuple[float, int, int, int, int]] = []  # -survival, order of entry, parent, depth, token

    def enter(parent: int, depth: int, token: int, survival: float) -> None:
        if depth < budget.depth:
            for guess in children(parent, depth, token):
                if (chance := survival * guess.share) >= budget.min_survival:
                    heapq.heappush(race, (-chance, next(order), parent, depth + 1, guess.token))

    enter(ANCHOR, 0, anchor, 1.0)
    while race and len(token_N) < budget.nodes:
        chance, _, parent, depth, token = heapq.heappop(race)
        token_N.append(token)
        parent_N.append(parent)
        score_N.append(-chance)
        if len(token_N) < budget.nodes:
            enter(len(token_N) - 1, depth, token, -chance)
    return DraftTree(token_N, parent_N, (), score_N)
