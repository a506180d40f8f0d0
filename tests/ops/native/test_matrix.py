"""Packed matrices of every kind on every instruction set: exact rows, right products, the same bits in any company."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from torch import Tensor

from native_rows import native_library
from outrider.errors import CheckpointError, NativeLibraryError
from outrider.ops.native.matrix import (
    ROUNDED,
    SOURCE_TYPES,
    Addends,
    Kind,
    MatrixFunctions,
    PackedMatrix,
    QuantisedInputs,
    SourceRows,
    float_rows,
)
from quantised_rows import TYPES, dequantised, extreme_rows, quantised, random_rows, rounded, some_rows, with_sums

LIBRARY = native_library()
FUNCTIONS = MatrixFunctions(LIBRARY)
SETS = LIBRARY.names()
FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
INPUTS = {"K": (256, 768)}  # of the two-level formats, which come in blocks of 256


def sizes(name: str) -> tuple[int, ...]:
    return INPUTS.get(name[-1], (32, 64, 96, 288, 544))


def same_bits(left: Tensor, right: Tensor) -> bool:
    return torch.equal(left.contiguous().view(torch.int32), right.contiguous().view(torch.int32))


def packed(name: str, rows: int, inputs: int, seed: int = 0) -> PackedMatrix:
    if name in FLOATS:
        values = torch.randn(rows, inputs, generator=torch.Generator().manual_seed(seed))
        return FUNCTIONS.pack(float_rows(values.to(FLOATS[name])))
    return FUNCTIONS.pack(SourceRows(random_rows(name, rows, inputs, seed), name, inputs))


def activations(name: str, rows: int, inputs: int, seed: int = 1) -> QuantisedInputs | Tensor:
    x = torch.randn(rows, inputs, generator=torch.Generator().manual_seed(seed))
    return x if name in FLOATS else quantised(x)


def part(x: QuantisedInputs | Tensor, first: int, last: int) -> QuantisedInputs | Tensor:
    return x[first:last].clone() if isinstance(x, Tensor) else some_rows(x, first, last)


def product(matrix: PackedMatrix, x: QuantisedInputs | Tensor, isa: str = "portable") -> Tensor:
    return FUNCTIONS.linear(LIBRARY.kernels(isa), matrix, x)


def every_row(matrix: PackedMatrix) -> Tensor:
    return FUNCTIONS.unpack(matrix, torch.arange(matrix.rows))


# ---- packing --------------------------------------------------------------------------------------------------------


@pytest.mark.supports("formats", "GGUF {name}", "kernels, CPU", "random")
@pytest.mark.parametrize("name", TYPES)
def test_packing_loses_nothing(name: str) -> None:
    for rows, inputs in [(rows, inputs) for rows in (1, 16, 37) for inputs in sizes(name)]:
        data = random_rows(name, rows, inputs, seed=rows)
        matrix = FUNCTIONS.pack(SourceRows(data, name, inputs))
        assert matrix.kind is SOURCE_TYPES[name].kind
        assert torch.equal(every_row(matrix), dequantised(name, data))


@pytest.mark.supports("formats", "GGUF {name}", "kernels, CPU", "random")
@pytest.mark.supports("formats", "safetensors {name}", "kernels, CPU", "random")
@pytest.mark.parametrize(("name", "dtype"), FLOATS.items())
def test_floats_stay_as_they_are(name: str, dtype: torch.dtype) -> None:
    values = torch.randn(37, 96).to(dtype)
    assert torch.equal(every_row(FUNCTIONS.pack(float_rows(values))), values.float())


@pytest.mark.parametrize("name", TYPES)
def test_a_packed_matrix_is_as_large_as_in_the_file(name: str) -> None:
    data = random_rows(name, 64, 1536)
    matrix = FUNCTIONS.pack(SourceRows(data, name, 1536))
    assert matrix.data.numel() == data.size
    assert matrix.address % 64 == 0


def test_rows_of_a_larger_array_are_packed_in_place() -> None:
    data = random_rows("Q4_0", 40, 64)
    wide = np.full((40, data.shape[1] + 7), 255, np.uint8)
    wide[:, : data.shape[1]] = data
    strided = SourceRows(wide[3:, : data.shape[1]], "Q4_0", 64)
    assert torch.equal(every_row(FUNCTIONS.pack(strided)), dequantised("Q4_0", data[3:]))


def test_unpacked_rows_in_any_order_times_a_factor() -> None:
    data = random_rows("Q6_K", 40, 256)
    matrix = FUNCTIONS.pack(SourceRows(data, "Q6_K", 256))
    row = torch.tensor([39, 0, 17, 17])
    assert torch.equal(FUNCTIONS.unpack(matrix, row, 1.7), dequantised("Q6_K", data)[row] * 1.7)
    assert FUNCTIONS.unpack(matrix, row[:0]).shape == (0, 256)
    with pytest.raises(NativeLibraryError, match="rows outside 0 … 39"):
        FUNCTIONS.unpack(matrix, torch.tensor([40]))


@pytest.mark.parametrize("dtype", FLOATS.values())
def test_eight_bits_by_the_rule_of_q8_0(dtype: torch.dtype) -> None:
    values = torch.randn(20, 96).to(dtype)
    values[3, :32] = 0
    found = every_row(FUNCTIONS.pack(float_rows(values), ROUNDED["q8"]))
    q8_0 = gguf.quantize(values.float().numpy(), gguf.GGMLQuantizationType.Q8_0)
    assert torch.equal(found, dequantised("Q8_0", q8_0))


@pytest.mark.parametrize("inputs", [256, 288, 512, 896])
def test_four_bits_lose_less_than_five_by_largest_and_smallest(inputs: int) -> None:
    values = torch.randn(64, inputs, generator=torch.Generator().manual_seed(4))
    matrix = FUNCTIONS.pack(float_rows(values), ROUNDED["q4"])
    q4_1 = gguf.quantize(values.numpy(), gguf.GGMLQuantizationType.Q4_1)  # half scale and minimum per 32: 5 bits
    lost = (every_row(matrix) - values).square().mean()
    assert lost < 0.9 * (dequantised("Q4_1", q4_1) - values).square().mean()


@pytest.mark.parametrize("value", [0.0, 3.0, -3.0, 1e-30, 6e4])
def test_four_bits_of_constant_rows(value: float) -> None:
    found = every_row(FUNCTIONS.pack(float_rows(torch.full((16, 256), value)), ROUNDED["q4"]))
    torch.testing.assert_close(found, torch.full((16, 256), value), rtol=2e-3, atol=1e-7)


def test_what_cannot_be_packed_is_named() -> None:
    with pytest.raises(CheckpointError, match="rows of 40 values"):
        FUNCTIONS.pack(float_rows(torch.zeros(4, 40)))
    with pytest.raises(CheckpointError, match="type IQ4_XS"):
        FUNCTIONS.pack(SourceRows(np.zeros((4, 100), np.uint8), "IQ4_XS", 256))
    with pytest.raises(NativeLibraryError, match="cannot pack rows of type Q4_0 as BYTE_HALF"):
        FUNCTIONS.pack(SourceRows(random_rows("Q4_0", 4, 32), "Q4_0", 32), Kind.BYTE_HALF)


# ---- products -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TYPES, *FLOATS])
def test_product_against_float64(name: str) -> None:
    for inputs in sizes(name):
        matrix, x = packed(name, 37, inputs), activations(name, 5, inputs)
        terms = (x.double() if isinstance(x, Tensor) else rounded(x, inputs))[:, None] * every_row(matrix).double()
        allowed = 2e-7 * inputs**0.5 * terms.abs().sum(-1)
        assert bool(((product(matrix, x) - terms.sum(-1)).abs() <= allowed).all())


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("name", [*TYPES, *FLOATS])
def test_rows_have_the_same_bits_alone_together_and_on_every_set(name: str, isa: str) -> None:
    matrix, x = packed(name, 33, 768), activations(name, 67, 768)
    together = product(matrix, x)
    counts = [*range(1, 18), 31, 63, 64, 65, 67]
    for count in counts:
        first = 67 - count if count % 2 else 0
        assert same_bits(product(matrix, part(x, first, first + count), isa), together[first : first + count])


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("name", [*TYPES, *FLOATS])
def test_odd_shapes_on_every_set(name: str, isa: str) -> None:
    for rows, inputs in [(rows, inputs) for rows in (1, 15, 16, 17, 40) for inputs in sizes(name)]:
        matrix, x = packed(name, rows, inputs), activations(name, 3, inputs)
        assert same_bits(product(matrix, x, isa), product(matrix, x))
    assert product(packed(name, 20, 256), activations(name, 0, 256), isa).shape == (0, 20)


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("name", TYPES)
def test_extreme_codes_and_inputs_are_exact(name: str, isa: str) -> None:
    data = extreme_rows(name, 256)
    matrix = FUNCTIONS.pack(SourceRows(data, name, 256))
    signs = torch.tensor([1, -1]).repeat(128)
    q = torch.stack([torch.full((256,), 127), torch.full((256,), -127), 127 * signs, 0 * signs]).to(torch.int8)
    x = with_sums(q, torch.ones(4, 8))
    exact = q.double() @ dequantised(name, data).double().T  # integers below 2^24 or nearly: float32 holds them
    torch.testing.assert_close(product(matrix, x, isa).double(), exact, rtol=3e-7, atol=0)


@pytest.mark.parametrize("isa", SETS)
def test_bias_then_residual(isa: str) -> None:
    matrix, x = packed("Q4_K", 37, 256), activations("Q4_K", 5, 256)
    bias, residual = torch.randn(37), torch.randn(5, 37)
    plain, kernels = product(matrix, x), LIBRARY.kernels(isa)
    assert same_bits(FUNCTIONS.linear(kernels, matrix, x, Addends(bias)), plain + bias)
    assert same_bits(FUNCTIONS.linear(kernels, matrix, x, Addends(None, residual)), plain + residual)
    assert same_bits(FUNCTIONS.linear(kernels, matrix, x, Addends(bias, residual)), plain + bias + residual)


@pytest.mark.parametrize("isa", SETS)
def test_tiles_in_parts_into_wider_rows_in_place(isa: str) -> None:
    matrix, x = packed("Q6_K", 70, 256), activations("Q6_K", 9, 256)
    wide = torch.randn(9, 83)
    wanted = wide.clone()
    wanted[:, 5:75] = product(matrix, x) + wanted[:, 5:75]
    inner = wide[:, 5:75]
    for tiles in (range(3, 5), range(1), range(1, 3)):
        FUNCTIONS.linear_into(LIBRARY.kernels(isa), matrix, x, inner, Addends(None, inner), tiles)
    assert same_bits(wide, wanted)


def misaligned(x: Tensor, by: int) -> Tensor:
    """A copy whose memory begins `by` bytes after a multiple of 64."""
    memory = torch.empty(x.numel() * x.element_size() + 128, dtype=torch.uint8)
    begin = -memory.data_ptr() % 64 + by
    copy = memory[begin : begin + x.numel() * x.element_size()].numpy().view(x.numpy().dtype).reshape(x.shape)
    copy[...] = x.numpy()
    return torch.from_numpy(copy)


@pytest.mark.parametrize("isa", SETS)
def test_misaligned_inputs_and_outputs(isa: str) -> None:
    matrix, x = packed("Q5_0", 37, 288), quantised(torch.randn(5, 288))
    moved = QuantisedInputs(misaligned(x.blocks, 4))
    y = misaligned(torch.zeros(5, 37), 4)
    FUNCTIONS.linear_into(LIBRARY.kernels(isa), matrix, moved, y, Addends(), range(3))
    assert same_bits(y, product(matrix, x))


def test_what_nobody_owns_does_not_leak() -> None:
    """The padding of the last tile may hold anything: NaN there reaches no output."""
    matrix, x = packed("F32", 17, 32), torch.randn(2, 32)
    wanted = product(matrix, x)
    matrix.data.view(torch.float32)[16 * 32 :].reshape(32, 16)[:, 1:] = float("nan")
    assert same_bits(product(matrix, x), wanted)


@pytest.mark.parametrize("isa", SETS)
def test_a_tile_range_outside_the_matrix_is_refused(isa: str) -> None:
    matrix, x = packed("Q4_0", 20, 32), activations("Q4_0", 1, 32)
    with pytest.raises(NativeLibraryError, match="do not fit"):
        FUNCTIONS.linear_into(LIBRARY.kernels(isa), matrix, x, torch.empty(1, 20), Addends(), range(3))
