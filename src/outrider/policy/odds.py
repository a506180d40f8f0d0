"""Odds: what chance a drafted node has, given that its parent is accepted, learnt from what was verified.

A drafter's own word for a node, the share of its parent's survival that it leaves to it, falls into a cell together
with who proposed it, how deep it lies and how the sequence's last drafts fared. For drafters that look things up their
word stands for the length of the match; for those with a distribution, for how clear the choice was.

    cell      hits and trials of nodes whose fate is known, halved now and then so that it follows the times
    curve     a logistic curve for each combination of sources, fitted online: what a cell says before it was tried
    chance    (hits + K * curve) / (trials + K)

A node's fate is known where its parent was accepted. Nodes that were not verified say nothing, so a policy verifies
more than it believes in from time to time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from outrider.core.tree import ANCHOR, DraftTree

# Upper ends of the classes of a drafter's word, and of depths.
WORDS = (0.05, 0.1, 0.16, 0.24, 0.34, 0.45, 0.56, 0.67, 0.77, 0.86, 0.92, 0.96, 0.985)
DEPTHS = (1, 2, 3, 5, 8, 12, 20)
MOODS = (0.0, 0.25, 0.5, 0.75)  # lower ends, of which the first stands for a sequence that nothing is known of
UNTRIED = -1.0

_NUM_WORDS, _NUM_DEPTHS, _NUM_MOODS = len(WORDS) + 1, len(DEPTHS) + 1, len(MOODS) + 1
_BELIEF = 6.0  # trials that the curve is worth
_WINDOW = 400.0  # trials after which those of old count half
_MOST, _LEAST = 0.99, 0.005
_REFIT = 64  # trials between two evaluations of the curve
_DEPTH_CLASS = tuple(bisect_right(DEPTHS, depth - 1) for depth in range(DEPTHS[-1] + 2))


class Mood:
    """How a sequence's drafts fare, by source bit: the running share of drafts whose first node was accepted."""

    __slots__ = ("share_by_bit",)

    def __init__(self) -> None:
        self.share_by_bit: dict[int, float] = {}

    def of(self, sources: int) -> int:
        """The class of mood in which these sources are; that of the first of them."""
        share = self.share_by_bit.get(sources & -sources, UNTRIED)
        return 0 if share < 0.0 else bisect_right(MOODS, share)

    def settle(self, sources: int, hit: bool) -> None:
        for bit in _bits(sources):
            known = self.share_by_bit.get(bit, UNTRIED)
            self.share_by_bit[bit] = float(hit) if known < 0.0 else known + 0.35 * (hit - known)


class Odds:
    """Chances of drafted nodes; one for all sequences, with a `Mood` for each."""

    def __init__(self) -> None:
        self._tables: dict[int, _Table] = {}

    def survivals(self, tree: DraftTree, mood: Mood, least: float = 0.0) -> list[float]:
        """Of each node, its path included; strictly less than its parent's.

        Nothing is worked out below a node that survives with less than `least`: 0 stands there.
        """
        found: list[float] = []
        score_N, depth_N, bases = tree.score_N, tree.depths(), {0: 0}
        sources, chance, base = -1, [0.0], 0
        for node, parent in enumerate(tree.parent_N):
            above, said = (1.0, 1.0) if parent == ANCHOR else (found[parent], score_N[parent] if score_N else 1.0)
            if above < least:
                found.append(0.0)
                continue
            if (source := tree.source(node)) != sources:
                sources, chance, base = source, self._table(source).chance, self._base(source, mood, bases)
            word = (score_N[node] / said if said > 0.0 else 0.0) if score_N else 1.0  # as `_word`, without a call
            found.append(above * chance[base + _cell(depth_N[node], word)])
        return found

    def chances(self, tree: DraftTree, mood: Mood) -> list[float]:
        """Of each node, given that its parent is accepted."""
        found = self.survivals(tree, mood)
        return [value if parent == ANCHOR else value / found[parent]
                for value, parent in zip(found, tree.parent_N, strict=True)]

    def settle(self, tree: DraftTree, path: Sequence[int], mood: Mood) -> None:
        """Learn from what was verified: `path` are the accepted nodes, root to leaf."""
        if not len(tree):
            return
        reached, hits = {ANCHOR, *path}, set(path)
        depth_N, bases = tree.depths(), {0: 0}
        firsts = 0
        for node, parent in enumerate(tree.parent_N):
            if parent in reached:
                source, hit = tree.source(node), node in hits
                place = self._base(source, mood, bases) + _cell(depth_N[node], _word(tree, node, parent))
                self._table(source).count(place, hit)
                firsts |= source if parent == ANCHOR else 0
        first_hit = tree.source(path[0]) if path else 0
        for bit in _bits(firsts):
            mood.settle(bit, bool(first_hit & bit))

    def _table(self, sources: int) -> _Table:
        if sources not in self._tables:
            self._tables[sources] = _Table()
        return self._tables[sources]

    def _base(self, sources: int, mood: Mood, known: dict[int, int]) -> int:
        """Where a mood's cells begin; `known` remembers it for the length of a tree."""
        if sources not in known:
            known[sources] = mood.of(sources) * _NUM_DEPTHS * _NUM_WORDS
        return known[sources]


