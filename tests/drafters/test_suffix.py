from __future__ import annotations

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from outrider.core.commit import Commit, Verdict
from outrider.core.tree import Budget
from outrider.drafting.interface import SequenceContext
from outrider.errors import ConfigError
from stub_target import after, build, decode
from toy_vocabulary import ToyVocabulary, tokens

TEXT = st.lists(st.integers(0, 4), min_size=2, max_size=60)
TEXT_A = [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]


@given(TEXT)
def test_the_first_node_follows_an_occurrence_of_the_longest_match(text: list[int]) -> None:
    """Unless a copy is under way, which a match of eight tokens begins."""
    assume(len({tuple(text[at : at + 8]) for at in range(len(text) - 7)}) == max(len(text) - 7, 0))
    drafter = build("suffix:floor=0;past=0")
    tree = drafter.draft(after(drafter, text), Budget(1, 1))
    size = max((size for size in range(len(text)) if any(text[end - size : end] == text[len(text) - size :]
                                                          for end in range(size, len(text)))), default=0)
    known = {text[end] for end in range(size, len(text)) if text[end - size : end] == text[len(text) - size :]}
    assert set(tree.token_N) <= known and (len(tree) == 1) == (size > 0)


def test_on_fresh_text_little_is_drafted() -> None:
    """No known token before: nothing. One: no more than costs next to nothing. A long match: as far as it is believed.
    """
    drafter = build("suffix:cheap=3")
    assert not len(drafter.draft(after(drafter, [1, 2, 3, 4, 5]), Budget(32, 32)))
    assert 0 < len(drafter.draft(after(drafter, [1, 2, 3, 4, 5, 2]), Budget(32, 32))) <= 3
    far = list(range(300, 340))
    assert len(drafter.draft(after(drafter, [*far, 1, *far[:12]]), Budget(32, 32))) > 8


def test_the_shortest_match_can_be_set() -> None:
    text = [*TEXT_A, 1, *TEXT_A[:5]]
    for min_match, drafts in ((5, True), (6, False)):
        drafter = build(f"suffix:min_match={min_match}")
        assert bool(len(drafter.draft(after(drafter, text), Budget(32, 32)))) == drafts


def test_a_draft_is_longer_the_longer_the_match() -> None:
    text = list(range(200))
    drafter = build("suffix:floor=0;factor=2;offset=1;max=99")
    for match in (2, 5, 9):
        assert len(drafter.draft(after(drafter, [*text, 999, *text[:match]]), Budget(99, 99))) == 2 * match + 1
    assert not len(build("suffix:factor=0;offset=0").draft(after(build("suffix"), [*text, *text]), Budget(9, 9)))


def test_where_the_text_branches_the_draft_does() -> None:
    drafter = build("suffix:floor=0.1")
    branching = [20, 21, 22, 23, 30, 31, 20, 21, 22, 23, 40, 41, 20, 21, 22, 23]
    tree = drafter.draft(after(drafter, branching), Budget(4, 2))
    assert sorted(zip(tree.parent_N, tree.token_N, strict=True))[:2] == [(-1, 30), (-1, 40)]
    assert {tree.token_N[node] for node in range(len(tree)) if tree.parent_N[node] >= 0} == {31, 41}


def test_a_copy_goes_on_where_it_stopped_and_not_where_the_token_came_last() -> None:
    """After a change, `5` is followed as in the place that was being copied, though it came elsewhere since."""
    source = [*range(100, 120), 5, *range(120, 140)]
    text = [*source, 5, 900, *source[:19], 800, 5]
    drafter = build("suffix")
    assert list(drafter.draft(after(drafter, text), Budget(2, 2)).token_N) == [120, 121]


