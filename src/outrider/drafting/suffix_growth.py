"""Growing a draft tree out of contexts, best first.

A context is a place in some text that the sequence's last tokens agree with; it tells what came next there and how far
it should be believed. Three kinds:

    SuffixContext   all places where the last `length` tokens occur, by a state of a suffix automaton
    CopyContext     one place, where the sequence is copying: on as it stands, or changed as it was before
    EditContext     what a change puts there, and then the copy behind it

A context leaves what it does not claim, its escape, to the next one in the list. Only the root blends contexts; below
it a branch follows the context in which it was found, whose match grows by one a token.

Source: Oliaro et al., "SuffixDecoding" (arXiv 2411.04975), §4, for growth by path probability; Cleary, Witten, "Data
compression using adaptive coding and partial string matching" (1984), for the escape.

The small classes here are not frozen, though nothing changes them: a draft makes three a node, and frozen ones take
twice as long to make.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Protocol

from outrider.core.tree import ANCHOR, Budget, DraftTree
from outrider.drafting.edits import Edit, Edits
from outrider.drafting.suffix_automaton import SuffixAutomaton
from outrider.drafting.thrift import Thrift

# By match length. ESCAPE: pseudo-counts of "something else comes", 1 / p - 1, where p is how often the one known
# successor of a context that long was right; COPY_TRUST: how often a copy went on that agreed for so long (0: with one
# token changed); EDIT_TRUST: how often a change went on that came again.
# Measured on edited code, fresh code, chat and mathematics together.
ESCAPE = (20.0, 4.2, 2.2, 1.56, 1.0, 0.52, 0.30, 0.22, 0.16, 0.13, 0.11, 0.09, 0.075, 0.07, 0.06, 0.055, 0.05,
           0.045, 0.04, 0.035, 0.03, 0.03, 0.025, 0.025, 0.02)
COPY_TRUST = (0.2, 0.5, 0.72, 0.83, 0.9, 0.92, 0.935, 0.945, 0.95, 0.952, 0.954, 0.956, 0.957, 0.958, 0.958, 0.959,
              0.965, 0.966, 0.968, 0.969, 0.97, 0.972, 0.973, 0.975, 0.976, 0.978, 0.979, 0.98, 0.982, 0.984, 0.986,
              0.987, 0.988)
EDIT_TRUST = 0.9
_AFTER_EDIT = 4  # tokens of agreement that a copy is worth right behind a change that came again
_NOTHING = -1


@dataclass(slots=True)
class Guess:
    """A possible next token, its chance, and the context behind it."""

    token: int
    chance: float
    below: Context


class Context(Protocol):
    """Where continuations come from."""

    def guesses(self, least: float) -> list[Guess]:
        """The next tokens with at least that chance."""


@dataclass(slots=True)
class SuffixContext:
    """A successor seen c of the n times that the context went on gets c / n * 1 / (1 + escape / sqrt(n))."""

    automaton: SuffixAutomaton
    state: int
    length: int

    def guesses(self, least: float) -> list[Guess]:
        automaton, count = self.automaton, self.automaton.count
        successors = automaton.successors(self.state)
        if len(successors) == 1:
            return self._only(*successors[0], least)
        total = sum(count[state] for _, state in successors)
        if not total:
            return []
        escape = ESCAPE[min(self.length, len(ESCAPE) - 1)]
        each = 1.0 / (1.0 + escape / sqrt(total)) / total
        # Newest first, so that it goes first among equals.
        return [Guess(token, count[state] * each, SuffixContext(automaton, state, self.length + 1))
                for token, state in reversed(successors) if count[state] * each >= least]

    def _only(self, token: int, state: int, least: float) -> list[Guess]:
        """The same for a single successor, which is the rule inside a copy."""
        length, seen = self.length, self.automaton.count[state]
        if not seen:
            return []
        chance = 1.0 / (1.0 + ESCAPE[min(length, len(ESCAPE) - 1)] / sqrt(seen))
        return [Guess(token, chance, SuffixContext(self.automaton, state, length + 1))] if chance >= least else []


@dataclass(slots=True)
class CopyContext:
    """One place in the sequence's own text; separators end a copy. Right behind a change it `is_plain`: unchanged."""

    tokens: Sequence[int]
    position: int
    length: int
    edits: Edits | None = None
    is_plain: bool = False

    def guesses(self, least: float) -> list[Guess]:
        token, below = self.step()
        if token < 0:
            return []
        left = COPY_TRUST[min(self.length, len(COPY_TRUST) - 1)]
        found: list[Guess] = []
        if self.edits is not None and not self.is_plain:
            left = self._changed(self.edits, left, found)
        found.append(Guess(token, left, below))
        return [guess for guess in found if guess.chance >= least]

    def step(self) -> tuple[int, Context]:
        """The token here, and what is behind it."""
        if self.position >= len(self.tokens):
            return _NOTHING, self
        return self.tokens[self.position], CopyContext(self.tokens, self.position + 1, self.length + 1, self.edits)

    def _changed(self, edits: Edits, left: float, found: list[Guess]) -> float:
        """What known edits put here, the newest first; gives what they leave of the chance to go on."""
        tokens, position = self.tokens, self.position
        for edit in edits.fitting(tokens, position):
            token, below = change(tokens, edit, position, edits).step()
            if token >= 0 and token != tokens[position] and all(token != guess.token for guess in found):
                chance = edits.chance(edit)
                found.append(Guess(token, left * chance, below))
                left *= 1.0 - chance
        return left


