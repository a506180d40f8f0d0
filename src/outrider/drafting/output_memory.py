"""Past outputs, searchable, in bounded memory: what the drafter `suffix` remembers across sequences.

Outputs enter whole when their sequence ends. A shelf holds two automata: the young one grows until it has half of what
the shelf may hold, then takes the old one's place, and the oldest outputs go with that one: first in, first out, by
sequences. Every scope has a shelf of its own; beyond `MAX_SCOPES` the one unused for longest is cleared away.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from outrider.drafting import memory_file
from outrider.drafting.memory_file import MemoryFile
from outrider.drafting.suffix_automaton import SuffixAutomaton

MAX_SCOPES = 8
_KIND, _VERSION = "suffix", 1


@dataclass(slots=True)
class Generation:
    """Some outputs and their automaton."""

    automaton: SuffixAutomaton = field(default_factory=SuffixAutomaton)
    outputs: list[array[int]] = field(default_factory=list)

    def add(self, token_n: Sequence[int]) -> None:
        self.outputs.append(array("i", token_n))
        self.automaton.extend(token_n)
        self.automaton.separate()


@dataclass(slots=True)
class Shelf:
    """The outputs of one scope, the youngest generation first."""

    max_tokens: int
    generations: list[Generation] = field(default_factory=lambda: [Generation()])

    @property
    def num_tokens(self) -> int:
        return sum(generation.automaton.num_tokens for generation in self.generations)

    def add(self, token_n: Sequence[int]) -> None:
        half = self.max_tokens // 2
        kept = token_n[-(half - 1):] if half > 1 else ()
        if not kept:
            return
        if self.generations[0].automaton.num_tokens + len(kept) + 1 > half:
            self.generations = [Generation(), self.generations[0]]
        self.generations[0].add(kept)

    def outputs(self) -> list[array[int]]:
        """Oldest first."""
        return [output for generation in reversed(self.generations) for output in generation.outputs]


class OutputMemory:
    """The shelves of all scopes. Files keep the shelf of the empty scope alone: the others belong to somebody."""

    def __init__(self, max_tokens: int, fingerprint: str = "") -> None:
        self.frozen = False
        self.max_tokens, self.fingerprint = max_tokens, fingerprint
        self._shelves: dict[str, Shelf] = {}

    @property
    def num_tokens(self) -> int:
        return sum(shelf.num_tokens for shelf in self._shelves.values())

    def automata(self, scope: str = "") -> list[SuffixAutomaton]:
        shelf = self._shelves.get(scope)
        return [generation.automaton for generation in shelf.generations] if shelf else []

    def learn(self, token_n: Sequence[int], scope: str = "") -> None:
        """Adds one output, unless frozen."""
        if self.frozen or not token_n:
            return
        shelf = self._shelves.pop(scope, None) or Shelf(self.max_tokens)
        shelf.add(token_n)
        self._shelves[scope] = shelf  # now the newest of the dict
        if len(self._shelves) > MAX_SCOPES:
            del self._shelves[next(iter(self._shelves))]

    def save(self, path: Path) -> None:
        shelf = self._shelves.get("")
        outputs = shelf.outputs() if shelf else []
        tokens = np.concatenate([np.frombuffer(output, np.int32) for output in outputs] or [np.zeros(0, np.int32)])
        sizes = np.array([len(output) for output in outputs], np.int64)
        arrays = {"sizes": sizes, "tokens": tokens}
        memory_file.write(path, MemoryFile(_KIND, _VERSION, self.fingerprint, {}, arrays))

    def load(self, path: Path) -> None:
        """Raises: CheckpointError or VocabularyError for a file that is damaged, another's, or of other tokens."""
        content = memory_file.read(path, _KIND, _VERSION, self.fingerprint)
        shelf, start = Shelf(self.max_tokens), 0
        tokens = content.arrays["tokens"].tolist()
        for size in content.arrays["sizes"].tolist():
            shelf.add(tokens[start : start + size])
            start += size
        self._shelves[""] = shelf
