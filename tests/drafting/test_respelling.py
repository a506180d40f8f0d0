from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.core.hunk import Hunk
from outrider.drafting.respelling import Respeller, Respelling, window
from toy_vocabulary import PIECES, ToyVocabulary, tokens

TOKENS = st.lists(st.integers(-1, len(PIECES) - 1), max_size=40)


def shown(found: list[Respelling]) -> list[tuple[list[str], list[str]]]:
    return [([PIECES[token] for token in one.old_n], [PIECES[token] for token in one.new_n]) for one in found]


def test_what_a_prompt_asks_for_is_spelt_as_the_source_has_it() -> None:
    prompt = tokens("```\nTaskList(tasks: Task).task_name\nself.TASK:name\n```\n`Task` to `Job`.\n")
    assert shown(Respeller(ToyVocabulary()).told(prompt)) == [
        (["Task"], ["Job"]), (["(task"], ["(", "job"]), ([" Task"], [" ", "Job"]), ([".task"], [".", "job"]),
        (["TASK"], ["JOB"])]


def test_a_change_is_learnt_in_all_spellings_around_it() -> None:
    source, copy = tokens("self.task(Task task)"), tokens("self.job")
    text = [*source, *copy]
    hunk = Hunk(1, 2, len(source) + 1, len(text))
    found = Respeller(ToyVocabulary()).learnt(text, window(hunk).begin, hunk, text[hunk.put : hunk.end])
    assert ([" task"], [" job"]) in shown(found) and (["Task"], ["Job"]) in shown(found)


def test_a_change_of_half_a_word_is_one_of_the_word() -> None:
    source = [PIECES.index(piece) for piece in ("t", "a", "s", "k", " ", "Task")]
    found = Respeller(ToyVocabulary()).learnt(source, 0, Hunk(1, 2, 9, 10), [PIECES.index("o")])
    assert shown(found) == [], "as a name that the vocabulary spells otherwise: `task` is a token"
    plain = Respeller(ToyVocabulary()).learnt(tokens("jobe jobe"), 0, Hunk(1, 2, 9, 10), tokens("a"))
    assert shown(plain) == [(["e"], ["a"])] * 2


@pytest.mark.parametrize("text", ["task", "name", "(", ""])
def test_a_change_of_what_is_no_name_has_no_other_spelling(text: str) -> None:
    new_n = tokens("(" + text)
    assert not Respeller(ToyVocabulary()).learnt(tokens("). )"), 0, Hunk(0, 1, 0, len(new_n)), new_n)


def test_a_vocabulary_that_puts_a_space_first_spells_what_begins_with_one() -> None:
    source = [PIECES.index(piece) for piece in (" task", "(task", " task")]
    found = Respeller(ToyVocabulary(space_prefix=True)).learnt(source, 0, Hunk(0, 1, 0, 1), [PIECES.index(" job")])
    assert shown(found) == [([" task"], [" job"])]


@given(TOKENS, TOKENS, st.data())
def test_respellings_stand_in_the_source_and_change_their_first_token(text: list[int], new_n: list[int],
                                                                      data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    hunk = Hunk(start, data.draw(st.integers(start, len(text))), 0, 0)
    respeller = Respeller(ToyVocabulary())
    for one in [*respeller.learnt(text, 0, hunk, new_n), *respeller.told(text)]:
        size = len(one.old_n)
        assert any(text[at : at + size] == one.old_n for at in range(len(text)))
        assert one.new_n and one.old_n[0] != one.new_n[0]
