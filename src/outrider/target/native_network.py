"""Networks of drafters on the kernels: each pass recorded when first asked for, weights packed at once."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from outrider.cache.payload import Store
from outrider.core.spec import ModelSpec
from outrider.core.step import LayerPages, Step
from outrider.errors import ConfigError
from outrider.nn.network import Description, Outputs
from outrider.ops.interface import Pass, RopeTables
from outrider.ops.native.library import Library
from outrider.ops.native.matrix import INPUT_STEP, ROUNDED, Kind, MatrixFunctions, PackedMatrix, float_rows
from outrider.ops.native.program import Buffers, PageTable, Pool, Program
from outrider.ops.native.recorder import Outside, Recorder, Recording, Weights
from outrider.ops.rope import GrowingRope
from outrider.target.network import BORROWED


class NativeNetwork:
    """See `network.Network`. Shares the target's threads and takes turns with its passes."""

    def __init__(self, library: Library, pool: Pool, describe: Description, weights: Weights, spec: ModelSpec,
                 positions: int) -> None:
        self._library, self._pool, self._kernels = library, pool, library.kernels()
        self._recorder, self._weights = Recorder(), weights
        with torch.device("meta"):
            self._module: nn.Module = describe(self._recorder)
        self._recorder.bind(dict(self._module.named_parameters()), weights)
        full = GrowingRope(spec.rope, spec.head_size, positions)
        local = full if spec.local_rope is None else GrowingRope(spec.local_rope, spec.head_size, positions)
        self._growing, self._ropes = (full, local), RopeTables(full.table, local.table)
        self._recording = threading.Lock()
        self._programs: dict[str, tuple[Program, Recording]] = {}
        self._pages: weakref.WeakKeyDictionary[Store[Any], PageTable] = weakref.WeakKeyDictionary()

    @property
    def read_bytes(self) -> int:
        matrices = (matrix.data for name, matrix in self._weights.matrices.items() if name != "embed.weight")
        return sum(data.nbytes for data in (*matrices, *self._weights.vectors.values()))

    @torch.inference_mode()
    def run(self, name: str, step: Step, store: Store[LayerPages] | None, input_TF: Tensor | None = None) -> Outputs:
        program, recording = self._program(name, 0 if input_TF is None else input_TF.shape[1])
        for rope in self._growing:
            rope.reach(int(step.position_T.max()) + 1 if len(step.position_T) else 0)
        buffers = {} if input_TF is None else {Outside.INPUT: input_TF.float().contiguous()}
        outputs: dict[Outside, Tensor] = {}
        for outside, value in recording.outputs.items():
            rows = len(step.logit_row_R) if value.picked else len(step.token_T)
            outputs[outside] = torch.empty(rows, value.width, dtype=torch.float32)
        program.run(self._kernels, self._pool, step, self._table(store), self._ropes, Buffers(buffers | outputs))
        return Outputs(outputs.get(Outside.LOGITS), outputs.get(Outside.FEATURES))

    def _program(self, name: str, num_in: int) -> tuple[Program, Recording]:
        with self._recording:
            if name not in self._programs:
                fed = self._recorder.outside(Outside.INPUT, num_in, picked=False) if num_in else None
                found: Outputs = getattr(self._module, name)(Pass(self._recorder.step, (), self._ropes), fed)
                given = {Outside.LOGITS: found.logits_RV, Outside.FEATURES: found.hidden_RD}
                recording = self._recorder.finish({outside: x for outside, x in given.items() if x is not None})
                self._programs[name] = Program(self._library, recording), recording
            return self._programs[name]

    def _table(self, store: Store[LayerPages] | None) -> PageTable | None:
        if store is None:
            return None
        if store not in self._pages:
            self._pages[store] = PageTable(store.layers)
        return self._pages[store]


def pack_network(library: Library, weights: Mapping[str, Tensor], target: Weights, rounding: str) -> Weights:
    """Weights of a network: vectors in float32, matrices packed, the target's where they are borrowed.

    Raises: ConfigError for sizes or a rounding that the kernels cannot do.
    """
    kind = None
    if rounding:
        if rounding not in ROUNDED:
            raise ConfigError(f"unknown weights '{rounding}'; known: {', '.join(ROUNDED)}")
        kind = ROUNDED[rounding]
    functions = MatrixFunctions(library)
    matrices = {name: target.matrices["embed.weight" if name not in target.matrices else name]
                for name in BORROWED if name not in weights}
    vectors = {}
    for name, value in weights.items():
        if value.ndim == 2:
            matrices[name] = _packed(functions, name, value, kind)
        else:
            vectors[name] = value.float().contiguous()
    return Weights(matrices, vectors)


def _packed(functions: MatrixFunctions, name: str, value: Tensor, kind: Kind | None) -> PackedMatrix:
    if value.shape[1] % INPUT_STEP:
        raise ConfigError(f"the drafter's '{name}' has {value.shape[1]} inputs, the kernels take multiples of "
                          f"{INPUT_STEP}: load the target with --ops reference")
    return functions.pack(float_rows(value.float() if kind else value), kind)
