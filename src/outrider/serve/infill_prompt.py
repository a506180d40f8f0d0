"""The prompt of an infill, as token ids: other files, what stands before the gap, what stands behind it.

    repo myproject / file a.py / …text… / file b.py / …text… / file filename / PRE before SUF behind MID
    └───────────────── stays the same ──────────────────────┘   └─ grows ─┘ └─ read anew each time ─┘

Other files go first, so that what an editor sends while its cursor moves keeps a warm prefix. What does not fit is cut:

    other files   whole ones, the oldest (first) ones go; of the newest, if it alone is too long, its end
    before        its beginning, at a line that stays the same for a while as the cursor moves
    behind        its end

The last is read anew at every keystroke, which is why so little of it is taken. `Room` has the numbers. llama.cpp has
the same order and takes as many tokens before the gap; it cuts at tokens, not at lines, takes up to 512 tokens behind
the gap, puts the beginning-of-text token behind the other files, and names a repository where there are no others too.

Source: Hui et al., "Qwen2.5-Coder" (arXiv 2409.12186), §3.2, for the form; Schleimer et al., "Winnowing" (SIGMOD 2003),
§3, for a choice of lines that stays as a window moves.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

from outrider.io.infill_tokens import InfillTokens

MOST_BEFORE, MOST_BEHIND = 1536, 256
_SHARE = 4  # one in so many of the tokens before the gap may go, so that a lasting line is found
_LINE = 8  # tokens of a line that it is known by
Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """How many tokens there may be of each part."""

    before: int
    behind: int
    files: int

    @classmethod
    def of(cls, num_tokens: int) -> Room:
        """A prompt of at most so many tokens: three in four of them before the gap, one in four behind it, each up to
        its limit; other files get what is left."""
        before = min(MOST_BEFORE, num_tokens - num_tokens // 4)
        behind = min(MOST_BEHIND, num_tokens // 4)
        return cls(before, behind, num_tokens - before - behind)


@dataclass(frozen=True, slots=True)
class File:
    """Another file: what announces it and what is in it."""

    head_n: Ids
    text_n: Ids

    def __len__(self) -> int:
        return len(self.head_n) + len(self.text_n)


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of a gap. `is_window`: the editor shows only the end of what stands before it, so that its
    beginning moves with the cursor. `start_n` opens the prompt, `head_n` announces the file with the gap, where there
    are others."""

    before_n: Ids
    behind_n: Ids
    files: tuple[File, ...] = ()
    is_window: bool = False
    start_n: Ids = ()
    head_n: Ids = ()


@dataclass(frozen=True, slots=True)
class InfillPrompt:
    """`unseen_n` is what had to be left out, newest last: drafters may copy from it. `num_files` were taken."""

    token_n: Ids
    unseen_n: Ids
    num_files: int


def infill_prompt(around: Around, marks: InfillTokens, room: Room, ends_line: Callable[[int], bool]) -> InfillPrompt:
    """Never longer than the room, with the marks, `start_n` and `head_n` beside it. `ends_line` knows such tokens."""
    files = _newest(around.files, room.files)
    start = _first_kept(around, room.before, ends_line)
    before, behind = around.before_n[start:], around.behind_n[: room.behind]
    opening = _joined(around.start_n, *(part for file in files for part in (file.head_n, file.text_n)))
    if files:
        opening += around.head_n
    dropped = around.files[: len(around.files) - len(files)]
    unseen = _joined(*(file.text_n for file in dropped), around.before_n[:start], around.behind_n[room.behind:])
    return InfillPrompt(opening + gap(before, behind, marks), unseen, len(files))


def gap(before_n: Ids, behind_n: Ids, marks: InfillTokens) -> Ids:
    """The marks around the two parts, in the order that the model was taught."""
    before, behind = (marks.prefix, *before_n), (marks.suffix, *behind_n)
    return behind + before if marks.middle is None else (*before, *behind, marks.middle)


def _newest(files: Sequence[File], room: int) -> tuple[File, ...]:
    taken: list[File] = []
    for file in reversed(files):
        if len(file) > room:
            if not taken and len(file.head_n) < room:
                taken.append(File(file.head_n, file.text_n[: room - len(file.head_n)]))
            break
        taken.append(file)
        room -= len(file)
    return tuple(reversed(taken))


def _first_kept(around: Around, room: int, ends_line: Callable[[int], bool]) -> int:
    """Where to begin: of the lines that begin early enough, the one whose tokens have the least checksum.

    The window moves by a line, the line with the least checksum is mostly the same; so the prompt begins with the same
    tokens until it has left the window.
    """
    token_n = around.before_n
    first = max(0, len(token_n) - room)
    if not first and not around.is_window:
        return 0
    last = first + min(room, len(token_n)) // _SHARE
    lines = [at for at in range(max(first, 1), last + 1) if at < len(token_n) and ends_line(token_n[at - 1])]
    return min(lines, key=lambda at: (crc32(array("i", token_n[at: at + _LINE])), at), default=first)


def _joined(*parts: Ids) -> Ids:
    return tuple(token for part in parts for token in part)
