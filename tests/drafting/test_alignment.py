from __future__ import annotations

from outrider.drafting.alignment import FIRM_MATCH, NOWHERE, Alignment, Source
from outrider.drafting.suffix_state import SuffixState

SOURCE = list(range(100, 140))


def aligned(text: list[int]) -> tuple[Alignment, list[int]]:
    """After all tokens of a text."""
    state = SuffixState("")
    state.extend(text)
    return state.alignment, text


def test_a_copy_begins_with_a_firm_match() -> None:
    assert not aligned([*SOURCE, *SOURCE[: FIRM_MATCH - 1]])[0].is_copying
    alignment, _ = aligned([*SOURCE, *SOURCE[:FIRM_MATCH]])
    assert alignment.is_copying and (alignment.at, alignment.run) == (FIRM_MATCH, FIRM_MATCH)


def test_a_change_ends_where_two_tokens_agree_and_is_learnt() -> None:
    text = [*SOURCE, *SOURCE[:10], 900]
    alignment, _ = aligned(text)
    assert alignment.is_changing and (alignment.at, alignment.begun) == (10, 50)
    assert aligned([*text, 111])[0].is_changing
    alignment, text = aligned([*text, 111, 112])
    assert alignment.is_copying and (alignment.at, alignment.run) == (13, 2)
    edit, = alignment.edits.known
    assert (text[edit.start : edit.stop], text[edit.put : edit.end]) == ([110], [900])


def test_what_is_left_out_and_what_is_put_in_is_learnt_too() -> None:
    edit, = aligned([*SOURCE, *SOURCE[:10], *SOURCE[12:14]])[0].edits.known
    assert (edit.start, edit.stop, edit.end - edit.put) == (10, 12, 0)
    inserted = aligned([*SOURCE, *SOURCE[:10], 900, 901, *SOURCE[10:12]])[0].edits.known
    assert [(edit.start, edit.stop, edit.put, edit.end) for edit in inserted] == [(10, 10, 50, 52)] * 2


def test_a_copy_resumes_behind_its_last_place() -> None:
    """The source has the token 120 twice; the one close to where the copy stopped counts, newer or not."""
    alignment, text = aligned([*SOURCE, 120, 999, *SOURCE[:15], 777, 120])
    assert alignment.resume(text) == Source(21, 1)


def test_the_longest_match_near_the_place_wins() -> None:
    source = [*range(100, 110), 5, 102, 103, 6, 5, 104]
    alignment, text = aligned([*source, 900, *source[:10], 7, 6, 5])
    assert alignment.is_copying and (alignment.at, alignment.run) == (15, 2)
    alignment, text = aligned([*source, 900, *source[:10], 7, 5])
    assert alignment.resume(text) == Source(11, 1)


def test_after_too_many_tokens_the_place_is_forgotten() -> None:
    text = [*SOURCE, *SOURCE[:10], *range(500, 560)]
    assert aligned(text[:73])[0].is_changing
    assert aligned(text[:80])[0].at == NOWHERE


def test_a_copy_stays_where_it_is_until_another_place_agrees_for_much_longer() -> None:
    other = [1, 2, 3, *SOURCE[10:30], 4]
    copied, _ = aligned([*SOURCE, *other, *SOURCE[:25]])
    assert copied.at == 25, "the newest place of the same tokens is in the other one"
    jumped, text = aligned([*SOURCE[:10], 7, *SOURCE[10:30], 8, *SOURCE[:10], *SOURCE[10:29]])
    assert (jumped.at, jumped.run) == (30, 19) and text[jumped.at] == SOURCE[29]


def test_known_edits_are_recognised_while_they_are_put_out() -> None:
    source = [*SOURCE[:10], 50, *SOURCE[10:20], 50, *SOURCE[20:]]
    text = [*source, *SOURCE[:10], 60, 61, 62, *SOURCE[10:20], 60]
    alignment, _ = aligned(text)
    edit = alignment.begun_edit(text)
    assert edit is not None and text[edit.put : edit.end] == [60, 61, 62]
    alignment, text = aligned([*text, 63])
    assert alignment.begun_edit(text) is None


def test_a_copy_is_independent() -> None:
    alignment, text = aligned([*SOURCE, *SOURCE[:FIRM_MATCH]])
    other = alignment.copy()
    other.observe([*text, 999], NOWHERE, 0)
    assert alignment.is_copying and other.is_changing
