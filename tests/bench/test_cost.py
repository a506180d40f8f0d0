"""The table of costs: every size at every context, F from the file's own bytes, the agreed document."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import pytest

from outrider.bench import cost as cost_module
from outrider.bench.cost import SIZES, Cost, CostRow, bytes_per_token, measure, rows
from outrider.bench.cost_report import document, summary, table
from outrider.cli.bench.cost import read_contexts
from outrider.cli.main import main
from outrider.errors import ConfigError
from outrider.io.checkpoint import open_checkpoint
from outrider.target.tiny import tiny_target
from tiny_checkpoints import SPECS, random_tensors, safetensors_tensors, write_family_gguf, write_safetensors
from tiny_models import write_tiny_model

KEYS = ["model", "threads", "bandwidth_gb_s", "file_gb", "packed_gb", "floor_ms", "rows"]
COST = Cost(model="m", threads=2, bandwidth_gb_s=20.0, file_gb=1.0, packed_gb=1.2, floor_ms=50.0,
            rows=rows({0: {1: 60.0, 8: 90.0}, 64: {1: 80.0, 8: 100.0}}, 50.0))


def test_every_size_is_timed_at_every_context() -> None:
    told: list[str] = []
    found = measure(tiny_target(), (0, 40), told.append)
    assert list(found) == [0, 40]
    assert all(tuple(by_size) == SIZES and min(by_size.values()) > 0 for by_size in found.values())
    assert told[-1] == "round 5 of 5"


def test_a_pass_sees_its_whole_context_and_gives_logits_of_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    target = tiny_target()
    seen: list[tuple[int, int, int]] = []
    forward = target.forward

    def spy(step: object, cache: object) -> object:
        output = forward(step, cache)  # type: ignore[arg-type]
        span = step.spans[0]  # type: ignore[attr-defined]
        seen.append((len(span.slot_L) - span.count, span.count, len(output.logits_RV)))
        return output

    monkeypatch.setattr(target, "forward", spy)
    measure(target, (300,), lambda line: None)
    assert seen[:2] == [(0, 256, 0), (256, 44, 0)]  # the context is filled in two passes
    assert seen[2 : 2 + len(SIZES)] == [(300, n, n) for n in SIZES]  # the warm-up
    timed = seen[2 + len(SIZES) :]
    assert sorted(timed) == sorted((300, n, n) for n in SIZES * 5)
    assert timed[: len(SIZES)] != timed[len(SIZES) : 2 * len(SIZES)]  # each round in an order of its own


def test_medians_are_told_as_ratios_and_floors() -> None:
    assert COST.rows == (CostRow(0, 1, 60.0, 1.0, 1.2), CostRow(0, 8, 90.0, 1.5, 1.8),
                         CostRow(64, 1, 80.0, 1.0, 1.6), CostRow(64, 8, 100.0, 1.25, 2.0))


def test_a_context_without_room_is_one_line() -> None:
    with pytest.raises(ConfigError, match="need 4160 positions, the model has 2048"):
        measure(tiny_target(), (0, 4096), lambda line: None)


def test_an_untied_embedding_is_not_read_per_token_and_a_tied_one_is(tmp_path: Path) -> None:
    tied = open_checkpoint(write_family_gguf(tmp_path / "tied.gguf", "qwen2", "Q8_0"))
    assert bytes_per_token(tied) == sum(tensor.n_bytes for tensor in _tensors(tmp_path / "tied.gguf"))
    untied = open_checkpoint(write_family_gguf(tmp_path / "untied.gguf", "llama", "Q4_0"))
    expected = [tensor.n_bytes for tensor in _tensors(tmp_path / "untied.gguf") if tensor.name != "token_embd.weight"]
    assert bytes_per_token(untied) == sum(expected)


def test_the_bytes_of_a_model_directory(tmp_path: Path) -> None:
    spec = SPECS["llama"]
    config = {"model_type": "llama", "vocab_size": spec.vocab_size, "hidden_size": spec.hidden_size,
              "intermediate_size": spec.inner_size, "num_hidden_layers": spec.num_layers,
              "num_attention_heads": spec.num_heads, "num_key_value_heads": spec.num_kv_heads,
              "max_position_embeddings": spec.max_positions, "rms_norm_eps": spec.norm_eps, "rope_theta": 5e4,
              "eos_token_id": 3, "bos_token_id": 1}
    tensors = random_tensors(spec)
    checkpoint = open_checkpoint(write_safetensors(tmp_path / "model", config, safetensors_tensors(spec, tensors)))
    read = {name: values for name, values in tensors.items() if name != "embed.weight"}
    assert bytes_per_token(checkpoint) == sum(values.nbytes for values in read.values())


def test_the_document_has_the_agreed_keys() -> None:
    found = json.loads(document(COST))
    assert list(found) == KEYS
    assert found["rows"][1] == {"context": 0, "n": 8, "ms": 90.0, "ratio": 1.5, "floors": 1.8}
    assert [list(column.cells) for column in table(COST).columns][:2] == [["1", "8"], ["60.00", "90.00"]]
    assert "F = 50.00 ms" in summary(COST)


def test_the_verb_ends_with_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("outrider.bench.bandwidth.read_bandwidth", lambda threads, num_bytes: 10.0)
    monkeypatch.setattr(cost_module, "ROUNDS", 1)
    model = str(write_tiny_model(tmp_path / "tiny.gguf"))
    assert main(["bench", "cost", model, "--context", "32,0", "--threads", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["threads"], found["bandwidth_gb_s"], len(found["rows"])) == (1, 10.0, 2 * len(SIZES))
    assert found["floor_ms"] == pytest.approx(found["file_gb"] / 10.0 * 1e3)
    assert found["packed_gb"] > 0
    assert main(["bench", "cost", model]) == 2
    assert "give shorter ones" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["", "a", "0,-1", "1;2"])
def test_contexts_that_are_no_numbers_are_one_line(words: str) -> None:
    with pytest.raises(ConfigError, match="expected numbers of tokens separated by commas"):
        read_contexts(words)
    assert read_contexts("1024,0,1024") == (0, 1024)


def _tensors(path: Path) -> list[gguf.ReaderTensor]:
    return list(gguf.GGUFReader(path).tensors)
