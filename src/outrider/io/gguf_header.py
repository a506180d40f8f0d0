"""The head of a GGUF file, read lazily from a memory map: metadata, arrays and where each tensor lies.

    magic "GGUF" | version | tensor count | entry count | entries … | tensor infos … | padding | tensor data …

Arrays (a vocabulary has some 150,000 strings and as many merges) are walked over, not decoded; nothing is allocated
on the word of a count before the file is known to be long enough for it. Imports neither torch nor `gguf`.

Source: the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from outrider.errors import CheckpointError
from outrider.io.fields import MAX_SIZE, Fields
from outrider.io.gguf_types import ARRAY, SCALAR_FORMATS, STRING, TensorType, tensor_type

_U64 = struct.Struct("<Q")
_MIN_ENTRY_BYTES = 8 + 4 + 1  # key length, value type, shortest value
_MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8  # name length, number of axes, one axis, type, offset
_MAX_AXES = 4


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """Where a tensor lies. `shape` is outermost axis first ([out, in]), `start` counts from the file's first byte."""

    name: str
    type: TensorType
    shape: tuple[int, ...]
    start: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class GgufArray:
    """An array of the metadata, decoded on demand. `starts` has each string's position (of its length word)."""

    where: str
    buffer: mmap.mmap
    item_type: int
    count: int
    start: int
    end: int
    starts: npt.NDArray[np.uint64]

    @property
    def holds_text(self) -> bool:
        return self.item_type == STRING

    def texts(self) -> list[str]:
        """All strings. Raises: CheckpointError where the array holds numbers or text that is not UTF-8."""
        if not self.holds_text:
            raise CheckpointError(f"{self.where} must be a list of strings")
        ends = [*self.starts[1:].tolist(), self.end] if self.count else []
        block = self.buffer[self.start : self.end]
        spans = zip(self.starts.tolist(), ends, strict=True)
        try:
            return [block[first - self.start + 8 : last - self.start].decode() for first, last in spans]
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{self.where} holds a string that is not UTF-8") from error

    def numbers(self) -> npt.NDArray[np.generic]:
        """A read-only view of all numbers. Raises: CheckpointError where the array holds strings."""
        if self.holds_text:
            raise CheckpointError(f"{self.where} must be a list of numbers")
        dtype = np.dtype(SCALAR_FORMATS[self.item_type])
        return np.frombuffer(self.buffer, dtype, count=self.count, offset=self.start)

    def index(self, text: str) -> int | None:
        """The first index of a string, without decoding the others."""
        if not self.holds_text:
            return None
        word = text.encode()
        pattern = _U64.pack(len(word)) + word
        at = self.buffer.find(pattern, self.start, self.end)
        while at >= 0:
            index = int(np.searchsorted(self.starts, at))
            if index < self.count and int(self.starts[index]) == at:
                return index
            at = self.buffer.find(pattern, at + 1, self.end)  # the bytes lay inside another string
        return None


@dataclass(frozen=True, slots=True)
class GgufHeader:
    path: Path
    buffer: mmap.mmap
    fields: Fields  # scalars only; 32-bit floats as the shortest decimal that reads back as the same float
    arrays: Mapping[str, GgufArray]
    tensors: Mapping[str, GgufTensor]

    def bytes_of(self, tensor: GgufTensor) -> npt.NDArray[np.uint8]:
        """The tensor's raw bytes, memory-mapped and read-only.

        Shapes: [rows, bytes of a row]
        """
        data = np.frombuffer(self.buffer, np.uint8, count=tensor.num_bytes, offset=tensor.start)
        return data.reshape(-1, tensor.type.row_bytes(tensor.shape[-1]))


class _Cursor:
    """A reading position that never leaves the file."""

    def __init__(self, path: Path, buffer: mmap.mmap) -> None:
        self.path, self.buffer, self.at, self.size = path, buffer, 0, len(buffer)

    def take(self, num_bytes: int) -> int:
        """Step over `num_bytes` and return where they began."""
        first = self.at
        if num_bytes > self.size - first:
            raise CheckpointError(
                f"{self.path}: truncated or damaged: the header asks for {num_bytes} bytes at {first}, "
                f"the file has {self.size}; fetch it again"
            )
        self.at = first + num_bytes
        return first

    def u32(self) -> int:
        return int.from_bytes(self.buffer[self.take(4) : self.at], "little")

    def u64(self) -> int:
        return int.from_bytes(self.buffer[self.take(8) : self.at], "little")

    def count(self, what: str, min_bytes: int) -> int:
        """A number of things, believed only if the rest of the file could hold that many."""
        value = self.u64()
        if value > (self.size - self.at) // min_bytes:
            raise CheckpointError(
                f"{self.path}: truncated or damaged: {value} {what} cannot fit in {self.size} bytes; fetch it again"
            )
        return value

    def text(self, what: str) -> str:
        try:
            return self.buffer[self.take(self.u64()) : self.at].decode()
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{self.path}: damaged: {what} is not UTF-8") from error

    def scalar(self, value_type: int, key: str) -> object:
        if value_type == STRING:
            return self.text(f"the value of '{key}'")
        form = struct.Struct(self._format(value_type, key))
        (value,) = form.unpack_from(self.buffer, self.take(form.size))
        if form.format == "<f":
            return float(str(np.float32(value)))
        return value

    def array(self, key: str) -> GgufArray:
        item_type = self.u32()
        starts = np.empty(0, np.uint64)
        if item_type == STRING:
            count = self.count(f"strings in '{key}'", 8)
            first = self.at
            starts = self._walk_strings(count)
        else:
            item_bytes = struct.calcsize(self._format(item_type, key))
            count = self.count(f"items in '{key}'", item_bytes)
            first = self.take(count * item_bytes)
        return GgufArray(f"{self.path}: '{key}'", self.buffer, item_type, count, first, self.at, starts)

    def _walk_strings(self, count: int) -> npt.NDArray[np.uint64]:
        starts = np.empty(count, np.uint64)
        at, last, unpack, buffer = self.at, self.size - 8, _U64.unpack_from, self.buffer
        for index in range(count):
            if at > last:
                self.take(at + 8 - self.at)  # raises: the length word lies beyond the end
            starts[index] = at
            at += 8 + unpack(buffer, at)[0]
        self.take(at - self.at)
        return starts

    def _format(self, value_type: int, key: str) -> str:
        if value_type not in SCALAR_FORMATS:
            raise CheckpointError(f"{self.path}: damaged or too new: '{key}' has the unknown value type {value_type}")
        return SCALAR_FORMATS[value_type]


