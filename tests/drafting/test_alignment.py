from __future__ import annotations

from outrider.drafting.alignment import FIRM_FRESH_MATCH, FIRM_MATCH, NOWHERE, Alignment, Source
from outrider.drafting.suffix_state import SuffixState

SOURCE = list(range(100, 140))


def aligned(text: list[int]) -> tuple[Alignment, list[int]]:
    """After all tokens of a text."""
    state = SuffixState("")
    state.extend(text)
    return state.alignment, text


def answering(prompt: list[int], answer: list[int]) -> Alignment:
    """After a prompt and an answer to it."""
    state = SuffixState("")
    state.expect_output(len(prompt))
    state.extend([*prompt, *answer])
    return state.alignment


def test_a_copy_begins_with_a_firm_match() -> None:
    assert not aligned([*SOURCE, *SOURCE[: FIRM_MATCH - 1]])[0].is_copying
    alignment, _ = aligned([*SOURCE, *SOURCE[:FIRM_MATCH]])
    assert alignment.is_copying and (alignment.at, alignment.run) == (FIRM_MATCH, FIRM_MATCH)


def test_what_was_not_put_out_yet_is_found_by_a_shorter_match() -> None:
    prompt = [*SOURCE, 1, 2, 3]
    assert answering(prompt, [900, *SOURCE[:1]]).fresh is None
    found = answering(prompt, [900, *SOURCE[:2]])
    assert found.fresh == Source(2, 2) and not found.is_copying
    begun = answering(prompt, [900, *SOURCE[: FIRM_FRESH_MATCH]])
    assert begun.is_copying and begun.at == FIRM_FRESH_MATCH


def test_what_was_put_out_is_not_fresh() -> None:
    again = answering([*SOURCE, 1, 2, 3], [900, *SOURCE[:3], *range(500, 530), *SOURCE[:3]])
    assert again.fresh is None and not again.is_copying


def test_an_answer_goes_on_as_the_prompt_does_behind_the_first_place_of_its_first_token() -> None:
    fence = 7
    prompt = [fence, *SOURCE, fence, 1, 2]
    begun = answering(prompt, [fence])
    assert begun.is_copying and begun.at == 1
    common = answering([*prompt, fence, 3], [fence])
    assert not common.is_copying, "a token that is common in the prompt says nothing"


def test_copies_within_a_prompt_say_nothing_of_its_answer() -> None:
    prompt = [*SOURCE, *SOURCE[:20]]
    assert aligned(prompt)[0].is_copying
    assert not answering(prompt, [900]).is_copying and not answering(prompt, [900]).is_changing


def test_a_change_ends_where_two_tokens_agree_and_is_learnt() -> None:
    text = [*SOURCE, *SOURCE[:10], 900]
    alignment, _ = aligned(text)
    assert alignment.is_changing and (alignment.at, alignment.begun) == (10, 50)
    assert aligned([*text, 111])[0].is_changing
    alignment, text = aligned([*text, 111, 112])
    assert alignment.is_copying and (alignment.at, alignment.run) == (13, 2)
    edit, = alignment.edits.known
    assert (edit.old_n, edit.new_n) == ([110], [900])


def test_what_is_left_out_and_what_is_put_in_is_learnt_too() -> None:
    edit, = aligned([*SOURCE, *SOURCE[:10], *SOURCE[12:14]])[0].edits.known
    assert (edit.old_n, edit.new_n) == ([110, 111], [])
    inserted = aligned([*SOURCE, *SOURCE[:10], 900, 901, *SOURCE[10:12]])[0].edits.known
    assert [(edit.old_n, edit.new_n) for edit in inserted] == [([110], [900, 901]), ([109], [900, 901])]


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
    assert edit is not None and edit.new_n == [60, 61, 62]
    alignment, text = aligned([*text, 63])
    assert alignment.begun_edit(text) is None


def test_a_copy_is_independent() -> None:
    alignment, text = aligned([*SOURCE, *SOURCE[:FIRM_MATCH]])
    other = alignment.copy()
    other.observe([*text, 999], NOWHERE, 0)
    assert alignment.is_copying and other.is_changing
