"""Text from tokens as they come: never half a character, never the beginning of a stop string."""

from __future__ import annotations

import codecs
import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from outrider.errors import ConfigError
from outrider.io.tokenizer import Tokenizer


class IncrementalDetokenizer:
    """Joined, the results of `push` and `finish` equal `Tokenizer.decode` of all ids. Constant work a token.

    `continues` says that other text precedes (a prompt), so that a leading space is real and not SentencePiece's own.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special: bool = True, continues: bool = False) -> None:
        self._tokenizer = tokenizer
        self._skipped = tokenizer.special_ids if skip_special else frozenset()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._drop_space = tokenizer.space_prefix and not continues

    def push(self, ids: Iterable[int]) -> str:
        """The text that these ids complete; bytes of an unfinished character wait for the next ones."""
        pieces = [self._tokenizer.token_bytes(token) for token in ids if token not in self._skipped]
        return self._emit(self._decoder.decode(b"".join(pieces)))

    def finish(self) -> str:
        """U+FFFD if an unfinished character is left, else nothing; the next push begins a new text."""
        text = self._emit(self._decoder.decode(b"", final=True))
        self._decoder.reset()
        return text

    def fork(self) -> IncrementalDetokenizer:
        """One in the same state that goes its own way, to look ahead or to branch."""
        twin = IncrementalDetokenizer(self._tokenizer)
        twin._skipped, twin._drop_space = self._skipped, self._drop_space
        twin._decoder.setstate(self._decoder.getstate())
        return twin

    def _emit(self, text: str) -> str:
        if self._drop_space and text:
            self._drop_space = False
            return text.removeprefix(" ")
        return text


@dataclass(frozen=True, slots=True)
class StopStep:
    """Text that may be shown now, and the stop string that was met, if any."""

    text: str
    stopped: str | None


class StopMatcher:
    """Finds the first stop string in a text that comes in pieces; how it is cut into pieces makes no difference.

        text      … the answer is 42.\\nUs│er
        shown     … the answer is 42.    │
        held back                    \\nUs│      may yet become the stop string "\\nUser:"

    "First" is the one that ends first, and of two that end together the longer. Nothing of it is ever shown.

    Source: Knuth, Morris, Pratt 1977, "Fast pattern matching in strings", §2.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if not all(stops):
            raise ConfigError("a stop string is empty; give at least one character or leave it out")
        # Longest first, so that the first one found complete is the longest of those that end here.
        self._stops = sorted(set(stops), key=lambda stop: (-len(stop), stop))
        self._borders = [_borders(stop) for stop in self._stops]
        self._matched = [0] * len(self._stops)
        self._held = ""
        self._stopped: str | None = None

    def push(self, piece: str) -> StopStep:
        """Raises: ValueError after a stop, when there is no more text to come."""
        if self._stopped is not None:
            raise ValueError(f"text after the stop string {self._stopped!r}")
        text = self._held + piece
        for at, char in enumerate(piece, start=len(self._held) + 1):
            found = self._step(char)
            if found is not None:
                self._held, self._stopped = "", found
                return StopStep(text[: at - len(found)], found)
        shown = len(text) - max(self._matched, default=0)
        self._held = text[shown:]
        return StopStep(text[:shown], None)

    def flush(self) -> str:
        """The text still held back, once it is known that no more comes."""
        text, self._held = self._held, ""
        self._matched = [0] * len(self._stops)
        return text

    def fork(self) -> StopMatcher:
        """One in the same state that goes its own way, to look ahead or to branch."""
        twin = copy.copy(self)
        twin._matched = list(self._matched)
        return twin

    def _step(self, char: str) -> str | None:
        """Read one character; the stop string that it completes."""
        found = None
        for index, stop in enumerate(self._stops):
            size = _advance(stop, self._borders[index], self._matched[index], char)
            self._matched[index] = size
            if found is None and size == len(stop):
                found = stop
        return found


def _borders(stop: str) -> list[int]:
    """For each length, the longest proper prefix of that many characters that also ends them."""
    borders = [0, 0]
    for size in range(1, len(stop)):
        borders.append(_advance(stop, borders, borders[size], stop[size]))
    return borders


def _advance(stop: str, borders: list[int], size: int, char: str) -> int:
    """How much of `stop` is matched after `char` when `size` (less than all) of it was before."""
    while size and stop[size] != char:
        size = borders[size]
    return size + (stop[size] == char)
