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
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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


class OutputStore(Protocol):
    """Where outputs are kept and searched: `OutputShelves`, or those of the native index."""

    @property
    def num_tokens(self) -> int: ...
    def learn(self, token_n: Sequence[int], scope: str) -> None: ...
    def outputs(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The sizes and the tokens of the empty scope's outputs, oldest first."""

    def restore(self, size_n: NDArray[np.int64], token_n: NDArray[np.int32]) -> None:
        """Replaces the empty scope's outputs."""


class OutputShelves:
    """The shelves of all scopes."""

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self._shelves: dict[str, Shelf] = {}

    @property
    def num_tokens(self) -> int:
        return sum(shelf.num_tokens for shelf in self._shelves.values())

    def automata(self, scope: str = "") -> list[SuffixAutomaton]:
        shelf = self._shelves.get(scope)
        return [generation.automaton for generation in shelf.generations] if shelf else []

    def learn(self, token_n: Sequence[int], scope: str) -> None:
        if not token_n:
            return
        shelf = self._shelves.pop(scope, None) or Shelf(self.max_tokens)
        shelf.add(token_n)
        self._shelves[scope] = shelf  # now the newest of the dict
        if len(self._shelves) > MAX_SCOPES:
            del self._shelves[next(iter(self._shelves))]

    def outputs(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        shelf = self._shelves.get("")
        outputs = shelf.outputs() if shelf else []
        token_n = np.concatenate([np.frombuffer(output, np.int32) for output in outputs] or [np.zeros(0, np.int32)])
        return np.array([len(output) for output in outputs], np.int64), token_n

    def restore(self, size_n: NDArray[np.int64], token_n: NDArray[np.int32]) -> None:
        shelf, start = Shelf(self.max_tokens), 0
        tokens = token_n.tolist()
        for size in size_n.tolist():
            shelf.add(tokens[start : start + size])
            start += size
        self._shelves[""] = shelf


class OutputMemory:
    """The memory of the drafter `suffix`. Files keep the outputs of the empty scope alone: the others belong to
    somebody.
    """

    def __init__(self, store: OutputStore, fingerprint: str = "") -> None:
        self.frozen = False
        self.store, self.fingerprint = store, fingerprint

    @property
    def num_tokens(self) -> int:
        return self.store.num_tokens

    def learn(self, token_n: Sequence[int], scope: str = "") -> None:
        """Adds one output, unless frozen."""
        if not self.frozen:
            self.store.learn(token_n, scope)

    def save(self, path: Path) -> None:
        size_n, token_n = self.store.outputs()
        arrays: dict[str, NDArray[np.generic]] = {"sizes": size_n, "tokens": token_n}
        memory_file.write(path, MemoryFile(_KIND, _VERSION, self.fingerprint, {}, arrays))

    def load(self, path: Path) -> None:
        """Raises: CheckpointError or VocabularyError for a file that is damaged, another's, or of other tokens."""
        content = memory_file.read(path, _KIND, _VERSION, self.fingerprint)
        self.store.restore(content.arrays["sizes"].astype(np.int64), content.arrays["tokens"].astype(np.int32))