def read_header(path: Path) -> GgufHeader:
    """Raises: CheckpointError where the file is no GGUF, truncated, damaged or of a type we cannot read."""
    cursor = _Cursor(path, _map(path))
    _check_magic(cursor)
    num_tensors = cursor.count("tensors", _MIN_TENSOR_BYTES)
    num_entries = cursor.count("metadata entries", _MIN_ENTRY_BYTES)
    scalars: dict[str, object] = {}
    arrays: dict[str, GgufArray] = {}
    for _ in range(num_entries):
        key = cursor.text("a key")
        value_type = cursor.u32()
        if value_type == ARRAY:
            arrays[key] = cursor.array(key)
        else:
            scalars[key] = cursor.scalar(value_type, key)
    fields = Fields(str(path), scalars)
    if fields.integer("split.count", 0) > 1:
        raise CheckpointError(f"{path}: one part of a split file; join the parts with llama-gguf-split --merge first")
    tensors = _read_tensors(cursor, num_tensors, fields.integer("general.alignment", 32, low=1, high=2**20))
    return GgufHeader(path, cursor.buffer, fields, arrays, tensors)


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:  # an empty file cannot be mapped
        raise CheckpointError(f"{path}: the file is empty; fetch it again") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error


def _check_magic(cursor: _Cursor) -> None:
    magic = cursor.buffer[:4]
    if magic != b"GGUF":
        raise CheckpointError(f"{cursor.path}: not a GGUF file (it begins with {magic!r}, expected b'GGUF')")
    cursor.take(4)
    version = cursor.u32()
    if version in (2 << 24, 3 << 24):
        raise CheckpointError(f"{cursor.path}: a big-endian GGUF file; only little-endian files are supported")
    if version not in (2, 3):
        raise CheckpointError(f"{cursor.path}: GGUF version {version} is not supported; supported: 2, 3")


def _read_tensors(cursor: _Cursor, num_tensors: int, alignment: int) -> dict[str, GgufTensor]:
    tensors: dict[str, GgufTensor] = {}
    for _ in range(num_tensors):
        tensor = _read_tensor(cursor)
        if tensor.name in tensors:
            raise CheckpointError(f"{cursor.path}: damaged: the tensor '{tensor.name}' is listed twice")
        if tensor.start % alignment:
            raise CheckpointError(f"{cursor.path}: damaged: the tensor '{tensor.name}' is not aligned to {alignment}")
        tensors[tensor.name] = tensor
    data_start = -(-cursor.at // alignment) * alignment
    return {name: _placed(tensor, data_start, cursor) for name, tensor in tensors.items()}


def _read_tensor(cursor: _Cursor) -> GgufTensor:
    """One tensor info; its `start` still counts from where the data begins."""
    name = cursor.text("a tensor's name")
    num_axes = cursor.u32()
    if not 1 <= num_axes <= _MAX_AXES:
        raise CheckpointError(f"{cursor.path}: damaged: the tensor '{name}' has {num_axes} axes, expected 1 to 4")
    shape = tuple(cursor.u64() for _ in range(num_axes))[::-1]
    if not all(1 <= size <= MAX_SIZE for size in shape):
        raise CheckpointError(f"{cursor.path}: damaged: the tensor '{name}' has the shape {list(shape)}")
    kind = tensor_type(cursor.u32(), f"{cursor.path}: the tensor '{name}'")
    if shape[-1] % kind.block_size:
        raise CheckpointError(
            f"{cursor.path}: damaged: rows of the tensor '{name}' have {shape[-1]} values, "
            f"{kind.name} needs a multiple of {kind.block_size}"
        )
    num_rows = 1
    for size in shape[:-1]:
        num_rows *= size
    return GgufTensor(name, kind, shape, cursor.u64(), num_rows * kind.row_bytes(shape[-1]))


def _placed(tensor: GgufTensor, data_start: int, cursor: _Cursor) -> GgufTensor:
    start = data_start + tensor.start
    if start + tensor.num_bytes > cursor.size:
        raise CheckpointError(
            f"{cursor.path}: truncated: the tensor '{tensor.name}' ends at byte {start + tensor.num_bytes}, "
            f"the file has {cursor.size}; fetch it again"
        )
    return GgufTensor(tensor.name, tensor.type, tensor.shape, start, tensor.num_bytes)
