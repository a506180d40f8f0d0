"""What a sequence changed on its way through a text that it copies: renames and additions come again.

    source   … ( code , name ) …  self . code = code …          learnt:  code -> sku      where `code` stands
    output   … ( sku  , name ) …  self . sku  = …                        "" -> : float    behind a token, before another

A span that was replaced is known again by its tokens, an insertion by the token before it or by the one behind it; as
renames bind to the former, annotations to the latter, there are two edits of each insertion, and the better one lasts.

How sure it is that an edit comes again depends on how often it did, and for one that was seen once on how often others
of the same copy did: refactorings repeat themselves, repairs do not. An edit may also be taught, by who knows how else
the tokens can be spelt (`drafting.respelling`); those that requests asked for were right 29 of the first 36 times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from outrider.core.hunk import Hunk

_MOST, _LONGEST, _LARGEST_TABLE = 64, 16, 1024
_MOST_NEWS = 8
_USUAL, _TOLD, _BELIEF = 0.35, 0.8, 2.0  # of edits seen once, or told, so many come (again); trials that this is worth
_OWN_BELIEF = 1.5  # trials that this is worth for an edit


class Mark(Enum):
    """What an edit is known by: the tokens that it replaces, or the token beside an insertion."""

    SPAN = 0
    BEFORE = 1  # the token in front of it
    BEHIND = 2


@dataclass(slots=True)
class Edit:
    """The tokens `old_n`, or none beside the one token `old_n`, become `new_n`; how often that came again, and how
    often not since. The request `told` of it, or else it was seen.
    """

    mark: Mark
    old_n: list[int]
    new_n: list[int]
    told: bool = False
    hits: int = 0
    misses: int = 0

    @property
    def size(self) -> int:
        """Tokens that it replaces."""
        return len(self.old_n) if self.mark is Mark.SPAN else 0

    def fits(self, token_n: Sequence[int], at: int) -> bool:
        """Whether it may come again at this position of the source."""
        at -= self.mark is Mark.BEFORE
        return at >= 0 and token_n[at : at + len(self.old_n)] == self.old_n

    def is_same(self, other: Edit) -> bool:
        return self.mark is other.mark and self.old_n == other.old_n and self.new_n == other.new_n


@dataclass(slots=True)
class Trials:
    """How many edits had a chance to come (again), and how many of them did."""

    tried: int = 0
    held: int = 0


@dataclass(slots=True)
class Edits:
    """The last edits of a sequence, the newest first. `news` are those learnt of late."""

    known: list[Edit] = field(default_factory=list)
    seen: Trials = field(default_factory=Trials)
    told: Trials = field(default_factory=Trials)
    news: list[Hunk] = field(default_factory=list)

    def fitting(self, token_n: Sequence[int], at: int) -> Iterator[Edit]:
        return (edit for edit in self.known if edit.fits(token_n, at))

    def chance(self, edit: Edit) -> float:
        """That it comes (again) where it fits."""
        trials, usual = (self.told, _TOLD) if edit.told else (self.seen, _USUAL)
        usual = (usual * _BELIEF + trials.held) / (_BELIEF + trials.tried)
        return (edit.hits + _OWN_BELIEF * usual) / (edit.hits + edit.misses + _OWN_BELIEF)

    def passed(self, token_n: Sequence[int], at: int) -> None:
        """The token at this place was copied as it stands."""
        for edit in self.fitting(token_n, at):
            self._count(edit, False)

    def learn(self, token_n: Sequence[int], start: int, stop: int, put: int, end: int) -> None:
        """A span of the source, perhaps empty, became a span of the output; told apart into its smallest parts."""
        for hunk in hunks(token_n, start, stop, put, end):
            size, new_n = hunk.stop - hunk.start, list(token_n[hunk.put : hunk.end])
            if size > _LONGEST or len(new_n) > _LONGEST:
                continue
            if size:
                replaced = Edit(Mark.SPAN, list(token_n[hunk.start : hunk.stop]), new_n)
                if self._learn(token_n, hunk.start, replaced) and new_n and len(self.news) < _MOST_NEWS:
                    self.news.append(hunk)
                continue
            if hunk.start > 0:
                self._learn(token_n, hunk.start, Edit(Mark.BEFORE, [token_n[hunk.start - 1]], new_n))
            self._learn(token_n, hunk.start, Edit(Mark.BEHIND, [token_n[hunk.start]], new_n))

    def teach(self, old_n: Sequence[int], new_n: Sequence[int], told: bool) -> None:
        """Another span that may be replaced, behind all that is known."""
        taught = Edit(Mark.SPAN, list(old_n), list(new_n), told)
        if not any(edit.is_same(taught) for edit in self.known):
            del self.known[_MOST - 1 :]
            self.known.append(taught)

    def move_on(self) -> None:
        """Another text is copied: what came only once is forgotten, and how often edits come again is learnt anew."""
        self.known = [edit for edit in self.known if edit.hits or edit.told]
        self.seen = Trials()

    def copy(self) -> Edits:
        return Edits([replace(edit) for edit in self.known], replace(self.seen), replace(self.told), self.news.copy())

    def _learn(self, token_n: Sequence[int], start: int, learnt: Edit) -> bool:
        """What fits here and says the same is right, what says something else is wrong; whether it is new."""
        again = None
        for edit in self.fitting(token_n, start):
            if edit.mark is not learnt.mark:
                continue
            is_same = edit.is_same(learnt)
            self._count(edit, is_same)
            again = edit if is_same else again
        if again is None:
            del self.known[_MOST - 1 :]
        else:
            self.known = [edit for edit in self.known if edit is not again]
        self.known.insert(0, again or learnt)
        return again is None

    def _count(self, edit: Edit, came_again: bool) -> None:
        if not edit.hits and not edit.misses:
            trials = self.told if edit.told else self.seen
            trials.tried += 1
            trials.held += came_again
        if came_again:
            edit.hits, edit.misses = edit.hits + 1, 0
        else:
            edit.misses += 1


def hunks(token_n: Sequence[int], start: int, stop: int, put: int, end: int) -> list[Hunk]:
    """The parts of a change between which tokens stay, by a longest common subsequence, in order."""
    rows, columns = stop - start, end - put
    if not rows or not columns or rows * columns > _LARGEST_TABLE:
        return [Hunk(start, stop, put, end)]
    common = _common(token_n[start:stop], token_n[put:end])
    found: list[Hunk] = []
    row = column = top = left = 0
    while row < rows and column < columns:
        if token_n[start + row] == token_n[put + column]:
            if row > top or column > left:
                found.append(Hunk(start + top, start + row, put + left, put + column))
            row, column = row + 1, column + 1
            top, left = row, column
        elif common[row + 1][column] >= common[row][column + 1]:
            row += 1
        else:
            column += 1
    if top < rows or left < columns:
        found.append(Hunk(start + top, stop, put + left, end))
    return found


def _common(old_n: Sequence[int], new_n: Sequence[int]) -> list[list[int]]:
    """The length of the longest common subsequence of what is left of both, by how much of them is gone."""
    common = [[0] * (len(new_n) + 1) for _ in range(len(old_n) + 1)]
    for row in range(len(old_n) - 1, -1, -1):
        for column in range(len(new_n) - 1, -1, -1):
            common[row][column] = (common[row + 1][column + 1] + 1 if old_n[row] == new_n[column]
                                   else max(common[row + 1][column], common[row][column + 1]))
    return common
