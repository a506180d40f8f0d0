"""A suffix automaton with counts: every substring of a growing text is a path from the root.

    state     all substrings that end at the same places; the longest has `length` tokens
    edge      a state by one more token
    link      the state of the longest suffix that also ends elsewhere: walking links shortens the context
    count     at how many places the state's substrings end, and
    newest    the last of these places (both for the `COUNT_DEPTH` longest contexts of a token)

Nearly all states have one edge: it is kept as one packed integer, and a dict is made only where the text branches.

Source: Blumer et al., "The smallest automaton recognizing the subwords of a text" (1985), online construction; used
for drafting by Hu et al., "SAM Decoding" (arXiv 2411.10666), §3.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

ROOT = 0
NONE = -1
COUNT_DEPTH = 32
_STATE_BITS = 32
_STATE_MASK = (1 << _STATE_BITS) - 1

Edges = int | dict[int, int]


class SuffixAutomaton:
    """Grows by one token in amortised constant time. Tokens below zero are separators that occur once each."""

    __slots__ = ("_edges", "_last", "_num_separators", "count", "length", "link", "match_end", "newest",
                 "num_tokens")

    def __init__(self) -> None:
        self._edges: list[Edges] = [NONE]
        self._last = ROOT
        self._num_separators = 0
        self.link = array("i", [NONE])
        self.length = array("i", [0])
        self.count = array("i", [0])
        self.newest = array("i", [NONE])
        self.num_tokens = 0
        self.match_end = NONE  # where the longest suffix that occurs earlier ended there, most recently

    def copy(self) -> SuffixAutomaton:
        """An independent automaton of the same text."""
        other = SuffixAutomaton()
        other._edges = [edge if isinstance(edge, int) else edge.copy() for edge in self._edges]
        other._last, other._num_separators, other.num_tokens = self._last, self._num_separators, self.num_tokens
        other.link, other.length = self.link[:], self.length[:]
        other.count, other.newest, other.match_end = self.count[:], self.newest[:], self.match_end
        return other

    def extend(self, token_n: Iterable[int]) -> None:
        for token in token_n:
            self.append(token)

    def append(self, token: int) -> None:
        self._append(token)
        self.match_end = self.newest[self.longest_seen_suffix()]
        self._count(self._last)

    def separate(self) -> None:
        """Ends a text: no substring reaches from before into what comes next."""
        self._num_separators += 1
        self._append(-self._num_separators)
        self.match_end = NONE

    def follow(self, state: int, token: int) -> int:
        """The state by one more token, or NONE."""
        edge = self._edges[state]
        if isinstance(edge, dict):
            return edge.get(token, NONE)
        return edge & _STATE_MASK if edge != NONE and edge >> _STATE_BITS == token else NONE

    def successors(self, state: int) -> list[tuple[int, int]]:
        """(token, state) of every edge but separators, oldest first."""
        edge = self._edges[state]
        if isinstance(edge, dict):
            return [(token, target) for token, target in edge.items() if token >= 0]
        return [(edge >> _STATE_BITS, edge & _STATE_MASK)] if edge >= 0 else []

    def longest_seen_suffix(self) -> int:
        """The state of the longest suffix of the text that also occurs earlier; its `length` is the match length."""
        return max(self.link[self._last], ROOT)

    def settle(self, state: int, length: int) -> int:
        """The state that now holds a match of `length` tokens found in `state` before the text grew."""
        while state != ROOT and self.length[self.link[state]] >= length:
            state = self.link[state]
        return state

    def advance(self, state: int, length: int, token: int) -> tuple[int, int]:
        """The longest suffix of (match + token) that occurs in the text, as (state, match length)."""
        while (target := self.follow(state, token)) == NONE:
            if state == ROOT:
                return ROOT, 0
            state = self.link[state]
            length = self.length[state]
        return target, length + 1

    def _append(self, token: int) -> None:
        edges, link = self._edges, self.link
        packed = token << _STATE_BITS
        state = self._last
        current = self._last = self._new_state(self.length[state] + 1, NONE, ROOT)
        self.num_tokens += 1
        while state != NONE:
            edge = edges[state]
            if isinstance(edge, dict):
                if token in edge:
                    break
                edge[token] = current
            elif edge == NONE:
                edges[state] = packed | current
            elif edge >> _STATE_BITS == token:
                break
            else:
                edges[state] = {edge >> _STATE_BITS: edge & _STATE_MASK, token: current}
            state = link[state]
        else:
            return
        target = self.follow(state, token)
        if self.length[target] != self.length[state] + 1:
            target = self._split(state, token, target)
        link[current] = target

    def _split(self, state: int, token: int, target: int) -> int:
        """Gives the shorter substrings of `target`, which from now on end at one place more, a state of their own."""
        edge = self._edges[target]
        clone = self._new_state(self.length[state] + 1, edge if isinstance(edge, int) else edge.copy(),
                                self.link[target])
        self.count[clone], self.newest[clone] = self.count[target], self.newest[target]
        self.link[target] = clone
        while state != NONE and self.follow(state, token) == target:
            edge = self._edges[state]
            if isinstance(edge, dict):
                edge[token] = clone
            else:
                self._edges[state] = token << _STATE_BITS | clone
            state = self.link[state]
        return clone

    def _new_state(self, length: int, edges: Edges, link: int) -> int:
        self._edges.append(edges)
        self.link.append(link)
        self.length.append(length)
        self.count.append(0)
        self.newest.append(NONE)
        return len(self._edges) - 1

    def _count(self, state: int) -> None:
        link, count, newest, here = self.link, self.count, self.newest, self.num_tokens - 1
        for _ in range(COUNT_DEPTH):
            if state <= ROOT:
                return
            count[state] += 1
            newest[state] = here
            state = link[state]
