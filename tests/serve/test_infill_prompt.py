"""Prompts of infills stay within their room, and keep their beginning while a cursor moves."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from outrider.io.infill_tokens import InfillTokens
from outrider.serve.infill_prompt import Around, File, Room, gap, infill_prompt

PRE, SUF, MID, REPO, FILE = 900, 901, 902, 903, 904
MARKS = InfillTokens(PRE, SUF, MID, REPO, FILE)
IDS = st.lists(st.integers(0, 30), max_size=60).map(tuple)
FILES = st.lists(st.builds(File, st.lists(st.integers(40, 50), min_size=1, max_size=3).map(tuple), IDS), max_size=5)
ROOMS = st.builds(Room, *[st.integers(0, 80)] * 3)


def ends_line(token: int) -> bool:
    return token % 7 == 0


@given(st.builds(Around, IDS, IDS, FILES.map(tuple), st.booleans(), st.just((REPO, 5)), st.just((FILE, 6))), ROOMS)
def test_every_part_keeps_to_its_room(around: Around, room: Room) -> None:
    found = infill_prompt(around, MARKS, room, ends_line)
    token_n = found.token_n
    start, end = token_n.index(PRE), token_n.index(SUF)
    before, behind = token_n[start + 1: end], token_n[end + 1: -1]
    assert token_n[-1] == MID and token_n.count(PRE) == token_n.count(SUF) == 1
    assert len(before) <= room.before and around.before_n[len(around.before_n) - len(before):] == before
    assert behind == around.behind_n[: room.behind]
    opening = token_n[:start]
    assert opening[:2] == around.start_n and len(opening) <= 2 + room.files + len(around.head_n)
    assert bool(found.num_files) == (opening != around.start_n)
    taken = around.files[len(around.files) - found.num_files:] if found.num_files else ()
    whole = (*around.start_n, *(token for file in taken for token in (*file.head_n, *file.text_n)), *around.head_n)
    if found.num_files > 1 or (found.num_files and len(taken[0]) <= room.files):
        assert opening == whole
    kept = set(around.before_n) | set(around.behind_n) | {token for file in around.files for token in file.text_n}
    assert set(found.unseen_n) <= kept
    assert len(found.unseen_n) >= len(around.before_n) + len(around.behind_n) - len(before) - len(behind)


@given(IDS, IDS)
def test_nothing_is_cut_where_there_is_room(before: tuple[int, ...], behind: tuple[int, ...]) -> None:
    files = (File((FILE, 41), (1, 2)), File((FILE, 42), (3,)))
    found = infill_prompt(Around(before, behind, files, start_n=(REPO,), head_n=(FILE, 43)), MARKS, Room(60, 60, 7),
                          ends_line)
    assert found.token_n == (REPO, FILE, 41, 1, 2, FILE, 42, 3, FILE, 43, PRE, *before, SUF, *behind, MID)
    assert found.unseen_n == () and found.num_files == 2


def test_what_no_file_shares_goes_without_names() -> None:
    found = infill_prompt(Around((1,), (2,), start_n=(7,), head_n=(FILE, 43)), MARKS, Room(9, 9, 9), ends_line)
    assert found.token_n == (7, PRE, 1, SUF, 2, MID)


def test_oldest_files_go_first_and_the_newest_may_be_cut() -> None:
    files = tuple(File((FILE,), (number,) * 4) for number in (1, 2, 3))
    for room, wanted in ((11, (FILE, 2, 2, 2, 2, FILE, 3, 3, 3, 3)), (3, (FILE, 3, 3)), (1, ())):
        found = infill_prompt(Around((), (), files), MARKS, Room(9, 9, room), ends_line)
        assert found.token_n == (*wanted, PRE, SUF, MID)


def test_without_a_mark_for_the_gap_the_suffix_goes_first() -> None:
    assert gap((1, 2), (3,), InfillTokens(PRE, SUF)) == (SUF, 3, PRE, 1, 2)


def test_a_long_text_keeps_its_beginning_for_many_lines() -> None:
    lines = [(*((line * 31 + column * 17) % 97 + 100 for column in range(6)), 0) for line in range(400)]
    starts = []
    for cursor in range(200, 300):
        text = tuple(token for line in lines[:cursor] for token in line)
        found = infill_prompt(Around(text, ()), MARKS, Room(700, 0, 0), ends_line).token_n
        assert 700 * 3 // 4 - 7 <= len(found) - 3 <= 700
        starts.append(found[1:9])
    changes = sum(first != second for first, second in pairwise(starts))
    assert changes <= 20  # 99 lines were passed; cut at a token, every one would have changed it


def test_a_window_that_the_editor_moves_is_cut_at_a_lasting_line_too() -> None:
    lines = [(*((line * 31 + column * 17) % 97 + 100 for column in range(6)), 0) for line in range(400)]
    starts = set()
    for cursor in range(200, 230):
        text = tuple(token for line in lines[cursor - 64: cursor] for token in line)
        starts.add(infill_prompt(Around(text, (), is_window=True), MARKS, Room(9999, 0, 0), ends_line).token_n[1:9])
    assert len(starts) <= 8


@given(st.integers(1, 10_000))
def test_room_is_shared_out_whole(size: int) -> None:
    room = Room.of(size)
    assert room.before + room.behind + room.files == size and min(room.before, room.behind, room.files) >= 0
    assert room.before >= room.behind
