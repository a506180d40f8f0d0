from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.drafting.edits import Edit, Edits, Mark, Trials, hunks

SPAN = st.lists(st.integers(0, 3), max_size=12)


def learnt(*changes: tuple[list[int], list[int]]) -> tuple[Edits, list[int]]:
    """Of a text `9 old 8` that became `9 new 8`, change by change."""
    edits, text = Edits(), [0]
    for old, new in changes:
        start = len(text) + 1
        put = start + len(old) + 2
        text += [9, *old, 8, 9, *new, 8]
        edits.learn(text, start, start + len(old), put, put + len(new))
    return edits, text


@given(SPAN, SPAN)
def test_hunks_turn_the_old_span_into_the_new_one(old: list[int], new: list[int]) -> None:
    text = [*old, *new]
    made, at, put = [], 0, len(old)
    for hunk in hunks(text, 0, len(old), len(old), len(text)):
        assert text[at : hunk.start] == text[put : hunk.put], "between hunks nothing changed"
        made += [*text[at : hunk.start], *text[hunk.put : hunk.end]]
        assert hunk.stop > hunk.start or hunk.end > hunk.put or not text
        at, put = hunk.stop, hunk.end
    assert [*made, *text[at : len(old)]] == new


def test_a_change_is_told_apart_into_its_parts() -> None:
    text = [1, 2, 3, 7, 5, 1, 6, 2, 3, 4, 4, 5]
    found = [(text[one.start : one.stop], text[one.put : one.end]) for one in hunks(text, 0, 5, 5, 12)]
    assert found == [([], [6]), ([7], [4, 4])]


def test_what_was_replaced_is_known_again_by_its_tokens() -> None:
    edits, text = learnt(([1, 2], [3]))
    text += [1, 2, 1, 5]
    assert [edit.mark for edit in edits.fitting(text, len(text) - 4)] == [Mark.SPAN]
    assert not list(edits.fitting(text, len(text) - 2))


def test_an_insertion_is_known_again_by_the_token_before_or_behind_it() -> None:
    edits, text = learnt(([], [3]))
    text += [9, 5, 8]
    assert [edit.mark for edit in edits.fitting(text, len(text) - 2)] == [Mark.BEFORE]
    assert [edit.mark for edit in edits.fitting(text, len(text) - 1)] == [Mark.BEHIND]


def test_an_edit_is_believed_by_how_often_it_came_again() -> None:
    chances = []
    for count in range(1, 5):
        edits, text = learnt(*[([1], [2])] * count)
        edit, = edits.known
        assert (edit.hits, edit.misses) == (count - 1, 0)
        chances.append(edits.chance(edit))
    assert chances == sorted(chances) and chances[0] < 0.5 < chances[1]
    edits.passed([3, 1], 0)  # not there
    edits.passed(text, 2)
    assert edit.misses == 1 and edits.chance(edit) < chances[-1]


def test_a_first_time_is_believed_by_how_other_edits_fared() -> None:
    repeating, _ = learnt(([1], [2]), ([1], [2]), ([3], [4]), ([3], [4]), ([5], [6]))
    single, text = learnt(([1], [2]), ([3], [4]), ([5], [6]))
    single.passed(text, 2)
    single.passed(text, 8)
    assert repeating.chance(repeating.known[0]) > Edits().chance(repeating.known[0]) > single.chance(single.known[0])


def test_another_replacement_of_the_same_tokens_speaks_against_the_first() -> None:
    edits, _ = learnt(([1], [2]), ([1], [3]))
    assert [(edit.hits, edit.misses) for edit in edits.known] == [(0, 0), (0, 1)]


def test_in_another_text_only_what_came_again_is_known() -> None:
    edits, _ = learnt(([1], [2]), ([3], [4]), ([1], [2]))
    edits.teach([5], [6], told=True)
    edits.teach([7], [8], told=False)
    edits.move_on()
    assert [edit.old_n for edit in edits.known] == [[1], [5]], "nor is forgotten what the request asks for"
    assert edits.seen == Trials()


def test_old_edits_make_room() -> None:
    edits, text = learnt(*[([number], [100]) for number in range(10, 100)])
    assert [edit.old_n for edit in edits.known] == [[number] for number in range(99, 35, -1)]
    edits.learn(text, 2, 2 + 1, 5, 6)
    edits.teach([7], [8], told=False)
    assert len(edits.known) == 64 and edits.known[0].old_n == [10] and edits.known[-1].old_n == [7]


@pytest.mark.parametrize("old, new", [([1] * 17, [2]), ([1], [2] * 17)])
def test_what_is_long_does_not_come_again(old: list[int], new: list[int]) -> None:
    assert not learnt((old, new))[0].known


def test_a_copy_is_independent() -> None:
    edits, text = learnt(([1], [2]))
    other = edits.copy()
    other.passed(text, 2)
    assert edits.known == [Edit(Mark.SPAN, [1], [2])] != other.known
    assert (edits.seen, other.seen) == (Trials(), Trials(tried=1))


def test_what_is_taught_is_believed_as_what_it_is_and_counts_from_there_on() -> None:
    edits = Edits()
    edits.teach([1, 2], [3], told=True)
    edits.teach([4], [5], told=False)
    edits.teach([4], [5], told=False)
    told, derived = edits.known
    assert edits.chance(told) > 0.5 > edits.chance(derived)
    text = [9, 1, 2, 9, 3, 9]
    edits.learn(text, 1, 3, 4, 5)
    assert edits.known == [told, derived] and told.hits == 1 and not edits.news, "it is not learnt again"
    edits.passed([4], 0)
    assert (edits.told, edits.seen) == (Trials(1, 1), Trials(1, 0))


def test_told_edits_that_fail_are_believed_less_and_so_are_the_others() -> None:
    edits = Edits()
    for token in (1, 2, 3):
        edits.teach([token], [9], told=True)
    before = edits.chance(edits.known[2])
    edits.passed([1, 2], 0)
    edits.passed([1, 2], 1)
    assert edits.chance(edits.known[0]) < edits.chance(edits.known[2]) < before


def test_news_are_the_spans_that_were_not_known() -> None:
    edits, text = learnt(([1], [2]), ([], [3]), ([4], []), ([1], [2]))
    assert [text[hunk.start] for hunk in edits.news] == [1]
