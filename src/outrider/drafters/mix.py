"""`mix`: several drafters at once, their branches merged into one tree.

Named by joining others with `+`. A node that several members propose is verified once and keeps all their sources; its
survival is the best of theirs. Whom to believe, and how much to draft, is for the policy to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch

from outrider.cache.payload import Pages
from outrider.core.commit import Candidates, Commit, CommitBatch
from outrider.core.tree import ANCHOR, Budget, DraftBatch, DraftTree
from outrider.drafting.interface import Drafter, Memory, SequenceContext, TargetView
from outrider.drafting.syntax import DrafterSpec, drafter_of
from outrider.errors import ConfigError

MixState = list[Any]


class MixMemory:
    """The members' memories as one; saved as a folder with a numbered file for each that has any."""

    def __init__(self, memories: Sequence[Memory]) -> None:
        self._memories = memories

    @property
    def frozen(self) -> bool:
        return all(memory.frozen for memory in self._memories)

    @frozen.setter
    def frozen(self, value: bool) -> None:
        for memory in self._memories:
            memory.frozen = value

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        for index, memory in enumerate(self._memories):
            memory.save(path / str(index))

    def load(self, path: Path) -> None:
        for index, memory in enumerate(self._memories):
            memory.load(path / str(index))


class MixDrafter(Drafter[MixState]):
    """The members' states side by side."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """`members` are drafters with their configs; written as `suffix+model:target=...`."""

        members: tuple[DrafterSpec | Drafter[Any], ...]

        def __post_init__(self) -> None:
            if not isinstance(self.members, tuple) or len(self.members) < 2:
                raise ConfigError("drafter 'mix' joins two or more drafters: write them as NAME+NAME")

    def bind(self, target: TargetView) -> None:
        super().bind(target)
        self.members = [drafter_of(member, target) for member in self.config.members]
        memories = [member.memory for member in self.members if member.memory is not None]
        self.memory = MixMemory(memories) if memories else None
        self.taps = tuple(sorted({tap for member in self.members for tap in member.taps}))
        self.payloads = tuple(payload for member in self.members for payload in member.payloads)
        self.candidates = max(member.candidates for member in self.members)
        self.thinking = next((member.thinking for member in self.members if member.thinking is not None), None)

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(name for member in self.members for name in member.sources)

    @property
    def read_bytes(self) -> int:
        return sum(member.read_bytes for member in self.members)

    def start(self, context: SequenceContext) -> MixState:
        return [member.start(replace(context, pages=pages))
                for member, pages in zip(self.members, self._pages(context.pages), strict=True)]

    def commit(self, states: Sequence[MixState], commits: CommitBatch) -> None:
        for index, member in enumerate(self.members):
            own = tuple(self._own_part(member, commit) for commit in commits)
            member.commit([state[index] for state in states], CommitBatch(own, commits.device))

    def propose(self, states: Sequence[MixState], budgets: Sequence[Budget]) -> DraftBatch:
        drafts = [member.propose([state[index] for state in states], budgets).trees
                  for index, member in enumerate(self.members)]
        shifts = [sum(len(member.sources) for member in self.members[:index]) for index in range(len(self.members))]
        trees = [merge(trees, shifts, budget.nodes)
                 for trees, budget in zip(zip(*drafts, strict=True), budgets, strict=True)]
        return DraftBatch.of(trees, self.target.device)

    def fork(self, state: MixState, pages: Pages | None = None) -> MixState:
        return [member.fork(own, part)
                for member, own, part in zip(self.members, state, self._pages(pages), strict=True)]

    def finish(self, state: MixState) -> None:
        for member, own in zip(self.members, state, strict=True):
            member.finish(own)

    def check_integrity(self, states: Sequence[MixState]) -> None:
        for index, member in enumerate(self.members):
            member.check_integrity([state[index] for state in states])

    def close(self) -> None:
        for member in self.members:
            member.close()

    def _pages(self, pages: Pages | None) -> list[Pages | None]:
        """Each member's part of the payloads."""
        ends = list(accumulate((len(member.payloads) for member in self.members), initial=0))
        return [None if pages is None else pages.part(begin, end) for begin, end in pairwise(ends)]

    def _own_part(self, member: Drafter[Any], commit: Commit) -> Commit:
        """The commit as a member alone would have got it: its taps' columns, its number of candidates."""
        feature_nF = commit.feature_nF
        if feature_nF is not None and member.taps != self.taps:
            size = feature_nF.shape[1] // len(self.taps)
            by_tap = dict(zip(self.taps, torch.split(feature_nF, size, 1), strict=True))
            feature_nF = torch.cat([by_tap[tap] for tap in member.taps], 1) if member.taps else None
        candidates = commit.candidates
        if candidates is not None:
            kept = [row[: member.candidates] for row in candidates.top_MK]
            candidates = Candidates(candidates.row_token_M, kept) if member.candidates else None
        return replace(commit, feature_nF=feature_nF, candidates=candidates)


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
