from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.drafting.renames import Rename, rename, told
from outrider.drafting.source_text import SourceText, Span

CODE = "```python\nclass Task:\n    tasks = 0\n    def due(self, task_id, timeout): return TASKS\n```\n"


def source(text: str) -> SourceText:
    """With a token a byte."""
    data = text.encode()
    return SourceText(list(data), [bytes([byte]) for byte in data])


def named(request: str) -> list[tuple[str, str]]:
    return [(found.old.decode(), found.new.decode()) for found in told(source(CODE + request))]


@pytest.mark.parametrize("request_, expected", [
    ("Rename `Task` to `Job` and `task` to `job`.", [("Task", "Job"), ("task", "job")]),
    ("Benenne 'timeout' in 'frist' um.", [("timeout", "frist")]),
    ("Use `deadline` instead of `timeout`.", [("timeout", "deadline")]),
    ("Change the prefix `task_` of all names, and of files, to `job_`.", [("task_", "job_")]),
    ("Rename `timeout` to `due`.", [("timeout", "due")]),
    ("Replace `due(...)` by `self.due_at(...)`.", [("due", "self.due_at")]),
    ('"timeout" => "deadline"', [("timeout", "deadline")]),
    ("rename timeout to deadline", [("timeout", "deadline")]),
    ("rename timeout -> deadline", [("timeout", "deadline")]),
])
def test_a_request_says_what_becomes_what(request_: str, expected: list[tuple[str, str]]) -> None:
    assert named(request_) == expected


@pytest.mark.parametrize("request_", [
    "Explain `Task`. Then show `Job`.",  # two sentences
    "Rename `Tusk` to `Job`.",  # not there
    "Rename `Task` to `Task`.",
    "See `Task`, `due` and `task_id`.",  # all there, and more than a word between
    "Change `Task` to `a task, or so`.",  # no name
    "It's Task's own `Task`",
    "It is due to timeout",  # both are in the code
])
def test_whatever_else_is_quoted_names_nothing(request_: str) -> None:
    assert named(request_) == []


def test_quotes_within_code_name_nothing() -> None:
    assert told(source("```\nx = 'Task' + 'Job'\nprint('x' if 'Task' else 'Job')\n```\nRun it.")) == []


def test_a_rename_covers_small_letters_and_capitals() -> None:
    task = Rename(b"Task", b"Job")
    assert [task.of(found) for found in (b"Task", b"task", b"TASK", b"tAsK")] == [b"Job", b"job", b"JOB", None]
    assert Rename(b"unit", b"unitPrice").of(b"Unit") == b"UnitPrice"


def test_what_both_have_around_their_names_is_left_out() -> None:
    assert rename(b"/shop/", b"/store/") == rename(b" shop", b" store") == Rename(b"shop", b"store")
    assert rename(b"putChar", b"put_char") == Rename(b"putChar", b"put_char")
    assert rename(b"a", b"a") is rename(b"(", b"[") is rename(b"", b"a") is rename(b"..", b"..") is None


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_any_two_texts_are_a_rename_or_none(old: bytes, new: bytes) -> None:
    found = rename(old, new)
    assert found is None or (found.old in old and found.new in new and found.old != found.new)


def test_words_are_found_within_names_and_not_within_words() -> None:
    text = source("task Task TASK task_id myTask taskList tasks TASKS multitask tasked .task")
    found = [text.text[max(span.begin - 1, 0) : span.end + 1] for span in text.find(b"task")]
    assert found == [b"task ", b" Task ", b" TASK ", b" task_", b"yTask ", b" taskL", b" tasks", b" TASKS", b".task"]


@given(st.text("ab_ A", max_size=12), st.text("abA", min_size=1, max_size=3))
def test_what_is_found_is_the_word(text: str, word: str) -> None:
    searched = source(text)
    for span in searched.find(word.encode()):
        assert searched.text[span.begin : span.end].lower() == word.encode().lower()
        assert searched.parts(span.begin)
        covered = searched.tokens(span)
        assert covered.begin <= span.begin < span.end <= covered.end
        assert searched.whole(Span(span.begin, span.end)).begin == span.begin


def test_of_a_prompt_of_any_kind_a_bounded_part_is_looked_at() -> None:
    """What is far too much is left out from the front: a request stands last."""
    request = "Rename `task` to `job`."
    assert named("`due` to `then`\n" + "`x`\n" * 40 + request) == [("task", "job")]
    assert named("rename due to then\n" + "make xx to yy\n" * 20 + "rename task to job") == [("task", "job")]
    many = source("a " * 3000)
    assert sum(1 for _ in many.find(b"a")) == 1024
    long = source("ab" * 100)
    assert long.tokens(Span(100, 102)) == Span(92, 110)
