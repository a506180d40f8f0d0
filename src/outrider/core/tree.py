"""Draft trees: what a drafter proposes, on the host as lists and on the device as one padded batch.

    anchor ─┬─ 0 ─┬─ 1        token_N  = the drafted ids
            │     └─ 2        parent_N = (-1, 0, 0, -1): parents before children, -1 is the anchor,
            └─ 3                         the last committed token, which is no node
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from outrider.core.ids import ids

ANCHOR = -1


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a drafter may propose this round; zero nodes is a normal answer.

    `depth` bounds the longest path, `min_survival` the expected survival below which a node is not worth drafting.
    Drafters that pay for each level with a pass stop where no node of the last one survives with at least `min_step`.
    """

    nodes: int
    depth: int
    min_survival: float = 0.0
    min_step: float = 0.0

    def __bool__(self) -> bool:
        return self.nodes > 0 and self.depth > 0


@dataclass(frozen=True, slots=True)
class DraftTree:
    """N drafted tokens. Siblings carry different tokens.

    `source_N` is a bit set of the drafters that proposed a node (bit i: the i-th of a mixture), `score_N` the expected
    survival of a node, path included. Both may be empty: source 1 and score 1 for all. Source 0 is for nodes that
    nobody had to guess; they come last.
    """

    token_N: Sequence[int] = ()
    parent_N: Sequence[int] = ()
    source_N: Sequence[int] = ()
    score_N: Sequence[float] = ()

    @classmethod
    def chain(cls, token_N: Sequence[int], score_N: Sequence[float] = ()) -> DraftTree:
        """A path hanging from the anchor."""
        return cls(token_N, range(-1, len(token_N) - 1), (), score_N)

    def __len__(self) -> int:
        return len(self.token_N)

    def source(self, node: int) -> int:
        return self.source_N[node] if self.source_N else 1

    def score(self, node: int) -> float:
        return self.score_N[node] if self.score_N else 1.0

    def depths(self) -> Sequence[int]:
        """1 for the anchor's children, and so on."""
        if isinstance(self.parent_N, range):  # a chain
            return range(1, len(self.parent_N) + 1)
        depth_N: list[int] = []
        for parent in self.parent_N:
            depth_N.append(1 if parent == ANCHOR else depth_N[parent] + 1)
        return depth_N

    def path_to(self, node: int) -> list[int]:
        """Node indices from the root to `node`, itself included."""
        path = []
        while node != ANCHOR:
            path.append(node)
            node = self.parent_N[node]
        return path[::-1]

    @property
    def guesses(self) -> DraftTree:
        """The tree without what nobody guessed: the nodes with source 0, which stand behind all others."""
        count = sum(map(bool, self.source_N))
        if count == len(self.source_N):
            return self
        return DraftTree(self.token_N[:count], self.parent_N[:count], self.source_N[:count], self.score_N[:count])

    def likeliest_chain(self) -> DraftTree:
        """The path with the most survivors to be expected: the sum of its nodes' scores; of equals, the first."""
        if self.parent_N and list(self.parent_N) == list(range(ANCHOR, len(self) - 1)):
            return self
        hope_N: list[float] = []
        for node, parent in enumerate(self.parent_N):
            hope_N.append(self.score(node) + (0.0 if parent == ANCHOR else hope_N[parent]))
        path = self.path_to(max(range(len(self)), key=hope_N.__getitem__)) if hope_N else []
        picked = DraftTree.chain([self.token_N[node] for node in path], [self.score(node) for node in path])
        return replace(picked, source_N=[self.source(node) for node in path])

    def check(self, budget: Budget | None = None) -> None:
        """AssertionError where an invariant or the budget is broken (contract tests call this)."""
        size = len(self.token_N)
        assert len(self.parent_N) == size, "one parent a node"
        assert len(self.source_N) in (0, size) and len(self.score_N) in (0, size), "source and score: all or none"
        assert all(ANCHOR <= parent < node for node, parent in enumerate(self.parent_N)), "parents before children"
        edges = set(zip(self.parent_N, self.token_N, strict=True))
        assert len(edges) == size, "siblings carry different tokens"
        if budget is not None:
            assert size <= budget.nodes, f"{size} nodes over a budget of {budget.nodes}"
            assert max(self.depths(), default=0) <= budget.depth, f"deeper than {budget.depth}"


EMPTY_TREE = DraftTree()
WIDTHS = (0, 1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def width_bucket(count: int) -> int:
    """The smallest padded width that holds `count` nodes, so that shapes repeat from round to round."""
    return next((width for width in WIDTHS if width >= count), -(-count // 64) * 64)


@dataclass(frozen=True)
class DraftBatch:
    """The trees of B sequences: lists for the host, tensors padded to one width for the device.

    Shapes: token_BN, parent_BN, depth_BN int64 [B, N]; count_B int64 [B]. Padding has token -1, parent -2, depth 0.
    Tensors are made when first asked for: a proposal takes microseconds, its tensors tens of them.
    """

    trees: tuple[DraftTree, ...]
    device: torch.device

    @classmethod
    def of(cls, trees: Sequence[DraftTree], device: torch.device) -> DraftBatch:
        """A batch of host trees."""
        return cls(tuple(trees), device)

    def __len__(self) -> int:
        return len(self.trees)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        return tuple(len(tree) for tree in self.trees)

    @cached_property
    def max_depth(self) -> int:
        return max((max(depth_N, default=0) for depth_N in self._depths), default=0)

    @cached_property
    def token_BN(self) -> Tensor:
        return self._padded([tree.token_N for tree in self.trees], -1)

    @cached_property
    def parent_BN(self) -> Tensor:
        return self._padded([tree.parent_N for tree in self.trees], -2)

    @cached_property
    def depth_BN(self) -> Tensor:
        return self._padded(self._depths, 0)

    @cached_property
    def count_B(self) -> Tensor:
        return ids(self.counts, self.device)

    @cached_property
    def _depths(self) -> list[Sequence[int]]:
        return [tree.depths() for tree in self.trees]

    def _padded(self, rows: Sequence[Sequence[int]], fill: int) -> Tensor:
        width = width_bucket(max(self.counts, default=0))
        if not width:
            return torch.empty((len(rows), 0), dtype=torch.int64, device=self.device)
        full = [[*row, *[fill] * (width - len(row))] for row in rows]
        return ids(full, self.device)
