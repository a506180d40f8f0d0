"""bench record and bench simulate, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from made_recordings import LOOKUP, NETWORK, answer, copied, recording
from outrider.bench.recording import read, write
from outrider.cli.main import main
from tiny_models import write_tiny_model

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """Two workloads, a lookup and a network that are always right."""
    tokens = range(20)
    found = [answer(tokens, copied(tokens, 4), copied(tokens, 4, seconds=0.01), workload=name)
             for name in ("edit", "code")]
    write(tmp_path / "taken.jsonl.gz", recording(*found, seats=(LOOKUP, NETWORK)))
    return tmp_path / "taken.jsonl.gz"


def test_a_recording_of_a_model_can_be_simulated(tmp_path: Path, capsys: Capture) -> None:
    model, output = str(write_tiny_model(tmp_path / "tiny.gguf")), tmp_path / "out.jsonl"
    flags = ["--prompts", "chat,code", "--limit", "1", "--max-tokens", "12", "--context", "500"]
    assert main(["bench", "record", model, "--drafter", "suffix+recycling", *flags, "--output", str(output)]) == 0
    assert "2 answers, 22 positions, 2 drafters" in capsys.readouterr().out
    assert [seat.name for seat in read(output).setting.seats] == ["suffix", "recycling"]
    assert main(["bench", "simulate", str(output), "--batch", "1,2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["outcomes"]
    assert len(found) == 2 * 2 * 4 and all(row["tokens"] == 11 for row in found)


def test_every_policy_group_and_batch_has_a_row(taken: Path, capsys: Capture) -> None:
    flags = ["--policy", "none,fixed:4,adaptive", "--only", "suffix,model", "--batch", "1,2", "--calibration", "--json"]
    assert main(["bench", "simulate", str(taken), *flags]) == 0
    shown = capsys.readouterr().out.splitlines()
    rows = json.loads(shown[-1])["outcomes"]
    assert len(rows) == 2 * 2 * 3 * 3 and "tokens/round" in shown[0] and "predicted" in "".join(shown)
    named = {(row["name"], row["policy"], row["members"], row["batch"]): row for row in rows}
    assert len(named) == len(rows)
    assert named["taken, edit", "none", "all", 1]["speedup"] == 1.0
    suffix, model = (named["taken, code", "fixed:4", member, 2] for member in ("suffix", "model"))
    assert suffix["speedup"] > model["speedup"]
    assert named["taken, edit", "adaptive", "all", 1]["calibration"]


def test_another_machines_price_can_be_given(taken: Path, tmp_path: Path, capsys: Capture) -> None:
    costs = [{"context": context, "n": n, "ms": ms} for context, n, ms in
             ((0, 1, 100.0), (0, 4, 101.0), (1000, 1, 110.0), (1000, 4, 120.0))]
    (tmp_path / "cost.json").write_text("a table\n" + json.dumps({"rows": costs}) + "\n")
    for flags in ([], ["--curve", str(tmp_path / "cost.json")]):
        assert main(["bench", "simulate", str(taken), "--policy", "none", "--json", *flags]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["outcomes"][0]
    seconds = sum(0.1 + 1e-5 * context for context in range(20, 39)) + 19 * 0.0005
    assert found["seconds"] == pytest.approx(seconds)


@pytest.mark.parametrize(("words", "complaint"), [
    (["simulate"], "no recording given"),
    (["simulate", "/nothing.jsonl"], "no recording at '/nothing.jsonl'"),
    (["simulate", "TAKEN", "--policy", "fixd:4"], "expected adaptive or fixed:K"),
    (["simulate", "TAKEN", "--only", "sufix"], "did you mean 'suffix'?"),
    (["simulate", "TAKEN", "--batch", "1,0"], "--batch: got '1,0'"),
    (["simulate", "TAKEN", "--curve", "/nothing"], "--curve: no file at '/nothing'"),
    (["simulate", "TAKEN", "--curve", "TAKEN"], "does not end with what"),
    (["record", "MODEL"], "--output FILE is missing"),
    (["record", "MODEL", "--output", "/nowhere/x.jsonl"], "there is no folder '/nowhere'"),
    (["record", "MODEL", "--output", "x", "--max-tokens", "1"], "--max-tokens: got 1"),
    (["record", "MODEL", "--output", "x", "--drafter", "sufix"], "did you mean 'suffix'?"),
])
def test_mistakes_are_told_in_one_line(taken: Path, words: list[str], complaint: str, capsys: Capture) -> None:
    assert main(["bench", *(str(taken) if word == "TAKEN" else word for word in words)]) != 0
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1
