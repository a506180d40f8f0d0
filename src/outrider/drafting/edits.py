"""What a sequence changed on its way through a text that it copies: renames and additions come again.

    source   … ( code , name ) …  self . code = code …          learnt:  code -> sku      where `code` stands
    output   … ( sku  , name ) …  self . sku  = …                        "" -> : float    behind a token, before another

An edit is a span of the source and what stands for it in the output, both as positions in the sequence's own tokens. A
span that was replaced is known again by its tokens, an insertion by the token before it or by the one behind it; as
renames bind to the former, annotations to the latter, there are two edits of each insertion, and the better one lasts.

How sure it is that an edit comes again depends on how often it did, and for one that was seen once on how often others
of the same copy did: refactorings repeat themselves, repairs do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

_MOST, _LONGEST, _LARGEST_TABLE = 32, 16, 1024
_USUAL, _BELIEF = 0.35, 2.0  # of edits that were seen once so many come again, and how many trials that is worth
_OWN_BELIEF = 1.5  # trials that this is worth for an edit


class Mark(Enum):
    """What an edit is known by: the tokens that it replaces, or the token beside an insertion."""

    SPAN = 0
    BEFORE = 1  # the token in front of it
    BEHIND = 2


@dataclass(slots=True)
class Edit:
    """Tokens `start` to `stop` became tokens `put` to `end`; how often it came again, and how often not since."""

    mark: Mark
    start: int
    stop: int
    put: int
    end: int
    hits: int = 0
    misses: int = 0

    @property
    def size(self) -> int:
        """Tokens that it replaces."""
        return self.stop - self.start

    def fits(self, token_n: Sequence[int], at: int) -> bool:
        """Whether it may come again at this position of the source."""
        if self.mark is Mark.SPAN:
            return token_n[at : at + self.size] == token_n[self.start : self.stop]
        if self.mark is Mark.BEFORE:
            return at > 0 and token_n[at - 1] == token_n[self.start - 1]
        return token_n[at] == token_n[self.start]


@dataclass(slots=True)
class Edits:
    """The last edits of a sequence, the newest first; `tried` of those seen once had a chance to come again."""

    known: list[Edit] = field(default_factory=list)
    tried: int = 0
    held: int = 0

    def fitting(self, token_n: Sequence[int], at: int) -> Iterator[Edit]:
        return (edit for edit in self.known if edit.fits(token_n, at))

    def chance(self, edit: Edit) -> float:
        """That it comes again where it fits."""
        usual = (_USUAL * _BELIEF + self.held) / (_BELIEF + self.tried)
        return (edit.hits + _OWN_BELIEF * usual) / (edit.hits + edit.misses + _OWN_BELIEF)

    def passed(self, token_n: Sequence[int], at: int) -> None:
        """The token at this place was copied as it stands."""
        for edit in self.fitting(token_n, at):
            self._count(edit, False)

    def learn(self, token_n: Sequence[int], start: int, stop: int, put: int, end: int) -> None:
        """A span of the source, perhaps empty, became a span of the output; told apart into its smallest parts."""
        for hunk in hunks(token_n, start, stop, put, end):
            if hunk.size > _LONGEST or hunk.end - hunk.put > _LONGEST:
                continue
            if hunk.size:
                self._learn(token_n, hunk)
                continue
            if hunk.start > 0:
                self._learn(token_n, replace(hunk, mark=Mark.BEFORE))
            self._learn(token_n, replace(hunk, mark=Mark.BEHIND))

    def move_on(self) -> None:
        """Another text is copied: what came only once is forgotten, and how often edits come again is learnt anew."""
        self.known = [edit for edit in self.known if edit.hits]
        self.tried = self.held = 0

    def copy(self) -> Edits:
        return Edits([replace(edit) for edit in self.known], self.tried, self.held)

    def _learn(self, token_n: Sequence[int], hunk: Edit) -> None:
        """What fits here and says the same is right, what says something else is wrong."""
        again = None
        for edit in self.fitting(token_n, hunk.start):
            if edit.mark is not hunk.mark:
                continue
            is_same = edit.size == hunk.size and token_n[edit.put : edit.end] == token_n[hunk.put : hunk.end]
            self._count(edit, is_same)
            again = edit if is_same else again
        if again is None:
            again = hunk
            del self.known[_MOST - 1 :]
        else:
            self.known = [edit for edit in self.known if edit is not again]
        self.known.insert(0, again)

    def _count(self, edit: Edit, came_again: bool) -> None:
        if not edit.hits and not edit.misses:
            self.tried += 1
            self.held += came_again
        if came_again:
            edit.hits, edit.misses = edit.hits + 1, 0
        else:
            edit.misses += 1


def hunks(token_n: Sequence[int], start: int, stop: int, put: int, end: int) -> list[Edit]:
    """The parts of a change between which tokens stay, by a longest common subsequence, in order."""
    rows, columns = stop - start, end - put
    if not rows or not columns or rows * columns > _LARGEST_TABLE:
        return [Edit(Mark.SPAN, start, stop, put, end)]
    common = _common(token_n[start:stop], token_n[put:end])
    found: list[Edit] = []
    row = column = top = left = 0
    while row < rows and column < columns:
        if token_n[start + row] == token_n[put + column]:
            if row > top or column > left:
                found.append(Edit(Mark.SPAN, start + top, start + row, put + left, put + column))
            row, column = row + 1, column + 1
            top, left = row, column
        elif common[row + 1][column] >= common[row][column + 1]:
            row += 1
        else:
            column += 1
    if top < rows or left < columns:
        found.append(Edit(Mark.SPAN, start + top, stop, put + left, end))
    return found


def _common(old_n: Sequence[int], new_n: Sequence[int]) -> list[list[int]]:
    """The length of the longest common subsequence of what is left of both, by how much of them is gone."""
    common = [[0] * (len(new_n) + 1) for _ in range(len(old_n) + 1)]
    for row in range(len(old_n) - 1, -1, -1):
        for column in range(len(new_n) - 1, -1, -1):
            common[row][column] = (common[row + 1][column + 1] + 1 if old_n[row] == new_n[column]
                                   else max(common[row + 1][column], common[row][column + 1]))
    return common
