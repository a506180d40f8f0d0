"""`mix`: several drafters at once, their branches merged into one tree.

Named by joining others with `+`. Asked as one, it asks all its members and merges what they propose. A policy asks them
one by one instead, each only where that pays.
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
from outrider.core.tree import Budget, DraftBatch
from outrider.drafting.interface import Drafter, Memory, SequenceContext, TargetView
from outrider.drafting.merge import joined
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
        self._members = tuple(drafter_of(member, target) for member in self.config.members)
        memories = [member.memory for member in self.members if member.memory is not None]
        self.memory = MixMemory(memories) if memories else None
        self.taps = tuple(sorted({tap for member in self.members for tap in member.taps}))
        self.payloads = tuple(payload for member in self.members for payload in member.payloads)
        self.candidates = max(member.candidates for member in self.members)
        self.thinking = next((member.thinking for member in self.members if member.thinking is not None), None)

    @property
    def members(self) -> tuple[Drafter[Any], ...]:
        return self._members

    def part(self, state: MixState, member: int) -> Any:
        return state[member]

    def debt(self, state: MixState) -> int:
        return sum(member.debt(own) for member, own in zip(self.members, state, strict=True))

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
        is_plain = not self.taps and not self.candidates  # then all get the same
        for index, member in enumerate(self.members):
            own = commits if is_plain else CommitBatch(tuple(self._own_part(member, commit) for commit in commits),
                                                       commits.device)
            member.commit([state[index] for state in states], own)

    def propose(self, states: Sequence[MixState], budgets: Sequence[Budget]) -> DraftBatch:
        drafts = [member.propose([state[index] for state in states], budgets).trees
                  for index, member in enumerate(self.members)]
        return DraftBatch.of(joined(self.members, drafts, budgets), self.target.device)

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
