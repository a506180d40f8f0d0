"""Edits known by their text: a name that becomes another does so in capitals, behind a dot and as a part of names, too.

    Task -> Job       in the source:  " Task" "List"    ".tasks"    "(task"    "TASK" "_ID"
                      so also taught: " Task" -> " Job" ".tasks" -> ".jobs" …   each as the vocabulary spells it

What stands in the source is looked for, and only that is spelt: the tokens around a name, with the other name in their
text, are encoded again. It takes place where a sequence learns an edit and where its prompt ends; drafting sees tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from outrider.core.hunk import Hunk
from outrider.drafting.interface import Vocabulary
from outrider.drafting.renames import Rename, rename, told
from outrider.drafting.source_text import SourceText, Span

READ_TOKENS = 4096  # of a prompt, the last ones
_BEFORE, _BEHIND = 64, 1024  # tokens around a change in which other spellings are looked for
_MOST_SPELLINGS = 12
_MOST_KEPT = 16384


@dataclass(frozen=True, slots=True)
class Respelling:
    """Tokens of the source, and what a rename makes of them."""

    old_n: list[int]
    new_n: list[int]


def window(hunk: Hunk) -> Span:
    """The positions that `Respeller.learnt` wants to see."""
    return Span(max(hunk.start - _BEFORE, 0), hunk.stop + _BEHIND)


class _Spellings(dict[int, bytes]):
    """The bytes of tokens; those of separators, which are below zero, are none that a text has."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self._vocabulary = vocabulary

    def __missing__(self, token: int) -> bytes:
        if len(self) >= _MOST_KEPT:
            self.clear()
        spelt = self[token] = self._vocabulary.token_bytes(token) if token >= 0 else b"\0"
        return spelt


class Respeller:
    """Remembers what tokens and words are in the other form: sequences ask for the same again and again."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._spelt = _Spellings(vocabulary)
        self._encoded: dict[bytes, list[int]] = {}

    def told(self, token_n: Sequence[int]) -> list[Respelling]:
        """By what a prompt asks for."""
        source = self._text(token_n)
        return [one for name in told(source) for one in self._respelt(source, name)]

    def learnt(self, token_n: Sequence[int], begin: int, hunk: Hunk, new_n: Sequence[int]) -> list[Respelling]:
        """By a change that was made; `token_n` are those from position `begin` on."""
        source = self._text(token_n)
        first, last = source.begin_n[hunk.start - begin], source.begin_n[hunk.stop - begin]
        word = source.whole(Span(first, last))
        head, tail = source.text[word.begin : first], source.text[last : word.end]
        new = b"".join([self._spelt[token] for token in new_n])
        found = rename(source.text[word.begin : word.end], head + new + tail)
        return [] if found is None else list(self._respelt(source, found))

    def _respelt(self, source: SourceText, name: Rename) -> Iterator[Respelling]:
        seen: set[tuple[int, ...]] = set()
        for span in source.find(name.old):
            put = name.of(source.text[span.begin : span.end])
            covered = source.tokens(span)
            old_n = source.token_n[covered.begin : covered.end]
            if put is None or tuple(old_n) in seen:
                continue
            seen.add(tuple(old_n))
            if len(seen) > _MOST_SPELLINGS:
                return
            begin, end = source.begin_n[covered.begin], source.begin_n[covered.end]
            spelt = source.text[begin : span.begin] + put + source.text[span.end : end]
            if self._encode(source.text[begin:end]) == list(old_n) and (new_n := self._encode(spelt)):
                yield from _trimmed(old_n, new_n)

    def _text(self, token_n: Sequence[int]) -> SourceText:
        spelt = self._spelt
        return SourceText(token_n, [spelt[token] for token in token_n])

    def _encode(self, text: bytes) -> list[int]:
        """The tokens of a text within another; none where it cannot be told."""
        if text not in self._encoded:
            if len(self._encoded) >= _MOST_KEPT:
                self._encoded.clear()
            self._encoded[text] = self._encoded_anew(text)
        return self._encoded[text]

    def _encoded_anew(self, text: bytes) -> list[int]:
        if self._vocabulary.space_prefix:
            text = text.removeprefix(b" ")  # the vocabulary puts one there
        try:
            return self._vocabulary.encode(text.decode(), special=False)
        except UnicodeDecodeError:
            return []


def _trimmed(old_n: Sequence[int], new_n: Sequence[int]) -> Iterator[Respelling]:
    """Without the tokens that stay, at both ends; nothing where what is left begins alike or is nothing."""
    end = 0
    while end < min(len(old_n), len(new_n)) - 1 and old_n[-1 - end] == new_n[-1 - end]:
        end += 1
    old, new = list(old_n[: len(old_n) - end]), list(new_n[: len(new_n) - end])
    while min(len(old), len(new)) > 1 and old[0] == new[0]:
        del old[0], new[0]
    if old[0] != new[0]:
        yield Respelling(old, new)
