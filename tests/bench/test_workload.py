from __future__ import annotations

import difflib
import json
from pathlib import Path

import pytest

from outrider.bench.workload import NAMES, Message, Prompt, load
from outrider.errors import ConfigError, UnknownReferenceError

MIN_PROMPTS = 8
MIN_CHANGED = 0.2
ANSWERS = Path(__file__).parent / "edit_expected.jsonl"
EXPECTED = [json.loads(row)["expected"] for row in ANSWERS.read_text(encoding="utf-8").splitlines()]


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def question(prompt: Prompt) -> str:
    assert len(prompt.messages) == 1 and prompt.messages[0].role == "user"
    return prompt.messages[0].content


def changed_share(before: str, after: str) -> float:
    """The share of `after`'s lines that are not lines of `before` in the same order."""
    old, new = before.splitlines(), after.splitlines()
    kept = sum(block.size for block in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks())
    return 1 - kept / len(new)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_workloads_are_long_enough_and_free_of_doubles(name: str) -> None:
    workload = load(name)
    assert workload.name == name
    assert len(workload.prompts) >= MIN_PROMPTS
    assert len({question(prompt) for prompt in workload.prompts}) == len(workload.prompts)


def test_every_edit_prompt_has_its_expected_answer() -> None:
    assert len(load("edit").prompts) == len(EXPECTED)


@pytest.mark.parametrize("index", range(len(EXPECTED)))
def test_edit_prompts_change_a_fifth_of_a_whole_file(index: int) -> None:
    before = question(load("edit").prompts[index]).split("```")[1].split("\n", maxsplit=1)[1]
    assert 60 <= len(before.splitlines()) <= 200
    assert changed_share(before, EXPECTED[index]) >= MIN_CHANGED


def test_changed_share() -> None:
    assert changed_share("a\nb\nc\nd", "a\nB\nc\nd") == 0.25
    assert changed_share("a\nb", "a\nb") == 0.0
    assert changed_share("a", "x\ny") == 1.0


def test_summary_texts_have_300_to_700_words() -> None:
    texts = [question(prompt).split("\n\n", maxsplit=1)[1] for prompt in load("summary").prompts]
    assert all(300 <= len(text.split()) <= 700 for text in texts)


def test_a_file_may_mix_both_forms(tmp_path: Path) -> None:
    path = write(tmp_path, '{"prompt": "a\u2028b"}\n\n{"messages": [{"role": "user", "content": "c"}]}\n')
    workload = load(path)
    assert workload.name == "mine"
    assert workload.prompts == (Prompt(text="a\u2028b"), Prompt(messages=(Message("user", "c"),)))


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("{", "not JSON"),
        ("[1]", "found list"),
        ("{}", "found nothing"),
        ('{"promt": "a"}', "found 'promt'"),
        ('{"prompt": "a", "messages": []}', "found 'prompt', 'messages'"),
        ('{"prompt": ""}', "'prompt' must be a string"),
        ('{"prompt": 1}', "'prompt' must be a string"),
        ('{"messages": []}', "at least one message"),
        ('{"messages": "a"}', "at least one message"),
        ('{"messages": [{"role": "user"}]}', "exactly 'role' and 'content'"),
        ('{"messages": [{"role": "usr", "content": "a"}]}', "did you mean 'user'?"),
        ('{"messages": [{"role": "user", "content": null}]}', "'content' must be a string"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, row: str, complaint: str) -> None:
    path = write(tmp_path, '{"prompt": "fine"}\n' + row)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert "mine.jsonl, line 2: " in str(caught.value)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UnknownReferenceError, match="did you mean 'summary'"):
        load("sumary")
    with pytest.raises(ConfigError, match="holds no prompts"):
        load(write(tmp_path, "\n"))
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path / "binary.jsonl")
