"""Peers as processes, and the contest: turns, figures, one line where a peer fails."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.peers.fake_peers import empty_python, fake_python, fake_server
from outrider.bench.peers import contest
from outrider.bench.peers.catalogue import PlacedPeer, find_peer
from outrider.bench.peers.contest import hold
from outrider.bench.peers.process import Answer, LoadOrder, PeerProcess
from outrider.cli.main import main
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.errors import PeerError
from tiny_models import write_tiny_model

ORDER = LoadOrder(model="m.gguf", modes=("plain", "lookup"), threads=1, context=64)
REQUESTS = [Request((1, 2, 3), Sampling(max_tokens=4)), Request((5, 6), Sampling(max_tokens=4))]


def placed(word: str) -> PlacedPeer:
    found = find_peer(word)
    assert isinstance(found, PlacedPeer)
    return found


@pytest.fixture
def python(tmp_path: Path) -> str:
    return f"llama.cpp={fake_python(tmp_path)}"


def test_a_process_answers_beside_the_noise_of_libraries(python: str) -> None:
    process = PeerProcess(placed(python), ORDER)
    assert process.version == "fake 1.0"
    answer = process.generate("plain", (4, 7), 5, ())
    assert answer.ids == [8, 9, 10, 11, 12]
    assert 0 < answer.first_s <= answer.total_s
    assert process.generate("lookup", (4,), 9, (6, 99)).ids == [5, 6]  # a stop id ends it and is part of it
    with pytest.raises(PeerError, match=r"llama\.cpp: KeyError: 'draft'"):
        process.generate("draft", (4,), 1, ())
    process.close()
    with pytest.raises(ValueError, match="closed file"):
        process.generate("plain", (4,), 1, ())


def test_a_peer_that_cannot_load_says_why_in_one_line(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_PEER", "no load")
    with pytest.raises(PeerError, match=r"llama\.cpp: ValueError: cannot read this file"):
        PeerProcess(placed(python), ORDER)


def test_a_peer_that_dies_leaves_its_last_words(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_PEER", "crash")
    process = PeerProcess(placed(python), ORDER)
    with pytest.raises(PeerError, match=r"llama\.cpp: it ended unexpectedly: segmentation fault"):
        process.generate("plain", (4,), 1, ())
    process.close()


def test_a_server_is_asked_over_http_and_ends_with_its_driver(tmp_path: Path) -> None:
    draft = LoadOrder(model="m", modes=("plain", "draft"), threads=1, context=64, draft_model="d")
    process = PeerProcess(placed(f"llama-server={fake_server(tmp_path)}"), draft)
    assert process.version == "version: fake 2.0"
    assert process.generate("draft", (1,), 3, (2,)).ids == [2, 3, 4]
    process.close()


@dataclass
class Scripted:
    """Answers as told: the seconds of a request's first and last token, by pass."""

    engine: str
    mode: str
    log: list[str]
    times: list[tuple[float, float]]
    shift: int = 0
    passes: int = field(default=0, init=False)

    def begin(self, requests: Sequence[Request]) -> None:
        self.passes += 1

    def answer(self, request: Request) -> Answer:
        self.log.append(self.mode)
        first_s, total_s = self.times[self.passes - 1]
        return Answer([request.token_n[-1] + self.shift] * 4, first_s, total_s)

    def close(self) -> None:
        pass


def test_turns_medians_and_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "SETTLE_S", 0.0)
    log: list[str] = []
    ours = Scripted("outrider", "none", log, [(1.0, 4.0), (0.5, 3.5), (9.0, 99.0)])
    peer = Scripted("peer", "plain", log, [(2.0, 8.0)] * 3, shift=1)
    base, other = hold("tiny", [ours, peer], REQUESTS, 3, lambda line: None)
    assert log == ["none", "plain"] * 6
    assert (base.tok_s, base.tok_s_range) == (1.0, (1 / 30, 1.0))
    assert (base.ratio, base.ratio_total, base.same) == (1.0, 1.0, 1.0)
    assert (base.prompts, base.tokens, base.total_s, base.prefill_tok_s) == (2, 8, 8.0, 5 / 2)
    assert (other.engine, other.tok_s, other.ratio, other.ratio_total, other.same) == ("peer", 0.5, 0.5, 0.5, 0.0)


def test_the_verb_runs_all_and_names_what_is_missing(tmp_path: Path, python: str, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(contest, "SETTLE_S", 0.0)
    model = str(write_tiny_model(tmp_path / "tiny.gguf"))
    prompts = tmp_path / "mine.jsonl"
    prompts.write_text('{"prompt": "hello hello"}\n{"prompt": "hell"}\n')
    absent = f"openvino={empty_python(tmp_path)}"
    words = ["bench", "peers", model, "--prompts", str(prompts), "--max-tokens", "6", "--threads", "1", "--json"]
    assert main([*words, "--peer", python, "--peer", absent, "--modes", "plain,lookup", "--repeat", "2"]) == 0
    shown = capsys.readouterr().out.splitlines()
    found = json.loads(shown[-1])
    assert list(found) == ["model", "machine", "versions", "rows", "missing"]
    assert [(row["engine"], row["mode"]) for row in found["rows"]] == [
        ("outrider", "none"), ("outrider", "auto"), ("llama.cpp", "plain"), ("llama.cpp", "lookup")]
    assert all(row["prompts"] == 2 and row["tok_s"] > 0 and row["prefill_tok_s"] > 0 for row in found["rows"])
    assert [row["same"] for row in found["rows"][:2]] == [1.0, 1.0]
    assert found["versions"] == {"llama.cpp": "fake 1.0"}
    assert [missing["peer"] for missing in found["missing"]] == ["openvino"]
    assert "pip install openvino-genai" in shown[-2]


def test_a_peer_that_does_not_load_is_missing_and_the_rest_runs(
        tmp_path: Path, python: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FAKE_PEER", "no load")
    model = str(write_tiny_model(tmp_path / "tiny.gguf"))
    words = ["bench", "peers", model, "--prompts", "chat", "--limit", "1", "--max-tokens", "2", "--drafter", "none"]
    assert main([*words, "--peer", python]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "llama.cpp: ValueError: cannot read this file"


@pytest.mark.parametrize(("flags", "complaint"), [
    ([], "no peer given"),
    (["--peer", "ollama"], "unknown peer 'ollama'"),
    (["--peer", "llama.cpp", "--repeat", "0"], "--repeat: got 0"),
    (["--peer", "llama-server"], "to have it: pip download"),
])
def test_mistakes_are_one_line(flags: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch,
                               capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["bench", "peers", "MODEL", *flags]) == 2
    shown = capsys.readouterr().err
    assert complaint in shown and shown.count("\n") == 1
