"""Sequences that draft from a pool of n-grams, and the walk through it.

Drafting asks the pool for the successor of the longest gram it knows, then of the shorter ones, and goes on from the
token it found. A gram is believed as far as its length and its confidence have earned; the draft ends where the
product of these falls under the floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from outrider.core.commit import Commit
from outrider.core.tree import EMPTY_TREE, Budget, DraftTree
from outrider.drafting.ngram_pool import NgramPool
from outrider.drafting.retrieval import IndexTwin, RetrievalIndex, native_library
from outrider.drafting.rolling import BASE, MASK, MIX, MIX_SHIFT, Gram, Trail, grams
from outrider.drafting.thrift import Thrift
from outrider.ops.native.retrieval import NativeNgrams

# How often a gram's successor was the token that came, by confidence 1 to 7: measured on edited files, a row a size.
_BELIEF = {1: (0.19, 0.32, 0.40, 0.40, 0.42, 0.42, 0.45), 2: (0.32, 0.42, 0.54, 0.55, 0.58, 0.58, 0.62),
           3: (0.39, 0.45, 0.60, 0.60, 0.70, 0.70, 0.78), 4: (0.55, 0.63, 0.75, 0.75, 0.80, 0.80, 0.85),
           6: (0.77, 0.80, 0.88, 0.90, 0.92, 0.92, 0.95), 8: (0.87, 0.88, 0.93, 0.93, 0.94, 0.95, 0.96),
           12: (0.93, 0.94, 0.96, 0.97, 0.97, 0.97, 0.97), 16: (0.96, 0.96, 0.97, 0.98, 0.98, 0.98, 0.98)}
_OWN_CONFIDENCE = 2


@dataclass(frozen=True, slots=True)
class NgramRules:
    """max, min: longest and shortest draft. floor: least survival drafted, a quarter of it for `cheap` tokens."""

    max: int
    min: int
    floor: float
    cheap: int


@dataclass(slots=True)
class NgramState:
    """Where a sequence stands. `own` holds what must not, or may not, go into the pool: key to successor."""

    trail: Trail
    levels: tuple[Gram, ...]
    own: dict[int, int] = field(default_factory=dict)


def ngram_index(pool: NgramPool, rules: NgramRules, native: bool) -> RetrievalIndex[Any]:
    """The native index of sequences, where there is one and it is wanted, or else its twin."""
    found = native_library(native)
    if found is None:
        return NgramTwin(pool, rules)
    beliefs = [belief for size in pool.sizes for belief in _beliefs(size)]
    return NativeNgrams(found, pool, beliefs, longest=rules.max, shortest=rules.min, floor=rules.floor,
                        cheap=rules.cheap)


class NgramTwin(IndexTwin[NgramState]):
    """The readable index."""

    def __init__(self, pool: NgramPool, rules: NgramRules) -> None:
        self.pool, self.rules = pool, rules
        self._belief = {size: _beliefs(size) for size in pool.sizes}

    def start(self, token: int, prediction: Sequence[int], scope: str, num_prompt: int) -> NgramState:
        sizes = self.pool.sizes
        state = NgramState(Trail(sizes[0]), grams(sizes, scope))
        if prediction:
            _remember(state, Trail(sizes[0]), prediction)
        state.trail.extend((token,))
        return state

    def observe(self, state: NgramState, commit: Commit, frozen: bool) -> None:
        if frozen:
            _remember(state, state.trail, commit.token_n)
        else:
            self.pool.follow(state.trail, state.levels, commit.token_n)
        state.trail.trim()

    def fork(self, state: NgramState) -> NgramState:
        return NgramState(state.trail.copy(), state.levels, state.own.copy())

    def draft(self, state: NgramState, budget: Budget) -> DraftTree:
        limit = min(self.rules.max, budget.nodes, budget.depth)
        tokens, scores = self._walk(state, limit, Thrift.within(budget, self.rules.floor, self.rules.cheap))
        return DraftTree.chain(tokens, scores) if len(tokens) >= max(1, self.rules.min) else EMPTY_TREE

    def _walk(self, state: NgramState, limit: int, thrift: Thrift) -> tuple[list[int], list[float]]:
        """The chain that the pool tells; written for speed, the keys are those of `Gram.key`."""
        pool, own = self.pool, state.own
        words, index_shift, tag_mask = pool.words, pool.index_shift, pool.tag_mask
        token_shift, confidence_mask = pool.token_shift, pool.confidence_mask
        hash_n = state.trail.hash_n[-(pool.sizes[0] + 1):]
        newest, known = hash_n[-1], len(hash_n)
        levels = [(gram.size, gram.power, gram.salt, self._belief[gram.size]) for gram in state.levels]
        tokens: list[int] = []
        scores: list[float] = []
        survival, allows = 1.0, thrift.allows
        while len(tokens) < limit:
            for size, power, salt, belief in levels:
                if size >= known:
                    continue
                gram = ((newest - hash_n[-1 - size] * power) & MASK) ^ salt
                key = ((gram ^ (gram >> MIX_SHIFT)) * MIX) & MASK
                if own and key in own:
                    token, trust = own[key], belief[_OWN_CONFIDENCE]
                    break
                word = words[key >> index_shift]
                if not (word ^ key) & tag_mask and word & confidence_mask:
                    token, trust = word >> token_shift, belief[word & confidence_mask]
                    break
            else:
                break
            survival *= trust
            if not allows(survival, len(tokens)):
                break
            tokens.append(token)
            scores.append(survival)
            newest = (newest * BASE + token + 1) & MASK
            hash_n.append(newest)
            known += 1
        return tokens, scores


def _remember(state: NgramState, trail: Trail, token_n: Sequence[int]) -> None:
    """Learns for this sequence alone, the newest successor of a gram winning."""
    for token in token_n:
        hash_n = trail.hash_n
        for gram in state.levels:
            if gram.size < len(hash_n):
                state.own[gram.key(hash_n[-1], hash_n[-1 - gram.size])] = token
        trail.extend((token,))


def _beliefs(size: int) -> tuple[float, ...]:
    """By confidence 0 to 7: the measured row of the nearest size that is not longer."""
    return 0.0, *_BELIEF[max((known for known in _BELIEF if known <= size), default=1)]
