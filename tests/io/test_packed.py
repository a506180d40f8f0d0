"""Dequantising against a second reading of the format, one value at a time."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch

from outrider.io.gguf_types import TENSOR_TYPES, TensorType
from outrider.io.packed import PackedTensor, unpack
from scalar_blocks import HALVES, READERS

TYPES = {kind.name: kind for kind in TENSOR_TYPES.values()}


def random_blocks(kind: TensorType, rows: int, blocks: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    data = rng.integers(0, 256, (rows, blocks, kind.block_bytes), dtype=np.uint8)
    for at in HALVES[kind.name]:
        numbers = rng.normal(scale=0.1, size=(rows, blocks, 1)).astype(np.float16)
        data[:, :, at : at + 2] = numbers.view(np.uint8)
    return data.reshape(rows, -1)


def scalar_reading(data: np.ndarray, kind: TensorType) -> np.ndarray:
    blocks = data.reshape(data.shape[0], -1, kind.block_bytes)
    return np.array([[v for block in row for v in READERS[kind.name](block.tobytes())] for row in blocks])


@pytest.mark.supports("formats", "GGUF {name}", "read", "random")
@pytest.mark.parametrize("name", READERS)
def test_every_quantised_type_reads_as_the_format_defines_it(name: str) -> None:
    kind = TYPES[name]
    data = random_blocks(kind, rows=3, blocks=2)
    expected = scalar_reading(data, kind)
    found = unpack(PackedTensor(data, kind, expected.shape), torch.float32)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected).max() > 0.1


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_quantised_values_come_back_near_the_originals(name: str) -> None:
    values = np.random.default_rng(3).normal(size=(4, 64)).astype(np.float32)
    data = gguf.quantize(values, gguf.GGMLQuantizationType[name])
    found = unpack(PackedTensor(data, TYPES[name], values.shape), torch.float32)
    step = np.abs(values).max() / (8 if "4" in name else 16 if "5" in name else 127)
    assert np.abs(found.numpy() - values).max() <= step * 1.01


@pytest.mark.supports("formats", "GGUF {name}", "read", "random")
@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_plain_types_are_exact(name: str) -> None:
    dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[name]
    values = torch.randn(3, 10, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = unpack(PackedTensor(values.view(torch.uint8).numpy(), TYPES[name], (3, 10)), torch.float32)
    assert torch.equal(found, values.float())


def test_large_tensors_are_decoded_in_chunks_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = TYPES["Q4_K"]
    packed = PackedTensor(random_blocks(kind, rows=40, blocks=1), kind, (40, 256))
    whole = unpack(packed, torch.float32)
    monkeypatch.setattr("outrider.io.packed._CHUNK_VALUES", 256 * 7)
    assert torch.equal(unpack(packed, torch.float32), whole)


def test_results_may_be_written_though_the_file_may_not() -> None:
    data = np.zeros((1, 16), np.uint8)
    data.flags.writeable = False
    found = unpack(PackedTensor(data, TYPES["F32"], (4,)), torch.float32)
    found += 1
    assert found.tolist() == [1, 1, 1, 1] and not data.any()
