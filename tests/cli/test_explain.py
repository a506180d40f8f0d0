"""`--explain`: a line for every round with a draft, plain ones together, and what it all came to."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from outrider.cli.explain_view import rows, summary, table
from outrider.cli.main import main
from outrider.engine.journal import Entry
from outrider.engine.watch import Times
from outrider.policy.interface import Reason
from tiny_models import write_tiny_model

Capture = pytest.CaptureFixture[str]
TIMES = Times(0.001, 0.007, 0.001, 0.001)
PLAIN = Reason((0, -1), 0, 1.0, 0.008, 0.008, "best rate")
HEADER = "round tokens suffix model verified expected foreseen ms plain ms why accepted measured ms"
LINES = [
    "1-2 1 2 - - 1.00 8.00 8.00 2 rounds plain - 10.00",
    "3 3 6 4 8 4.50 9.00 8.00 network pays 4 (suffix 3, model 2) 10.00",
    "4 8 - - - 1.00 8.00 8.00 best rate - 10.00",
    "5 9 2 0 2 1.50 9.00 8.00 best rate 0 10.00",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.gguf"))


def made() -> Any:
    copied = Reason((6, 4), 8, 4.5, 0.009, 0.008, "network pays")
    missed = Reason((2, 0), 2, 1.5, 0.009, 0.008, "best rate")
    return SimpleNamespace(names=("suffix", "model"), entries=[
        Entry(1, PLAIN, 0, 0, (0, 0), 1, TIMES), Entry(2, Reason((2, -1), 0, 1.0, 0.008, 0.008, "best rate"), 0, 0,
                                                       (0, 0), 1, TIMES),
        Entry(3, copied, 8, 4, (3, 2), 5, TIMES), Entry(8, Reason((-1, -1), 0, 1.0, 0.008, 0.008, "best rate"), 0, 0,
                                                        (0, 0), 1, TIMES),
        Entry(9, missed, 2, 0, (0, 0), 1, TIMES)])


def test_the_table_and_its_summary() -> None:
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(table(made()))
    assert [" ".join(line.split()) for line in capture.get().splitlines()] == [HEADER, *LINES]
    assert summary(made()) == [
        "time: 50 ms in 5 rounds; drafting 10.0%, the target's passes 70.0%, verification 10.0%, host 10.0%",
        "suffix: asked in 4 rounds, offered 10 nodes, accepted 3",
        "model: asked in 2 rounds, offered 4 nodes, accepted 2",
        "accepted of 10 verified nodes: predicted 4.0 (40%), observed 4 (40%)",
        "time: foreseen 42 ms, measured 50 ms; plain decoding of the same tokens: about 72 ms",
    ]


def test_a_policy_that_foresees_nothing_is_shown_without_forecasts() -> None:
    entry = Entry(1, Reason((3,), 3, 0.0, 0.0, 0.0, "fixed"), 3, 1, (1,), 2, TIMES)
    journal: Any = SimpleNamespace(names=("suffix",), entries=[entry])
    assert len(summary(journal)) == 2
    row = rows(journal)[0]
    assert (row["expected_tokens"], row["foreseen_s"], row["offered"]) == (None, None, {"suffix": 3})
    assert rows(made())[0]["offered"] == {"suffix": 0, "model": None}


def test_generate_and_chat_explain_on_standard_error(model: str, capsys: Capture) -> None:
    shared = ["--drafter", "suffix", "--draft-policy", "fixed:4", "--max-tokens", "12", "--explain"]
    for words in (["generate", model, "hello hello hello", *shared], ["chat", model, "--message", "hello", *shared]):
        assert main(words) == 0
        shown = capsys.readouterr()
        lines = shown.err.splitlines()
        assert "foreseen" in lines[0] and "suffix" in lines[0] and "foreseen" not in shown.out
        assert lines[-2].startswith("suffix: asked in ") and "tokens per round" in lines[-1]


def test_the_document_holds_the_rounds(model: str, capsys: Capture) -> None:
    words = ["generate", model, "hello hello hello", "--drafter", "suffix", "--draft-policy", "fixed:4", "--json"]
    assert main([*words, "--max-tokens", "12", "--explain"]) == 0
    found = json.loads(capsys.readouterr().out)
    stats = found["samples"][0]["stats"]
    assert [row["round"] for row in found["rounds"]] == list(range(1, stats["rounds"] + 1))
    assert sum(row["verified"] for row in found["rounds"]) == stats["drafted"]
    assert main([*words, "--max-tokens", "12"]) == 0
    assert "rounds" not in json.loads(capsys.readouterr().out)


def test_several_samples_cannot_be_explained(model: str, capsys: Capture) -> None:
    assert main(["generate", model, "hi", "--n", "2", "--explain"]) == 2
    assert "--explain tells of one answer: got --n 2" in capsys.readouterr().err


def test_an_answer_of_one_token_has_nothing_to_explain(model: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["generate", model, "hi", "--max-tokens", "1", "--explain"]) == 0
    assert capsys.readouterr().err.startswith("1 tokens · ")
