"""Weights in the kernels' own layout: packing them on load, reading rows back, and single products."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from outrider.errors import CheckpointError, NativeLibraryError
from outrider.ops.native.arena import Arena
from outrider.ops.native.library import Library

TILE_ROWS = 16
INPUT_STEP = 32  # a packed matrix has a multiple of so many inputs
MAX_HEAD_SIZE = 512  # of csrc/kernels/table.h
RANGES_PER_THREAD = 8  # so that a thread that was interrupted does not hold up the end


class Kind(IntEnum):
    """How a packed matrix keeps its values; the numbers of csrc/matrix.h."""

    NIBBLE_HALF = 0
    NIBBLE_HALF_AFFINE = 1
    NIBBLE_TWO_LEVEL = 2
    FIVE_HALF = 3
    FIVE_HALF_AFFINE = 4
    FIVE_TWO_LEVEL = 5
    SIX_TWO_LEVEL = 6
    BYTE_HALF = 7
    THREE_TWO_LEVEL = 8
    TWO_TWO_LEVEL = 9
    BFLOAT = 10
    HALF = 11
    FLOAT = 12

    @property
    def quantised(self) -> bool:
        return self < Kind.BFLOAT


@dataclass(frozen=True, slots=True)
class SourceType:
    """A format of rows in files: ggml's number for it, and the kind that holds its values exactly."""

    number: int
    kind: Kind


SOURCE_TYPES = {
    "F32": SourceType(0, Kind.FLOAT),
    "F16": SourceType(1, Kind.HALF),
    "BF16": SourceType(30, Kind.BFLOAT),
    "Q4_0": SourceType(2, Kind.NIBBLE_HALF),
    "Q4_1": SourceType(3, Kind.NIBBLE_HALF_AFFINE),
    "Q5_0": SourceType(6, Kind.FIVE_HALF),
    "Q5_1": SourceType(7, Kind.FIVE_HALF_AFFINE),
    "Q8_0": SourceType(8, Kind.BYTE_HALF),
    "Q2_K": SourceType(10, Kind.TWO_TWO_LEVEL),
    "Q3_K": SourceType(11, Kind.THREE_TWO_LEVEL),
    "Q4_K": SourceType(12, Kind.NIBBLE_TWO_LEVEL),
    "Q5_K": SourceType(13, Kind.FIVE_TWO_LEVEL),
    "Q6_K": SourceType(14, Kind.SIX_TWO_LEVEL),
}
ROUNDED = {"q8": Kind.BYTE_HALF, "q4": Kind.NIBBLE_TWO_LEVEL}  # what float rows can be rounded to
_FLOAT_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


@dataclass(frozen=True, slots=True)
class SourceRows:
    """Rows of a matrix as a file holds them.

    Shapes: `data` [rows, bytes of a row] uint8, rows contiguous in themselves; `inputs` values a row.
    """

    data: npt.NDArray[np.uint8]
    type: str
    inputs: int


