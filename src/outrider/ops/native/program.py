"""Recorded models and the threads that run them: the Python face of csrc/runtime."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from outrider.core.step import LayerPages, Span, Step
from outrider.errors import ConfigError, NativeLibraryError
from outrider.ops.interface import RopeTables
from outrider.ops.native.library import Library
from outrider.ops.native.matrix import PackedMatrix
from outrider.ops.native.recorder import Instruction, Outside, Recording

_I32, _PTR = ctypes.c_int32, ctypes.c_void_p
_UNKNOWN_TOKEN = -2
_NUM_SIZES = 6


class _Matrix(ctypes.Structure):
    _fields_ = (("kind", _I32), ("rows", _I32), ("inputs", _I32), ("data", _PTR))


class _Value(ctypes.Structure):
    _fields_ = (("place", _I32), ("slot", _I32), ("width", _I32), ("picked", _I32))


class _Instruction(ctypes.Structure):
    _fields_ = (("code", _I32), ("out", _I32), ("inputs", _I32 * 3), ("sizes", _I32 * _NUM_SIZES),
                ("numbers", ctypes.c_float * 2), ("data", _PTR * 2))


class _Span(ctypes.Structure):
    _fields_ = (("begin", _I32), ("count", _I32), ("length", _I32), ("done", _I32), ("first", _I32), ("slot", _PTR),
                ("parent", _PTR))


class _Pages(ctypes.Structure):
    _fields_ = (("key", _PTR), ("value", _PTR))


class _Run(ctypes.Structure):
    _fields_ = (("rows", _I32), ("picked", _I32), ("spans", _I32), ("token", _PTR), ("position", _PTR),
                ("slot", _PTR), ("pick", _PTR), ("previous", _PTR), ("place", _PTR), ("span", _PTR), ("pages", _PTR),
                ("cos", _PTR * 2), ("sin", _PTR * 2), ("outside", _PTR * 3), ("refined", _PTR))


class Pool:
    """Threads that share the work of a pass, the caller's among them. Idle ones sleep.

    A forked process inherits no threads and gets its own when it first asks.
    """

    def __init__(self, library: Library, threads: int) -> None:
        """Raises: ConfigError for no threads at all; NativeLibraryError where the system has no more of them."""
        if threads < 1:
            raise ConfigError(f"threads {threads}: expected 1 or more")
        self.threads = threads
        self._create = library.function("outrider_pool_create", [_I32], _PTR)
        self._destroy = library.function("outrider_pool_destroy", [_PTR], None)
        self._start()

    @property
    def handle(self) -> int:
        if self._process != os.getpid():
            self._start()
        return self._handle

    def _start(self) -> None:
        self._process, self._handle = os.getpid(), self._create(self.threads)
        if not self._handle:
            raise NativeLibraryError(f"cannot start {self.threads} threads; ask for fewer with --threads")
        # At exit a pass may still be under way in a daemon thread: the system cleans up better than we.
        weakref.finalize(self, _destroy_own, self._destroy, self._handle, self._process).atexit = False


class PageTable:
    """Where the layers of one cache lie, written down once; keeps their tensors alive."""

    def __init__(self, layers: Sequence[LayerPages]) -> None:
        self._layers = tuple(layers)
        places = [_Pages(layer.key_PGKL.data_ptr(), layer.value_PGLK.data_ptr()) for layer in layers]
        self._array = (_Pages * len(places))(*places)

    @property
    def address(self) -> int:
        return ctypes.addressof(self._array)


@dataclass(frozen=True, slots=True)
class Buffers:
    """What a program reads from and writes to its caller; float32, contiguous."""

    tensors: dict[Outside, Tensor] = field(default_factory=dict)


class Program:
    """A recording, ready to run."""

    def __init__(self, library: Library, recording: Recording) -> None:
        """Raises: NativeLibraryError for a recording that does not fit together (a fault of ours)."""
        self._recording = recording  # keeps the weights alive
        self._matrices: dict[int, _Matrix] = {}
        values = [_Value(one.place, one.slot, one.width, int(one.picked)) for one in recording.values]
        instructions = [self._encoded(one) for one in recording.instructions]
        create = library.function("outrider_program_create", [_PTR, _I32, _PTR, _I32], _PTR)
        self._handle = create((_Instruction * len(instructions))(*instructions), len(instructions),
                              (_Value * len(values))(*values), len(values))
        if not self._handle:
            raise NativeLibraryError("a model was recorded that the kernels cannot run")
        destroy = library.function("outrider_program_destroy", [_PTR], None)
        weakref.finalize(self, destroy, self._handle).atexit = False
        self._run = library.function("outrider_program_run", [_PTR] * 4)

    def run(self, kernels: int, pool: Pool, step: Step, pages: PageTable | None, ropes: RopeTables | None,
            buffers: Buffers) -> int:
        """One pass over the rows of `step`; how many tiles of a screen were computed again, counted by rows.

        Raises: NativeLibraryError where memory runs out; IndexError for tokens or positions that are not there.
        """
        if ropes is not None:
            _check_positions(step, len(ropes.full.cos_PK))
        spans = [_span(span) for span in step.spans]
        parents = [(_I32 * len(span.parent_A))(*span.parent_A) for span in step.spans]
        for span, parent_A in zip(spans, parents, strict=True):
            span.parent = ctypes.addressof(parent_A)
        run = _Run(len(step.token_T), len(step.logit_row_R), len(spans))
        run.token, run.position, run.slot, run.pick, run.previous, run.place = (
            _address(x) for x in (step.token_T, step.position_T, step.slot_T, step.logit_row_R, step.previous_T,
                                  step.place_T))
        array = (_Span * len(spans))(*spans)
        run.span = ctypes.addressof(array)
        if pages is not None and ropes is not None:
            run.pages = pages.address
            run.cos[:] = [table.cos_PK.data_ptr() for table in (ropes.full, ropes.local)]
            run.sin[:] = [table.sin_PK.data_ptr() for table in (ropes.full, ropes.local)]
        for outside, tensor in buffers.tensors.items():
            run.outside[outside] = tensor.data_ptr()
        refined = ctypes.c_int64(0)
        run.refined = ctypes.addressof(refined)
        code = self._run(self._handle, kernels, pool.handle, ctypes.addressof(run))
        if code == _UNKNOWN_TOKEN:
            raise IndexError("a step has tokens outside the vocabulary")
        if code < 0:
            raise NativeLibraryError(f"out of memory in a pass over {len(step.token_T)} rows; take smaller chunks")
        return refined.value

    def _encoded(self, one: Instruction) -> _Instruction:
        encoded = _Instruction(one.code, one.out)
        encoded.inputs[:] = [*one.inputs, -1, -1, -1][:3]
        encoded.sizes[:] = [*one.sizes, *[0] * _NUM_SIZES][:_NUM_SIZES]
        encoded.numbers[:] = [*one.numbers, 0.0, 0.0][:2]
        encoded.data[:] = [*(self._address(item) for item in one.data), None, None][:2]
        return encoded

    def _address(self, item: PackedMatrix | Tensor | None) -> int | None:
        if item is None or isinstance(item, Tensor):
            return None if item is None else item.data_ptr()
        matrix = self._matrices.setdefault(id(item), _Matrix(item.kind, item.rows, item.inputs, item.address))
        return ctypes.addressof(matrix)


def _destroy_own(destroy: Callable[..., int], handle: int, process: int) -> None:
    if process == os.getpid():  # in a fork there are no such threads to wait for
        destroy(handle)


def _check_positions(step: Step, known: int) -> None:
    """The rope tables end somewhere, and kernels do not look. Raises: IndexError."""
    if max((span.length + len(span.parent_A) for span in step.spans), default=0) <= known:
        return  # as is every step but for trees at the very end
    if len(step.position_T) and int(step.position_T.max()) >= known:
        raise IndexError(f"a step has positions beyond the {known} that the target was made for")


def _span(span: Span) -> _Span:
    return _Span(span.begin, span.count, span.length, span.done, span.first, _address(span.slot_L), None)


def _address(tensor: Tensor) -> int:
    assert tensor.dtype == torch.int64 and tensor.is_contiguous(), "a step's tensors are contiguous int64"
    return tensor.data_ptr()
