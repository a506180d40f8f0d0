"""The row kernels and attention of the native library as functions over numpy arrays, for tests."""

from __future__ import annotations

import ctypes
from ctypes import Structure, c_float, c_int32, c_int64, c_void_p
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from outrider.ops.native.library import Library, load
from quantised_rows import INPUT_BLOCK

Array = NDArray[np.generic]
Floats = NDArray[np.float32]


class Pages(Structure):
    _fields_ = [("key", c_void_p), ("value", c_void_p)]


class Span(Structure):
    _fields_ = [("begin", c_int32), ("count", c_int32), ("length", c_int32), ("done", c_int32),
                ("first", c_int32), ("slot", c_void_p), ("parent", c_void_p)]


class Attention(Structure):
    _fields_ = [("q", c_void_p), ("pages", Pages), ("out", c_void_p), ("heads", c_int32), ("groups", c_int32),
                ("head_size", c_int32), ("scale", c_float), ("softcap", c_float), ("window", c_int32),
                ("both_ways", c_int32)]


class Rotation(Structure):
    _fields_ = [("q", c_void_p), ("k", c_void_p), ("v", c_void_p), ("cos", c_void_p), ("sin", c_void_p),
                ("position", c_void_p), ("slot", c_void_p), ("pages", Pages), ("heads", c_int32),
                ("groups", c_int32), ("head_size", c_int32)]


def native_library() -> Library:
    """Skips the tests of the module that asks, where no native library was built."""
    found = load()
    if found is None:
        pytest.skip("no native library was built here", allow_module_level=True)
    return found


def pointer(array: Array) -> int:
    assert array.flags.c_contiguous
    return array.ctypes.data


@dataclass(frozen=True, slots=True)
class RowKernels:
    """One kernel set. Arrays come and go as they are: float32, contiguous, aligned or not."""

    library: Library
    name: str
    handle: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "handle", self.library.kernels(self.name))

    def call(self, name: str, *arguments: int | float, types: list[type]) -> None:
        code = self.library.function(f"outrider_{name}", [c_void_p, *types])(self.handle, *arguments)
        assert code == 0

    def quantise(self, x: Floats) -> Array:
        """Shapes: returns [blocks, rows] of INPUT_BLOCK; what the last block has no inputs for is zero."""
        rows, inputs = x.shape
        out = np.zeros((-(-inputs // 256), rows), INPUT_BLOCK)
        self.call("quantise", pointer(x), rows, inputs, pointer(out), types=[c_void_p, c_int32, c_int32, c_void_p])
        return out

    def norm(self, x: Floats, weight: Floats, eps: float, y: Floats) -> Floats:
        """x [rows, groups, size]; y may be x."""
        self.call("norm", pointer(x), *x.shape, pointer(weight), eps, pointer(y),
                  types=[c_void_p, c_int32, c_int32, c_int32, c_void_p, c_float, c_void_p])
        return y

    def gate(self, gate: Floats, up: Floats, activation: int) -> Floats:
        y = np.empty_like(gate)
        self.call("gate", pointer(gate), pointer(up), *gate.shape, activation, pointer(y),
                  types=[c_void_p, c_void_p, c_int32, c_int32, c_int32, c_void_p])
        return y

    def add(self, a: Floats, b: Floats) -> Floats:
        y = np.empty_like(a)
        self.call("add", pointer(a), pointer(b), a.size, pointer(y), types=[c_void_p, c_void_p, c_int64, c_void_p])
        return y

    def softcap(self, x: Floats, cap: float) -> Floats:
        y = x.copy()
        self.call("softcap", pointer(y), y.size, cap, types=[c_void_p, c_int64, c_float])
        return y

    def rotate(self, call: Rotation, begin: int, end: int) -> None:
        self.call("rotate", ctypes.addressof(call), begin, end, types=[c_void_p, c_int32, c_int32])

    def attend(self, call: Attention, span: Span, group: int, begin: int, end: int) -> None:
        """Scratch is full of NaN, so that reading before writing shows."""
        asked = self.library.function("outrider_attention_scratch", [c_void_p, c_void_p, c_void_p], c_int64)
        scratch = np.full(asked(self.handle, ctypes.addressof(call), ctypes.addressof(span)) + 16, np.nan, np.float32)
        scratch[-16:] = 7
        self.call("attend", ctypes.addressof(call), ctypes.addressof(span), group, begin, end, pointer(scratch),
                  types=[c_void_p, c_void_p, c_int32, c_int32, c_int32, c_void_p])
        assert (scratch[-16:] == 7).all()


def all_sets() -> list[RowKernels]:
    library = native_library()
    return [RowKernels(library, name) for name in library.names()]


def same_bits(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def misaligned(x: Floats) -> Floats:
    """The same values, four bytes off a cache line."""
    room = np.empty(x.size + 17, np.float32)
    begin = (-room.ctypes.data % 64) // 4 + 1
    copy = room[begin:begin + x.size].reshape(x.shape)
    copy[...] = x
    return copy
