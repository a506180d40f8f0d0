"""Quality: zero against itself, the right figures against something else, one line where nothing can be compared."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from outrider.bench.quality import compare, shipped_text, windows_of
from outrider.cli.main import main
from outrider.errors import RequestError, VocabularyError
from outrider.target.load import LoadedModel
from outrider.target.tiny import TINY, tiny_target
from tiny_engine import dense_logits, loaded, target_of, tiny_tokenizer
from tiny_models import write_tiny_model

WINDOWS = [[*range(3, 90), *range(5, 80)], [7, 8, 9, 10, 11]]


def test_a_model_agrees_with_itself() -> None:
    quality = compare(loaded(), loaded(), WINDOWS, lambda line: None)
    assert quality.positions == sum(len(window) - 1 for window in WINDOWS)
    assert (quality.kl_mean, quality.kl_max) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert quality.top1_agreement == 1.0
    assert quality.perplexity_change == pytest.approx(0.0, abs=1e-12)


def test_the_figures_are_those_of_the_definition() -> None:
    first, second = target_of(), target_of(seed=1)
    quality = compare(loaded(), loaded(seed=1), WINDOWS, lambda line: None)
    kl, loss, loss_reference, same = [], [], [], []
    for window in WINDOWS:
        q, p = (torch.softmax(dense_logits(target, window[:-1]).double(), -1) for target in (first, second))
        kl += (p * (p.log() - q.log())).sum(-1).tolist()
        for row, token in enumerate(window[1:]):
            loss.append(-math.log(q[row, token]))
            loss_reference.append(-math.log(p[row, token]))
        same += (p.argmax(-1) == q.argmax(-1)).tolist()
    assert quality.kl_mean == pytest.approx(sum(kl) / len(kl))
    assert quality.kl_max == pytest.approx(max(kl))
    assert quality.perplexity == pytest.approx(math.exp(sum(loss) / len(loss)))
    assert quality.perplexity_reference == pytest.approx(math.exp(sum(loss_reference) / len(loss)))
    assert quality.perplexity_change == pytest.approx(quality.perplexity / quality.perplexity_reference - 1)
    assert quality.top1_agreement == sum(same) / len(same)


def test_models_of_different_vocabularies_are_not_compared() -> None:
    other = LoadedModel("other", tiny_target(spec=replace(TINY, vocab_size=97)), tiny_tokenizer())
    with pytest.raises(VocabularyError, match="do not have the same vocabulary"):
        compare(loaded(), other, WINDOWS, lambda line: None)


def test_windows_predict_every_token_once() -> None:
    tokenizer = tiny_tokenizer()
    text = "abcdefghijkl"
    ids = tokenizer.encode(text, special=False)
    windows = windows_of(tokenizer, text, 8, window=3)
    assert [token for window in windows for token in window[1:]] == ids[1:9]
    assert [len(window) - 1 for window in windows] == [3, 3, 2]
    with pytest.raises(RequestError, match="too few for 40 positions"):
        windows_of(tokenizer, text, 40)


def test_windows_begin_with_the_first_token_of_a_model_that_has_one() -> None:
    class Beginning:
        def encode(self, text: str, *, special: bool) -> list[int]:
            return [ord(letter) for letter in text]

        def with_bos(self, ids: list[int]) -> list[int]:
            return [1, *ids]

    windows = windows_of(Beginning(), "abcd", 4, window=3)  # type: ignore[arg-type]
    assert windows == [[1, 97, 98, 99], [1, 100]]


def test_the_shipped_text_is_long_and_always_the_same() -> None:
    assert len(shipped_text()) > 40_000
    assert shipped_text() == shipped_text()


def test_the_verb_ends_with_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(write_tiny_model(tmp_path / "tiny.gguf"))
    assert main(["bench", "quality", model, "--positions", "600", "--json"]) == 0
    shown = capsys.readouterr().out.splitlines()
    found = json.loads(shown[-1])
    assert list(found) == ["model", "against", "positions", "kl_mean", "kl_max", "perplexity", "perplexity_reference",
                           "perplexity_change", "top1_agreement"]
    assert (found["against"], found["positions"]) == ("reference", 600)
    assert shown[0].startswith("600 positions")
    other = str(write_tiny_model(tmp_path / "other.gguf", seed=1))
    assert main(["bench", "quality", model, "--positions", "100", "--against", other, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["kl_mean"] > 0


@pytest.mark.parametrize(("flags", "complaint"), [
    (["--positions", "0"], "--positions: got 0, expected 1 or more"),
    (["--text", "nowhere.txt"], "--text: no file at 'nowhere.txt'"),
])
def test_mistakes_are_one_line(flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "quality", "MODEL", *flags]) == 2
    shown = capsys.readouterr().err
    assert complaint in shown and shown.count("\n") == 1


def test_a_text_that_is_too_short_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, text = str(write_tiny_model(tmp_path / "tiny.gguf")), tmp_path / "text.txt"
    text.write_text("hello")
    assert main(["bench", "quality", model, "--text", str(text)]) == 2
    assert "too few for 4096 positions" in capsys.readouterr().err
