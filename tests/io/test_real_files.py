"""The catalogue's real files: specs as published, tensors as a second reader sees them."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch

import real_models
from outrider.core.spec import ModelSpec, RopeSpec
from outrider.io.checkpoint import open_checkpoint
from outrider.io.gguf_file import GgufCheckpoint
from outrider.io.gguf_header import read_header
from scalar_blocks import READERS

pytestmark = pytest.mark.real_model

_QWEN = ModelSpec(
    family="qwen2",
    vocab_size=151_936,
    hidden_size=896,
    inner_size=4864,
    num_layers=24,
    num_heads=14,
    num_kv_heads=2,
    head_size=64,
    max_positions=32_768,
    norm_eps=1e-6,
    rope=RopeSpec(theta=1_000_000.0),
    qkv_bias=True,
    eos_ids=(151_645, 151_643),
    bos_id=151_643,
)
PUBLISHED = {
    "smollm2-135m-instruct": ModelSpec(
        family="llama",
        vocab_size=49_152,
        hidden_size=576,
        inner_size=1536,
        num_layers=30,
        num_heads=9,
        num_kv_heads=3,
        head_size=64,
        max_positions=8192,
        norm_eps=1e-5,
        rope=RopeSpec(theta=100_000.0),
        tied_head=True,
        eos_ids=(2, 0),
        bos_id=1,
    ),
    "qwen2.5-coder-0.5b-instruct": _QWEN,
    "gemma-3-270m": ModelSpec(
        family="gemma3",
        vocab_size=262_144,
        hidden_size=640,
        inner_size=2048,
        num_layers=18,
        num_heads=4,
        num_kv_heads=1,
        head_size=256,
        max_positions=32_768,
        norm_eps=1e-6,
        rope=RopeSpec(theta=1_000_000.0),
        local_rope=RopeSpec(theta=10_000.0),
        sliding=((True,) * 5 + (False,)) * 3,
        window=512,
        activation="gelu_tanh",
        qk_norm=True,
        post_norms=True,
        embed_scale=640**0.5,
        tied_head=True,
        eos_ids=(1, 106),
        bos_id=2,
    ),
}
NAMES = (*PUBLISHED, "qwen2.5-coder-1.5b-instruct")


@pytest.mark.parametrize("name", PUBLISHED)
def test_specs_are_the_published_ones(name: str) -> None:
    assert open_checkpoint(real_models.path(name)).spec == PUBLISHED[name]


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_every_type_read_as_the_format_defines_them(name: str) -> None:
    header = read_header(real_models.path(name))
    one_of_each = {tensor.type.name: tensor for tensor in header.tensors.values() if tensor.type.quantised}
    for kind, tensor in one_of_each.items():
        row = header.bytes_of(tensor)[-1]
        blocks = row.reshape(-1, tensor.type.block_bytes)
        expected = np.array([value for block in blocks for value in READERS[kind](block.tobytes())])
        found = gguf.dequantize(row, gguf.GGMLQuantizationType[kind])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
        assert 1e-4 < np.abs(expected).max() < 100


@pytest.mark.parametrize("name", NAMES)
def test_norms_and_embeddings_have_sensible_values(name: str) -> None:
    checkpoint = open_checkpoint(real_models.path(name))
    table = checkpoint.tensor("embed.weight", torch.float32)
    assert table.shape == (checkpoint.spec.vocab_size, checkpoint.spec.hidden_size)
    assert 0.001 < float(table.std()) < 1 and bool(table.isfinite().all())
    for layer in (0, checkpoint.spec.num_layers - 1):
        norm = checkpoint.tensor(f"layers.{layer}.attn_norm.weight", torch.float32)
        assert bool(norm.isfinite().all()) and 0.001 < float(norm.abs().mean()) < 100


def test_llama_rows_move_and_no_others() -> None:
    path = real_models.path("smollm2-135m-instruct")
    checkpoint, header = GgufCheckpoint(path), read_header(path)
    for short, heads in (("q", 9), ("k", 3)):
        stored = header.bytes_of(header.tensors[f"blk.4.attn_{short}.weight"])
        packed = checkpoint.packed(f"layers.4.attn.{short}.weight")
        assert packed is not None
        for head in range(heads):
            rows = stored[head * 64 : head * 64 + 64]
            assert np.array_equal(packed.data[head * 64 : head * 64 + 64], np.concatenate([rows[0::2], rows[1::2]]))
    values = checkpoint.packed("layers.4.attn.v.weight")
    assert values is not None
    assert np.array_equal(values.data, header.bytes_of(header.tensors["blk.4.attn_v.weight"]))
