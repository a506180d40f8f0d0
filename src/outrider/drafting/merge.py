"""Merging what several drafters propose for one sequence.

A node that several propose is verified once and keeps all their sources; its survival is the best of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from outrider.core.tree import ANCHOR, Budget, DraftTree
from outrider.drafting.interface import Drafter


def shifts(members: Sequence[Drafter[Any]]) -> list[int]:
    """The bit of each member's first source in a merged tree."""
    return list(accumulate((len(member.sources) for member in members), initial=0))[:-1]


def joined(members: Sequence[Drafter[Any]], drafts: Sequence[Sequence[DraftTree]],
           budgets: Sequence[Budget]) -> list[DraftTree]:
    """What all members propose, a merged tree for each budget; `drafts` are their trees, member by member."""
    bits = shifts(members)
    return [merge(trees, bits, budget.nodes)
            for trees, budget in zip(zip(*drafts, strict=True), budgets, strict=True)]


@dataclass(slots=True)
class _Branch:
    """A merged node."""

    token: int
    parent: int
    source: int
    score: float


def merge(trees: Sequence[DraftTree], shifts: Sequence[int], num_nodes: int) -> DraftTree:
    """One tree from many, with sources shifted into their own bits, cut to the `num_nodes` likeliest."""
    found: dict[tuple[int, int], int] = {}
    merged: list[_Branch] = []
    for tree, shift in zip(trees, shifts, strict=True):
        place: list[int] = []
        for node in range(len(tree)):
            parent = tree.parent_N[node] if tree.parent_N[node] == ANCHOR else place[tree.parent_N[node]]
            score = tree.score(node) if parent == ANCHOR else min(tree.score(node), merged[parent].score)
            key = (parent, tree.token_N[node])
            if key not in found:
                found[key] = len(merged)
                merged.append(_Branch(tree.token_N[node], parent, 0, 0.0))
            place.append(found[key])
            branch = merged[found[key]]
            branch.source |= tree.source(node) << shift
            branch.score = max(branch.score, score)
    return _cut(merged, num_nodes)


def _cut(merged: list[_Branch], num_nodes: int) -> DraftTree:
    """The likeliest nodes; a parent is at least as likely as its children and comes before them."""
    order = sorted(range(len(merged)), key=lambda node: (-merged[node].score, node))[:num_nodes]
    order.sort()
    place = {node: index for index, node in enumerate(order)}
    kept = [merged[node] for node in order]
    return DraftTree([node.token for node in kept], [place.get(node.parent, ANCHOR) for node in kept],
                     [node.source for node in kept], [node.score for node in kept])
