"""Texts that know where each of their n-grams last ended, and copies that begin there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from outrider.core.commit import Commit
from outrider.core.tree import EMPTY_TREE, Budget, DraftTree
from outrider.drafting.retrieval import IndexTwin, RetrievalIndex, native_library
from outrider.drafting.rolling import Gram, Trail, grams
from outrider.ops.native.retrieval import NativeLookups


@dataclass(slots=True)
class IndexedText:
    """A text that knows where each of its grams last ended: `ends` maps a key to the position of the token after."""

    trail: Trail
    tokens: list[int] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)

    def extend(self, token_n: Sequence[int], levels: Sequence[Gram]) -> None:
        hash_n = self.trail.hash_n
        for token in token_n:
            here = len(self.tokens)
            for gram in levels:
                if gram.size <= here:
                    self.ends[gram.key(hash_n[-1], hash_n[-1 - gram.size])] = here
            self.tokens.append(token)
            self.trail.extend((token,))
        self.trail.trim()

    def copy(self) -> IndexedText:
        return IndexedText(self.trail.copy(), self.tokens.copy(), self.ends.copy())


@dataclass(slots=True)
class LookupState:
    """The sequence so far and, apart from it, the text that the user expects."""

    text: IndexedText
    expected: IndexedText


@dataclass(frozen=True, slots=True)
class Match:
    """Where a copy may begin, and how many tokens agree before it."""

    source: IndexedText
    position: int
    length: int


@dataclass(frozen=True, slots=True)
class LookupRules:
    """longest: tokens of a draft. size_n: the n-grams looked for, longest first."""

    longest: int
    size_n: tuple[int, ...]


def lookup_index(rules: LookupRules, native: bool) -> RetrievalIndex[Any]:
    """The native index of sequences, where there is one and it is wanted, or else its twin."""
    found = native_library(native)
    return NativeLookups(found, rules.size_n, trust_n(), longest=rules.longest) if found else LookupTwin(rules)


def trust_n() -> tuple[float, ...]:
    """How far a copy is believed by how many tokens agree before it, up to where that is for certain."""
    found: list[float] = []
    while not found or found[-1] < 1.0:
        found.append(1.0 - 0.8 * 0.75 ** len(found))
    return tuple(found)


class LookupTwin(IndexTwin[LookupState]):
    """The readable index."""

    def __init__(self, rules: LookupRules) -> None:
        self.rules = rules
        self._levels, self._trust_n = grams(rules.size_n), trust_n()

    def start(self, token: int, prediction: Sequence[int], scope: str, num_prompt: int) -> LookupState:
        reach = self.rules.size_n[0]
        state = LookupState(IndexedText(Trail(reach)), IndexedText(Trail(reach)))
        state.expected.extend(prediction, self._levels)
        state.text.extend((token,), self._levels)
        return state

    def observe(self, state: LookupState, commit: Commit, frozen: bool) -> None:
        state.text.extend(commit.token_n, self._levels)

    def fork(self, state: LookupState) -> LookupState:
        return LookupState(state.text.copy(), state.expected.copy())

    def draft(self, state: LookupState, budget: Budget) -> DraftTree:
        match = self._find(state)
        if match is None:
            return EMPTY_TREE
        count = min(self.rules.longest, budget.nodes, budget.depth)
        tokens = match.source.tokens[match.position : match.position + count]
        # A longer match is believed more; what was copied adds to the match as the draft goes on.
        scores: list[float] = []
        survival, last = 1.0, len(self._trust_n) - 1
        for depth in range(len(tokens)):
            survival *= self._trust_n[min(match.length + depth, last)]
            scores.append(survival)
        kept = sum(score >= budget.min_survival for score in scores)
        return DraftTree.chain(tokens[:kept], scores[:kept])

    def _find(self, state: LookupState) -> Match | None:
        hash_n, tokens = state.text.trail.hash_n, state.text.tokens
        for gram in self._levels:
            if gram.size > len(tokens):
                continue
            key = gram.key(hash_n[-1], hash_n[-1 - gram.size])
            for source in (state.expected, state.text):
                end = source.ends.get(key)
                # The tokens are compared, so that not even a collision of 64 bits drafts nonsense.
                if end is not None and source.tokens[end - gram.size : end] == tokens[-gram.size:]:
                    return Match(source, end, gram.size)
        return None
