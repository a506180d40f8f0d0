"""GGUF files as checkpoints: specs, canonical tensors, and what is refused."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from outrider.core.spec import ModelSpec, RopeSpec
from outrider.errors import CheckpointError
from outrider.io.checkpoint import open_checkpoint
from tiny_checkpoints import (
    SPECS,
    VOCAB,
    gguf_metadata,
    gguf_tensors,
    interleaved,
    random_tensors,
    write_family_gguf,
    write_gguf,
)

QUANTISED = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")


class File:
    """A writable description of a tiny GGUF file."""

    def __init__(self, family: str) -> None:
        self.arch = family
        self.metadata = gguf_metadata(SPECS[family])
        self.tensors = gguf_tensors(SPECS[family], random_tensors(SPECS[family]))
        self.tokens: list[str] | None = None

    def write(self, folder: Path) -> Path:
        return write_gguf(folder / "a.gguf", self.arch, self.metadata, self.tensors, tokens=self.tokens)

    def spec(self, folder: Path) -> ModelSpec:
        return open_checkpoint(self.write(folder)).spec

    def error(self, folder: Path) -> str:
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(self.write(folder))
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.mark.parametrize("family", SPECS)
def test_spec_and_tensors_of_every_family(tmp_path: Path, family: str) -> None:
    checkpoint = open_checkpoint(write_family_gguf(tmp_path / "a.gguf", family))
    expected = random_tensors(SPECS[family])
    assert checkpoint.spec == SPECS[family]
    assert set(checkpoint.names) == set(expected)
    for name, values in expected.items():
        assert np.array_equal(checkpoint.tensor(name, torch.float32).numpy(), values), name
        assert checkpoint.packed(name) is None


@pytest.mark.parametrize("kind", [*QUANTISED, "F16", "BF16"])
def test_quantised_files_give_values_and_packed_rows(tmp_path: Path, kind: str) -> None:
    checkpoint = open_checkpoint(write_family_gguf(tmp_path / "a.gguf", "llama", kind))
    number = gguf.GGMLQuantizationType[kind]
    for name, values in random_tensors(SPECS["llama"]).items():
        stored = gguf.quantize(values, number) if values.ndim > 1 else values
        expected = gguf.dequantize(stored, number) if values.ndim > 1 else values
        assert np.array_equal(checkpoint.tensor(name, torch.float32).numpy(), expected), name
        packed = checkpoint.packed(name)
        if values.ndim > 1 and kind in QUANTISED:
            assert packed is not None and packed.type.name == kind and packed.shape == values.shape
            assert np.array_equal(packed.data, stored) and not packed.data.flags.writeable
        else:
            assert packed is None


def test_values_are_rounded_to_the_type_asked_for(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_family_gguf(tmp_path / "a.gguf", "llama", "Q4_1"))
    exact = checkpoint.tensor("embed.weight", torch.float32)
    assert torch.equal(checkpoint.tensor("embed.weight", torch.bfloat16), exact.bfloat16())


def rotated(rows: np.ndarray, angle: np.ndarray, neighbours: bool) -> np.ndarray:
    """Rotate pairs: neighbouring rows, or row i with row i + half."""
    half = len(rows) // 2
    first, second = (rows[0::2], rows[1::2]) if neighbours else (rows[:half], rows[half:])
    turned = first * np.cos(angle) - second * np.sin(angle), first * np.sin(angle) + second * np.cos(angle)
    return np.stack(turned, 1).reshape(-1) if neighbours else np.concatenate(turned)


def test_llama_rows_are_reordered_so_that_half_rotation_gives_the_same_scores(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_family_gguf(tmp_path / "a.gguf", "llama"))
    spec, stored = SPECS["llama"], gguf_tensors(SPECS["llama"], random_tensors(SPECS["llama"]))
    size, x = spec.head_size, np.linspace(-1, 1, spec.hidden_size)
    frequencies = spec.rope.theta ** (-np.arange(0, size, 2) / size)

    def score(q: np.ndarray, k: np.ndarray, neighbours: bool) -> float:
        return float(
            rotated((q @ x)[:size], 9 * frequencies, neighbours) @ rotated((k @ x)[:size], 4 * frequencies, neighbours)
        )

    ours = [checkpoint.tensor(f"layers.1.attn.{short}.weight", torch.float32).numpy() for short in "qk"]
    theirs = [stored[f"blk.1.attn_{short}.weight"] for short in "qk"]
    assert score(*ours, neighbours=False) == pytest.approx(score(*theirs, neighbours=True), rel=1e-6)
    assert score(*ours, neighbours=True) != pytest.approx(score(*theirs, neighbours=True), rel=1e-3)


def test_llama_biases_are_reordered_with_their_rows(tmp_path: Path) -> None:
    file = File("llama")
    bias = np.arange(32, dtype=np.float32)
    for layer in range(2):
        file.tensors[f"blk.{layer}.attn_q.bias"] = interleaved(bias, 4)
        file.tensors[f"blk.{layer}.attn_k.bias"] = interleaved(bias[:16], 2)
        file.tensors[f"blk.{layer}.attn_v.bias"] = bias[:16]
    checkpoint = open_checkpoint(file.write(tmp_path))
    assert checkpoint.spec.qkv_bias and not checkpoint.spec.out_bias
    for short, size in (("q", 32), ("k", 16), ("v", 16)):
        assert checkpoint.tensor(f"layers.0.attn.{short}.bias", torch.float32).tolist() == bias[:size].tolist()


def test_llama_3_scaling_as_divisors(tmp_path: Path) -> None:
    file = File("llama")
    file.tensors["rope_freqs.weight"] = np.array([1, 1, 2.5, 8], np.float32)
    assert file.spec(tmp_path).rope == RopeSpec(theta=50_000.0, frequency_divisor=(1.0, 1.0, 2.5, 8.0))


def test_linear_scaling(tmp_path: Path) -> None:
    file = File("gemma3")
    file.metadata |= {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0}
    spec = file.spec(tmp_path)
    assert spec.rope == RopeSpec(theta=1_000_000.0, scaling="linear", factor=8.0)
    assert spec.local_rope == RopeSpec(theta=10_000.0)


def test_gemma_soft_caps_and_base_of_local_layers(tmp_path: Path) -> None:
    file = File("gemma3")
    file.metadata |= {"gemma3.final_logit_softcapping": 30.0, "gemma3.rope.freq_base_swa": 20_000.0}
    spec = file.spec(tmp_path)
    assert spec.final_softcap == 30.0 and spec.attention_softcap is None
    assert spec.local_rope == RopeSpec(theta=20_000.0)


def test_the_62_layer_gemma_scales_queries_by_the_hidden_size(tmp_path: Path) -> None:
    spec = replace(SPECS["gemma3"], num_layers=62, sliding=())
    tensors = gguf_tensors(spec, random_tensors(spec))
    path = write_gguf(tmp_path / "a.gguf", "gemma3", gguf_metadata(spec), tensors)
    assert open_checkpoint(path).spec.attention_scale == (32 / 4) ** -0.5


def test_decimals_are_those_of_the_published_config(tmp_path: Path) -> None:
    file = File("llama")
    file.metadata |= {"llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.freq_base": 500_000.0}
    spec = file.spec(tmp_path)
    assert (spec.norm_eps, spec.rope.theta) == (1e-5, 500_000.0)


def test_end_tokens_are_the_named_ones_and_those_the_vocabulary_knows(tmp_path: Path) -> None:
    file = File("llama")
    file.metadata["tokenizer.ggml.eot_token_id"] = 9
    file.tokens = [f"<{index}>" for index in range(VOCAB)]
    file.tokens[3], file.tokens[20] = "<|im_end|>", "<|endoftext|>"
    assert file.spec(tmp_path).eos_ids == (3, 9, 20)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("llama.rope.scaling.type", "yarn", "rope.scaling.type = 'yarn' is not supported; supported: none, linear"),
        (
            "llama.rope.dimension_count",
            4,
            "llama.rope.dimension_count = 4 is not supported; supported: the head size, 8",
        ),
        ("llama.expert_count", 8, "a mixture of experts; only dense models are supported"),
        ("llama.block_count", 2**31 - 2, "'llama.block_count' must be a number from 1 to 10000"),
        ("llama.block_count", 9999, "the tensor 'blk.2.attn_norm.weight' is missing"),
        ("llama.block_count", 1, "the tensor 'blk.1.attn_norm.weight' is part of a layer but not of a dense llama"),
        ("llama.block_count", "two", "'llama.block_count' must be a whole number, not 'two'"),
        ("llama.attention.head_count", 0, "'llama.attention.head_count' must be a number from 1"),
        ("llama.attention.head_count_kv", 3, "4 heads cannot share 3 key-value heads evenly"),
        ("llama.attention.head_count", 8, "'blk.0.attn_q.weight' has the shape [32, 32], expected [64, 32]"),
        ("llama.feed_forward_length", 65, "'blk.0.ffn_gate.weight' has the shape [64, 32], expected [65, 32]"),
        ("llama.rope.freq_base", -1.0, "'llama.rope.freq_base' must be a number above 0"),
        ("llama.attention.layer_norm_rms_epsilon", float("nan"), "must be a finite number, not nan"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    tmp_path: Path, key: str, value: int | float | str, expected: str
) -> None:
    file = File("llama")
    file.metadata[key] = value
    assert expected in file.error(tmp_path)


@pytest.mark.parametrize("key", ["embedding_length", "attention.layer_norm_rms_epsilon", "context_length"])
def test_missing_settings_are_named(tmp_path: Path, key: str) -> None:
    file = File("llama")
    del file.metadata[f"llama.{key}"]
    assert f"the key 'llama.{key}' is missing" in file.error(tmp_path)


def test_an_unknown_architecture_is_named_with_the_known_ones(tmp_path: Path) -> None:
    file = File("llama")
    file.arch = "mamba"
    message = file.error(tmp_path)
    assert "'mamba' is not supported; supported: llama, qwen2, qwen3, gemma3" in message


@pytest.mark.parametrize("name", ["token_embd.weight", "output_norm.weight", "blk.1.ffn_up.weight"])
def test_missing_tensors_are_named(tmp_path: Path, name: str) -> None:
    file = File("llama")
    del file.tensors[name]
    assert f"the tensor '{name}' is missing" in file.error(tmp_path)


def test_a_bias_in_one_layer_only_is_refused(tmp_path: Path) -> None:
    file = File("llama")
    file.tensors["blk.1.attn_q.bias"] = np.zeros(32, np.float32)
    assert "'blk.1.attn_q.bias' is part of a layer" in file.error(tmp_path)


def test_tensors_outside_the_layers_are_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = File("llama")
    file.tensors |= {"vision.a": np.zeros(4, np.float32), "vision.b": np.zeros(4, np.float32)}
    with caplog.at_level(logging.WARNING):
        file.spec(tmp_path)
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        "2 tensors are not used, the first is 'vision.a'"
    ]