class _Table:
    """The cells of one combination of sources, and their curve: a chance's log-odds by word, depth and mood."""

    def __init__(self) -> None:
        size = _NUM_MOODS * _NUM_DEPTHS * _NUM_WORDS
        self.hits, self.trials = [0.0] * size, [0.0] * size
        self._slope, self._by_depth = 0.9, [0.0] * _NUM_DEPTHS
        self._by_mood = [0.0] * _NUM_MOODS
        self._num_trials = 0
        self._refit()

    def count(self, place: int, hit: bool) -> None:
        """One trial."""
        self._fit(place, hit)
        self.hits[place] += hit
        self.trials[place] += 1.0
        if self.trials[place] >= _WINDOW:
            self.hits[place] *= 0.5
            self.trials[place] *= 0.5
        self._num_trials += 1
        if self._num_trials % _REFIT == 0:
            self._refit()
        else:
            self.chance[place] = self._chance(place)

    def _chance(self, place: int) -> float:
        found = (self.hits[place] + _BELIEF * self._expected[place]) / (self.trials[place] + _BELIEF)
        return min(_MOST, max(_LEAST, found))

    def _refit(self) -> None:
        """What the curve says now, and with it the chance of every cell."""
        logit = self._slope * _LOGIT + np.array(self._by_depth)[:, None] + np.array(self._by_mood)[:, None, None]
        expected = 1.0 / (1.0 + np.exp(-logit.ravel()))
        found = (np.array(self.hits) + _BELIEF * expected) / (np.array(self.trials) + _BELIEF)
        self._expected: list[float] = expected.tolist()
        self.chance: list[float] = np.clip(found, _LEAST, _MOST).tolist()

    def _fit(self, place: int, hit: bool) -> None:
        """A step down the slope of the log loss, smaller with every trial."""
        rest, word = divmod(place, _NUM_WORDS)
        mood, depth = divmod(rest, _NUM_DEPTHS)
        miss = hit - self._expected[place]
        step = 0.15 / (1.0 + 0.01 * self._num_trials) + 0.005
        self._slope = min(3.0, max(0.1, self._slope + 0.1 * step * miss * _LOGITS[word]))
        self._by_depth[depth] += step * miss
        self._by_mood[mood] += step * miss


def _word(tree: DraftTree, node: int, parent: int) -> float:
    """What the drafter says of a node, given its parent."""
    above = 1.0 if parent == ANCHOR else tree.score(parent)
    return tree.score(node) / above if above > 0.0 else 0.0


def _cell(depth: int, word: float) -> int:
    depth_class = _DEPTH_CLASS[depth] if depth < len(_DEPTH_CLASS) else _NUM_DEPTHS - 1
    return depth_class * _NUM_WORDS + bisect_right(WORDS, word)


def _bits(sources: int) -> list[int]:
    return [1 << bit for bit in range(sources.bit_length()) if sources >> bit & 1]


_MIDDLES = tuple((low + high) / 2 for low, high in pairwise((0.0, *WORDS, 1.0)))
_LOGIT = np.log(np.array(_MIDDLES) / (1.0 - np.array(_MIDDLES)))
_LOGITS: list[float] = _LOGIT.tolist()
