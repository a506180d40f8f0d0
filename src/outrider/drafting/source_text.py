"""A stretch of a sequence's tokens as text, and where words stand in it.

Texts are bytes, as tokens may end within a character; whatever is not ASCII counts as a small letter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

_MOST_PLACES, _MOST_AROUND = 1024, 8  # a prompt may be any text: places of a word, tokens on either side


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a text."""

    begin: int
    end: int

    def covers(self, place: int) -> bool:
        return self.begin <= place < self.end


class SourceText:
    """Tokens, where each of them begins, and their text."""

    def __init__(self, token_n: Sequence[int], spelt_n: Sequence[bytes]) -> None:
        self.token_n = token_n
        self.begin_n = list(accumulate(map(len, spelt_n), initial=0))
        self.text = b"".join(spelt_n)
        self._small = self.text.lower()

    def find(self, word: bytes) -> Iterator[Span]:
        """Where a word stands, small or in capitals, by itself or as a part of a name, in the plural or not.

        Of places that have its letters the first thousand are looked at.
        """
        wanted, end = word.lower(), 0
        for _ in range(_MOST_PLACES):
            begin = self._small.find(wanted, end)
            if begin < 0:
                return
            end = begin + len(wanted)
            if self.parts(begin) and (self.parts(end) or (self._small[end] == ord("s") and self.parts(end + 1))):
                yield Span(begin, end)

    def parts(self, place: int) -> bool:
        """Whether a word ends before this place: no letters meet there, or a capital comes behind a small one."""
        if not 0 < place < len(self.text):
            return True
        before, behind = self.text[place - 1], self.text[place]
        return not _is_letter(before) or not _is_letter(behind) or (_is_small(before) and not _is_small(behind))

    def whole(self, span: Span) -> Span:
        """With what is left of the words that it begins and ends in."""
        begin, end = span.begin, span.end
        while not self.parts(begin):
            begin -= 1
        while not self.parts(end):
            end += 1
        return Span(begin, end)

    def tokens(self, span: Span) -> Span:
        """Positions of the tokens that cover it and the letters next to it, as tokens are made of whole words.

        Words of very many tokens are covered in part.
        """
        text, begin_n = self.text, self.begin_n
        first, last = bisect_right(begin_n, span.begin) - 1, bisect_right(begin_n, span.end - 1) - 1
        least, most = first - _MOST_AROUND, last + _MOST_AROUND
        while first > max(least, 0) and _is_letter(text[begin_n[first]]) and _is_letter(text[begin_n[first] - 1]):
            first -= 1
        while last < most and begin_n[last + 1] < len(text) and _is_letter(text[begin_n[last + 1] - 1]) \
                and _is_letter(text[begin_n[last + 1]]):
            last += 1
        return Span(first, last + 1)


def _is_letter(byte: int) -> bool:
    return ord("A") <= byte <= ord("Z") or _is_small(byte)


def _is_small(byte: int) -> bool:
    return ord("a") <= byte <= ord("z") or byte > 127
