"""`DrawnTree`: a draft with the distributions that its nodes were drawn from. Exists under the ratio rules only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from outrider.core.tree import ANCHOR, Budget, DraftTree


@dataclass(frozen=True, slots=True)
class DrawnTree(DraftTree):
    """Siblings stand in the order in which they were drawn, without replacement.

    How many are drawn, and whether a node gets children, is decided before they are drawn, and what was drawn is
    neither dropped nor moved. `q_NV` holds for each node the distribution that the first of its siblings was drawn
    from: the same float64 tensor [V] for all of them.
    """

    q_NV: Sequence[Tensor] = field(default=(), compare=False)

    def children(self, parent: int) -> list[int]:
        """In the order in which they were drawn."""
        return [node for node, other in enumerate(self.parent_N) if other == parent]

    def likeliest_chain(self) -> DrawnTree:
        """The first child of each node: the one path that does not depend on what was drawn."""
        path, node = [], ANCHOR
        while children := self.children(node):
            node = children[0]
            path.append(node)
        return DrawnTree([self.token_N[node] for node in path], range(ANCHOR, len(path) - 1),
                         [self.source(node) for node in path], [self.score(node) for node in path],
                         q_NV=[self.q_NV[node] for node in path])

    def check(self, budget: Budget | None = None) -> None:
        DraftTree.check(self, budget)
        assert len(self.q_NV) == len(self), "one distribution a node"
        for node, parent in enumerate(self.parent_N):
            first = self.q_NV[self.children(parent)[0]]
            assert self.q_NV[node] is first, "siblings are drawn from one distribution"
            assert float(first[self.token_N[node]]) > 0.0, "what was drawn has a chance"
