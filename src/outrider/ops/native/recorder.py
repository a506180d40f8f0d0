"""`Recorder`: the `Ops` that compute nothing and write down what is asked of them, as instructions for the kernels.

A model's Python description is run once over a recorder, on meta tensors that carry shapes alone. What comes out is a
`Recording`, which `program.Program` runs in one native call a pass:

    norm(x)   linear(·, q)   linear(·, k)  …   add(x, linear(·, o))
      │            │                                  │
    NORM      QUANTISE, LINEAR      LINEAR …      LINEAR that adds        what is written down
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import torch
from torch import Tensor

from outrider.core.spec import Activation
from outrider.core.step import Step
from outrider.ops.interface import AttentionShape, Pass
from outrider.ops.native.matrix import PackedMatrix

NONE = -1


class Code(IntEnum):
    """The instructions of csrc/runtime/program.h."""

    (EMBED, QUANTISE, LINEAR, GATED_LINEAR, SCREEN, PEAK, REFINE, NORM, GATE, ADD, PICK, PLACE, ROTATE, ATTEND,
     SOFTCAP, PREVIOUS, CONVOLVE) = range(17)


class Place(IntEnum):
    """Where a value's rows lie; OUTSIDE is a buffer that the caller gives."""

    FLOATS, QUANTISED, OUTSIDE = range(3)


class Outside(IntEnum):
    """The buffers a caller gives."""

    LOGITS, FEATURES, INPUT = range(3)


@dataclass(frozen=True, slots=True)
class Value:
    """Rows of one width: one for each packed row, or for each row that wants logits (`picked`)."""

    width: int
    picked: bool = False
    place: Place = Place.FLOATS
    slot: int = -1  # for OUTSIDE the buffer; otherwise given by `placed`