@dataclass(frozen=True, slots=True)
class PackedMatrix:
    """Shapes: `data` is flat uint8, 64-byte aligned; csrc/formats/layout.h draws it."""

    kind: Kind
    rows: int
    inputs: int
    data: Tensor

    @property
    def address(self) -> int:
        return self.data.data_ptr()

    def first(self, rows: int) -> PackedMatrix:
        """The first so many rows, in the same memory: tiles of equal size lie one behind the other."""
        assert 0 < rows <= self.rows, f"{rows} of {self.rows} rows"
        tile_bytes = len(self.data) // -(-self.rows // TILE_ROWS)
        return PackedMatrix(self.kind, rows, self.inputs, self.data[: tile_bytes * -(-rows // TILE_ROWS)])


@dataclass(frozen=True, slots=True)
class QuantisedInputs:
    """Activations as quantised matrices take them.

    Shapes: [blocks, rows, bytes of a block] uint8, contiguous; `InputBlock` of csrc/matrix.h says what a block holds.
    """

    blocks: Tensor

    def __len__(self) -> int:
        return self.blocks.shape[1]


@dataclass(frozen=True, slots=True)
class Addends:
    """What a product is added to, in this order. Shapes: bias [matrix rows], residual [rows, matrix rows]."""

    bias: Tensor | None = None
    residual: Tensor | None = None


def float_rows(weight: Tensor) -> SourceRows:
    """A contiguous float tensor [rows, inputs] as source rows; a view of its memory."""
    data = weight.contiguous().view(torch.uint8).numpy()
    return SourceRows(data, _FLOAT_NAMES[weight.dtype], weight.shape[1])


class MatrixFunctions:
    """csrc/api/linear.cpp. All of it releases the GIL."""

    def __init__(self, library: Library) -> None:
        self._arena = Arena()
        pointer, i32, i64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
        self._bytes = library.function("outrider_matrix_bytes", [i32, i32, i32], i64)
        self._pack = library.function("outrider_matrix_pack", [i32, i32, pointer, i64, *[i32] * 4, pointer])
        self._unpack = library.function("outrider_matrix_unpack",
                                        [i32, i32, i32, pointer, pointer, i32, ctypes.c_float, pointer])
        self._linear = library.function("outrider_linear",
                                        [pointer, i32, i32, i32, pointer, i32, *[pointer] * 5, i64, i32, i32])

    def pack(self, source: SourceRows, kind: Kind | None = None, threads: int = 2) -> PackedMatrix:
        """The rows packed, exactly, or rounded to `kind` where they are floats and it is one of ROUNDED.

        Raises: CheckpointError if the number of inputs or the format cannot be packed.
        """
        if source.inputs % INPUT_STEP:
            raise CheckpointError(f"a matrix with rows of {source.inputs} values cannot be packed: a multiple of "
                                  f"{INPUT_STEP} is expected; use the reference ops for this model")
        if source.type not in SOURCE_TYPES:
            raise CheckpointError(f"rows of type {source.type} cannot be packed; use the reference ops for this model")
        wanted = SOURCE_TYPES[source.type].kind if kind is None else kind
        packed = self.empty(wanted, len(source.data), source.inputs)
        pieces = ranges(-(-packed.rows // TILE_ROWS), threads * RANGES_PER_THREAD)
        with ThreadPoolExecutor(threads) as pool:
            for code in pool.map(lambda tiles: self._pack_tiles(source, packed, tiles), pieces):
                check(code, f"cannot pack rows of type {source.type} as {wanted.name}")
        return packed

    def empty(self, kind: Kind, rows: int, inputs: int) -> PackedMatrix:
        """Room for a matrix, nothing written."""
        num_bytes = self._bytes(kind, rows, inputs)
        check(num_bytes, f"{rows} rows of {inputs} values cannot be packed")
        return PackedMatrix(kind, rows, inputs, self._arena.take(num_bytes))

    def _pack_tiles(self, source: SourceRows, packed: PackedMatrix, tiles: range) -> int:
        return self._pack(SOURCE_TYPES[source.type].number, packed.kind, source.data.ctypes.data,
                          source.data.strides[0], packed.rows, packed.inputs, tiles.start, tiles.stop, packed.address)

    def unpack(self, matrix: PackedMatrix, row: Tensor, scale: float = 1.0) -> Tensor:
        """Rows as float32, times `scale`. Shapes: row [n] int64; returns [n, inputs]."""
        y = torch.empty(len(row), matrix.inputs, dtype=torch.float32, device="cpu")
        code = self._unpack(matrix.kind, matrix.rows, matrix.inputs, matrix.address, row.contiguous().data_ptr(),
                            len(row), scale, y.data_ptr())
        check(code, f"rows outside 0 … {matrix.rows - 1}")
        return y

    def linear(self, kernels: int, matrix: PackedMatrix, x: QuantisedInputs | Tensor,
               addends: Addends = Addends()) -> Tensor:
        """x @ matrix.T on the calling thread. Shapes: x [n, inputs], float32 or quantised as the matrix is."""
        y = torch.empty(len(x), matrix.rows, dtype=torch.float32, device="cpu")
        self.linear_into(kernels, matrix, x, y, addends, range(-(-matrix.rows // TILE_ROWS)))
        return y

    def linear_into(self, kernels: int, matrix: PackedMatrix, x: QuantisedInputs | Tensor, y: Tensor,
                    addends: Addends, tiles: range) -> None:
        """Only the outputs of some tiles; y [n, matrix rows], its rows contiguous in themselves."""
        inputs = [x.blocks.data_ptr(), None] if isinstance(x, QuantisedInputs) else [None, x.data_ptr()]
        extra = [None if one is None else one.data_ptr() for one in (addends.bias, addends.residual)]
        code = self._linear(kernels, matrix.kind, matrix.rows, matrix.inputs, matrix.address, len(x), *inputs, *extra,
                            y.data_ptr(), y.stride(0), tiles.start, tiles.stop)
        check(code, "a product of shapes that do not fit")


def check(code: int, what: str) -> None:
    if code < 0:
        raise NativeLibraryError(f"{what} (native error {code})")


def ranges(count: int, parts: int) -> list[range]:
    """0 … count in at most `parts` ranges of nearly equal length."""
    edges = sorted({count * part // parts for part in range(parts + 1)})
    return [range(first, last) for first, last in pairwise(edges)]