@pytest.mark.parametrize("native", ["yes", "no"])
@pytest.mark.parametrize("old, new", [([50], [60]), ([50], [60, 61, 62]), ([50, 51], [60]), ([50], [])])
def test_what_was_changed_before_is_drafted_changed(native: str, old: list[int], new: list[int]) -> None:
    def text(changing: list[int]) -> list[int]:
        return [token for part in range(100, 180, 10) for token in (*range(part, part + 10), *changing)]

    drafter = build(f"suffix:max=64;floor=0.05;native={native}")
    rounds = decode(drafter, [1, *text(old), 2], text(new), Budget(16, 16))
    assert rounds <= 15, "one to start, two or three for each of two changes, and then seven tokens a round or more"
    state = after(drafter, [1, *text(old), 2, *text(new)[: 4 * (10 + len(new)) - len(new)]])
    first = [*new, *range(140, 150)][:2]
    assert drafter.draft(state, Budget(4, 4)).token_N[:2] == first


FILE = "```\nclass Task:\nself.task:name\nself.task_name:TASK\n```\n"
NEW_FILE = "```\nclass Job:\nself.job:name\nself.job_name:JOB\n```\n"


def rounds_to_rename(spec: str, request: str, vocabulary: ToyVocabulary | None) -> int:
    prompt, answer = tokens(FILE + request), tokens(NEW_FILE)
    drafter = build(spec)
    context = SequenceContext(prompt[0], num_prompt=len(prompt), vocabulary=vocabulary)
    return decode(drafter, prompt, answer, Budget(16, 16), context)


@pytest.mark.parametrize("native", ["yes", "no"])
@pytest.mark.parametrize("request_, fewer", [("`Task` to `Job`.\n", 3), ("name it\n", 2)])
def test_a_name_is_drafted_replaced_in_all_its_spellings(native: str, request_: str, fewer: int) -> None:
    """As soon as the prompt asks for it, or after the first of four places where it is replaced."""
    spec = f"suffix:max=64;floor=0.05;native={native}"
    plain = rounds_to_rename(spec, request_, None)
    assert rounds_to_rename(spec, request_, ToyVocabulary()) <= plain - fewer
    assert rounds_to_rename(f"{spec};respell=no", request_, ToyVocabulary()) == plain


def test_past_outputs_are_drafted_from_and_prompts_are_not() -> None:
    drafter = build("suffix")
    state = drafter.start(SequenceContext(1))
    drafter.observe(state, Commit([2, 3, *range(500, 520), 600], verdict=Verdict((), 600)))
    for token in range(601, 640):
        drafter.observe(state, Commit([token], verdict=Verdict((), token)))
    drafter.finish(state)
    assert drafter.memory is not None and drafter.memory.num_tokens == 40 + 1  # type: ignore[attr-defined]
    assert list(drafter.draft(after(drafter, [9, *range(605, 615)]), Budget(3, 3)).token_N) == [615, 616, 617]
    assert not len(drafter.draft(after(drafter, [9, *range(505, 515)]), Budget(3, 3)))


def test_past_outputs_can_come_and_grow_while_a_sequence_runs() -> None:
    drafter = build("suffix:past=200")
    running = after(drafter, [9, *range(605, 612)])
    rng = random.Random(2)
    for _ in range(6):  # more than the memory holds
        past = after(drafter, [1])
        noise = [rng.randrange(600) for _ in range(20)]
        drafter.observe(past, Commit([*noise, *range(600, 640)], verdict=Verdict(tuple(range(59)), 639)))
        drafter.finish(past)
        tree = drafter.draft(running, Budget(3, 3))
        assert tree.token_N[0] == 612
    drafter.observe(running, Commit([612, 613]))
    assert drafter.draft(running, Budget(3, 3)).token_N[0] == 614


def test_no_past_is_kept_where_none_is_wanted() -> None:
    drafter = build("suffix:past=0")
    decode(drafter, [1, 2, 3], list(range(600, 640)), Budget(4, 4))
    assert not len(drafter.draft(after(drafter, [9, *range(605, 615)]), Budget(3, 3)))


def test_a_sequence_ended_at_once_leaves_nothing() -> None:
    drafter = build("suffix")
    drafter.finish(drafter.start(SequenceContext(4)))
    assert drafter.memory is not None and drafter.memory.num_tokens == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("options", ["min_match=0", "factor=-1", "past=-1"])
def test_senseless_options_are_refused(options: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        build(f"suffix:{options}")