@dataclass(frozen=True, slots=True)
class Instruction:
    """One step; `out` and `inputs` are indices of values, -1 for none."""

    code: Code
    out: int
    inputs: tuple[int, ...]
    sizes: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()
    data: tuple[PackedMatrix | Tensor | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """What a run of the description came to."""

    instructions: tuple[Instruction, ...]
    values: tuple[Value, ...]
    outputs: Mapping[Outside, Value]


Rewrite = Callable[[Sequence[Instruction], list[Value]], list[Instruction]]  # may add values


@dataclass(frozen=True, slots=True)
class Weights:
    """What the parameters of a description stand for: float32 vectors (norms, biases) and packed matrices, by name."""

    matrices: Mapping[str, PackedMatrix]
    vectors: Mapping[str, Tensor]

    @property
    def num_bytes(self) -> int:
        """Of a matrix that is also there in part, once."""
        datas = sorted((matrix.data for matrix in self.matrices.values()), key=len)
        wholes = {data.data_ptr(): data for data in datas}
        return sum(data.nbytes for data in [*wholes.values(), *self.vectors.values()])

    def with_head(self, rows: int) -> Weights:
        """Beside the embedding a head of its own, which gives logits to the first ids alone."""
        head = self.matrices.get("head.weight", self.matrices["embed.weight"])
        return replace(self, matrices={**self.matrices, "head.weight": head.first(rows)})


@dataclass
class Recorder:
    """See `interface.Ops`. `names` tells which weight a parameter (by identity) of the description stands for.

    A description is to be run with `step`: it stands for whatever a pass will bring.
    """

    step: Step = field(default_factory=lambda: _blank_step())
    names: dict[int, str] = field(default_factory=dict)
    weights: Weights = field(default_factory=lambda: Weights({}, {}))
    _instructions: list[Instruction] = field(default_factory=list)
    _values: list[Value] = field(default_factory=list)
    _index: dict[int, int] = field(default_factory=dict)  # of the value that a tensor stands for
    _quantised: dict[int, int] = field(default_factory=dict)  # value: the same quantised
    _alive: list[Tensor] = field(default_factory=list)  # so that no identity is given out twice

    def bind(self, parameters: Mapping[str, Tensor], weights: Weights) -> None:
        """What the description's parameters stand for from now on."""
        self.names = {id(parameter): name for name, parameter in parameters.items()}
        self.weights = weights

    def finish(self, outputs: Mapping[Outside, Tensor], rewrite: Rewrite | None = None) -> Recording:
        """What was written since the last time, perhaps rewritten, its outputs going to the caller's buffers."""
        found: dict[Outside, Value] = {}
        for outside, tensor in outputs.items():
            index = self._index[id(tensor)]
            found[outside] = self._values[index] = replace(self._values[index], place=Place.OUTSIDE, slot=outside)
        instructions = gated(self._instructions, self._values)
        if rewrite is not None:
            instructions = rewrite(instructions, self._values)
        recording = Recording(tuple(instructions), placed(instructions, self._values), found)
        for kept in (self._instructions, self._values, self._index, self._quantised, self._alive):
            kept.clear()
        return recording

    def outside(self, buffer: Outside, width: int, picked: bool) -> Tensor:
        """A value that the caller gives."""
        return self._tensor(self._value(Value(width, picked, Place.OUTSIDE, buffer)))

    def embed(self, token_T: Tensor, weight: Tensor, scale: float) -> Tensor:
        matrix, by_place = self._matrix(weight), token_T is self.step.place_T
        return self._emit(Code.EMBED, Value(matrix.inputs), (), (int(by_place),), (scale,), (matrix,))

    def linear(self, x_TD: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        matrix, source = self._matrix(weight), self._index[id(x_TD)]
        picked = self._values[source].picked
        if matrix.kind.quantised:
            source = self._quantise(source)
        data = (matrix, None if bias is None else self._vector(bias))
        return self._emit(Code.LINEAR, Value(matrix.rows, picked), (source, -1), data=data)

    def norm(self, x_TD: Tensor, weight: Tensor, eps: float) -> Tensor:
        vector, source = self._vector(weight), self._index[id(x_TD)]
        value = self._values[source]
        sizes = (value.width // len(vector), len(vector))
        return self._emit(Code.NORM, Value(value.width, value.picked), (source,), sizes, (eps,), (vector,))

    def attention(self, q_TD: Tensor, k_TD: Tensor, v_TD: Tensor, run: Pass, shape: AttentionShape) -> Tensor:
        q, k, v = (self._index[id(x)] for x in (q_TD, k_TD, v_TD))
        heads, groups = (self._values[x].width // shape.head_size for x in (q, k))
        sizes = (heads, groups, shape.head_size)
        self._instructions.append(Instruction(Code.ROTATE, q, (q, k, v), (shape.layer, int(shape.local), *sizes)))
        value = Value(self._values[q].width)
        return self._emit(Code.ATTEND, value, (q,), (shape.layer, shape.window, *sizes, int(shape.both_ways)),
                          (shape.scale, shape.softcap or 0.0))

    def remember(self, k_TD: Tensor, v_TD: Tensor, run: Pass, shape: AttentionShape) -> None:
        k, v = (self._index[id(x)] for x in (k_TD, v_TD))
        sizes = (shape.layer, int(shape.local), 0, self._values[k].width // shape.head_size, shape.head_size)
        self._instructions.append(Instruction(Code.ROTATE, NONE, (NONE, k, v), sizes))

    def previous(self, x_TD: Tensor, run: Pass) -> Tensor:
        source = self._index[id(x_TD)]
        return self._emit(Code.PREVIOUS, self._values[source], (source,))

    def convolve(self, x_TD: Tensor, kernel_TE: Tensor, base_2KD: Tensor, run: Pass, side: int) -> Tensor:
        x, kernel = self._index[id(x_TD)], self._index[id(kernel_TE)]
        width, taps = self._values[x].width, base_2KD.shape[1]
        group = 2 * taps * width // self._values[kernel].width
        return self._emit(Code.CONVOLVE, self._values[x], (x, kernel), (side, taps, group),
                          data=(self._vector(base_2KD),))

    def gate(self, gate_TI: Tensor, up_TI: Tensor, activation: Activation) -> Tensor:
        gate, up = self._index[id(gate_TI)], self._index[id(up_TI)]
        return self._emit(Code.GATE, self._values[gate], (gate, up), (("silu", "gelu_tanh").index(activation),))

    def add(self, x_TD: Tensor, y_TD: Tensor) -> Tensor:
        x, y = self._index[id(x_TD)], self._index[id(y_TD)]
        last = self._instructions[-1]
        if last.code == Code.LINEAR and last.out == y != x and last.inputs[1] == -1:
            self._instructions[-1] = replace(last, inputs=(last.inputs[0], x))
            return self._tensor(y)
        return self._emit(Code.ADD, self._values[x], (x, y))

    def pick(self, x_TD: Tensor, row_R: Tensor) -> Tensor:
        source = self._index[id(x_TD)]
        return self._emit(Code.PICK, Value(self._values[source].width, picked=True), (source,))

    def join(self, x_TDs: Sequence[Tensor]) -> Tensor:
        sources = [self._index[id(x)] for x in x_TDs]
        joined = self._value(Value(sum(self._values[source].width for source in sources)))
        column = 0
        for source in sources:
            self._instructions.append(Instruction(Code.PLACE, joined, (source,), (column,)))
            column += self._values[source].width
        return self._tensor(joined)

    def softcap(self, x_RV: Tensor, cap: float) -> Tensor:
        x = self._index[id(x_RV)]
        self._instructions.append(Instruction(Code.SOFTCAP, x, (x,), (), (cap,)))
        return x_RV

    def _emit(self, code: Code, value: Value, inputs: tuple[int, ...], sizes: tuple[int, ...] = (),
              numbers: tuple[float, ...] = (), data: tuple[PackedMatrix | Tensor | None, ...] = ()) -> Tensor:
        out = self._value(Value(value.width, value.picked))
        self._instructions.append(Instruction(code, out, inputs, sizes, numbers, data))
        return self._tensor(out)

    def _quantise(self, source: int) -> int:
        if source not in self._quantised:
            value = self._values[source]
            self._quantised[source] = self._value(Value(value.width, value.picked, Place.QUANTISED))
            self._instructions.append(Instruction(Code.QUANTISE, self._quantised[source], (source,)))
        return self._quantised[source]

    def _value(self, value: Value) -> int:
        self._values.append(value)
        return len(self._values) - 1

    def _tensor(self, value: int) -> Tensor:
        """A tensor without memory that stands for a value."""
        tensor = torch.empty(1, self._values[value].width, dtype=torch.float32, device="meta")
        self._alive.append(tensor)
        self._index[id(tensor)] = value
        return tensor

    def _matrix(self, weight: Tensor) -> PackedMatrix:
        return self.weights.matrices[self.names[id(weight)]]

    def _vector(self, weight: Tensor) -> Tensor:
        return self.weights.vectors[self.names[id(weight)]]


def _blank_step() -> Step:
    """A step whose tensors can be told apart."""
    token_T, position_T, slot_T, row_R, previous_T, place_T = (torch.empty(0, dtype=torch.int64) for _ in range(6))
    return Step(token_T, position_T, slot_T, (), row_R, previous_T, place_T)


def gated(instructions: Sequence[Instruction], values: Sequence[Value]) -> list[Instruction]:
    """The same, with two products, their gate and its rounding as one instruction where nobody else reads between."""
    touches = Counter(value for one in instructions for value in (one.out, *one.inputs))
    found: list[Instruction] = []
    for one in instructions:
        found.append(one)
        if one.code == Code.QUANTISE and len(found) >= 4:
            gate, up, middle, _ = found[-4:]
            between = (gate.out, up.out, middle.out)
            if (_is_gate(gate, up, middle, values) and one.inputs == (middle.out,)
                    and all(touches[value] == 2 and values[value].place == Place.FLOATS for value in between)):
                data = (gate.data[0], up.data[0])
                found[-4:] = [Instruction(Code.GATED_LINEAR, one.out, gate.inputs[:1], middle.sizes, data=data)]
    return found


def _is_gate(gate: Instruction, up: Instruction, middle: Instruction, values: Sequence[Value]) -> bool:
    """Whether these are two quantised products of the same rows, nothing added, and the gate of both."""
    return ((gate.code, up.code, middle.code) == (Code.LINEAR, Code.LINEAR, Code.GATE)
            and middle.inputs == (gate.out, up.out) and gate.inputs == up.inputs and gate.inputs[1] == NONE
            and values[gate.inputs[0]].place == Place.QUANTISED and gate.data[1] is None and up.data[1] is None)


def placed(instructions: Sequence[Instruction], values: Sequence[Value]) -> tuple[Value, ...]:
    """Every value in a slot of the workspace that holds nothing that is still to be read; unused ones anywhere."""
    last_use = {value: at for at, one in enumerate(instructions) for value in (one.out, *one.inputs)}
    found, free, num_slots = list(values), list[int](), 0
    for at, one in enumerate(instructions):
        if one.out != NONE and found[one.out].slot < 0:
            if not free:
                free.append(num_slots)
                num_slots += 1
            found[one.out] = replace(found[one.out], slot=free.pop())
        for value in {one.out, *one.inputs}:
            if value >= 0 and last_use[value] == at and found[value].place != Place.OUTSIDE:
                free.append(found[value].slot)
    return tuple(value if at in last_use or value.place == Place.OUTSIDE else replace(value, slot=0)
                 for at, value in enumerate(found))