@dataclass(slots=True)
class EditContext:
    """What an edit puts there, from its token `put` on, and then the copy from `position` on."""

    tokens: Sequence[int]
    new_n: Sequence[int]
    put: int
    position: int
    edits: Edits

    def guesses(self, least: float) -> list[Guess]:
        token, below = self.step()
        return [Guess(token, EDIT_TRUST, below)] if token >= 0 and least <= EDIT_TRUST else []

    def step(self) -> tuple[int, Context]:
        """The token here, and what is behind it."""
        token, put = self.new_n[self.put], self.put + 1
        if put < len(self.new_n):
            return token, EditContext(self.tokens, self.new_n, put, self.position, self.edits)
        return token, CopyContext(self.tokens, self.position, _AFTER_EDIT, self.edits, True)


def change(tokens: Sequence[int], edit: Edit, position: int, edits: Edits, done: int = 0) -> CopyContext | EditContext:
    """A known edit at a position of the source, of which `done` tokens are put out already."""
    if done < len(edit.new_n):
        return EditContext(tokens, edit.new_n, done, position + edit.size, edits)
    return CopyContext(tokens, position + edit.size, _AFTER_EDIT, edits, True)


@dataclass(slots=True)
class Branch:
    """A node that may be drafted next."""

    guess: Guess
    survival: float
    parent: int = ANCHOR
    depth: int = 1


def grow(contexts: Sequence[Context], limit: Budget, thrift: Thrift) -> DraftTree:
    """The likeliest nodes within `limit` that `thrift` allows, parents before children."""
    tokens: list[int] = []
    parents: list[int] = []
    scores: list[float] = []
    order = 0
    heap: list[tuple[float, int, Branch]] = []
    for branch in _blend(contexts, thrift.first):
        heap.append((-branch.survival, order := order + 1, branch))
    heapq.heapify(heap)
    while heap and len(tokens) < limit.nodes:
        branch = heapq.heappop(heap)[2]
        if not thrift.allows(branch.survival, len(tokens)):
            break
        tokens.append(branch.guess.token)
        parents.append(branch.parent)
        scores.append(branch.survival)
        if branch.depth == limit.depth:
            continue
        for guess in branch.guess.below.guesses(thrift.first / branch.survival):
            child = Branch(guess, branch.survival * guess.chance, len(tokens) - 1, branch.depth + 1)
            heapq.heappush(heap, (-child.survival, order := order + 1, child))
    return DraftTree(tokens, parents, (), scores)


def _blend(contexts: Sequence[Context], least: float) -> list[Branch]:
    """Successors of the anchor: every context's shares of what the ones before it left."""
    found: dict[int, Branch] = {}
    left = 1.0
    for context in contexts:
        if left <= least:
            break
        new = [guess for guess in context.guesses(least / left) if guess.token not in found]
        for guess in new:
            found[guess.token] = Branch(guess, left * guess.chance)
        left *= 1.0 - _total(new)
    return list(found.values())


def _total(guesses: Sequence[Guess]) -> float:
    """Their chances added one by one: `sum` would round otherwise from Python 3.12 on, and unlike the native index."""
    total = 0.0
    for guess in guesses:
        total += guess.chance
    return total
