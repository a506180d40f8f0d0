"""Programs nobody would write: random instructions over random weights, for comparing runs of the same."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from native_targets import library
from outrider.core.step import PAGE_SIZE, LayerPages, Span, Step
from outrider.ops.interface import AttentionShape, Pass, RopeTable, RopeTables
from outrider.ops.native.matrix import Kind, MatrixFunctions, float_rows
from outrider.ops.native.program import Buffers, PageTable, Pool, Program
from outrider.ops.native.recorder import Outside, Recorder, Recording, Weights

VOCAB, HEAD_SIZE, POSITIONS = 50, 16, 320
WIDTHS = (32, 64, 160)
KINDS = (Kind.FLOAT, Kind.BYTE_HALF, Kind.NIBBLE_TWO_LEVEL)
EPS = 1e-6


class RandomProgram:
    """A recording in the making; every choice comes from `seed`."""

    def __init__(self, seed: int) -> None:
        self.random, self.generator = random.Random(seed), torch.Generator().manual_seed(seed)
        self.functions, self.recorder = MatrixFunctions(library()), Recorder()
        self.names: dict[str, Tensor] = {}
        self.weights = Weights({}, {})
        self.known: dict[int, list[Tensor]] = {width: [] for width in WIDTHS}
        self.num_layers = 0

    def recording(self, length: int) -> Recording:
        embedded = self.recorder.embed(torch.empty(1, device="meta"), self.matrix(VOCAB, 64), 1.0)
        self.keep(embedded)
        for _ in range(length):
            self.random.choice((self.linear, self.linear, self.norm, self.gate, self.add, self.softcap, self.join,
                                self.attend, self.feed_forward))()
        feature = self.recorder.join([tensors[-1] for tensors in self.known.values() if tensors])
        picked = self.recorder.pick(self.any(), torch.empty(1, device="meta"))
        normed = self.recorder.norm(picked, self.vector(picked.shape[1]), EPS)
        logits = self.recorder.softcap(self.recorder.linear(normed, self.matrix(VOCAB, picked.shape[1]), None), 5.0)
        self.width = feature.shape[1]
        return self.recorder.finish({Outside.LOGITS: logits, Outside.FEATURES: feature})

    def keep(self, tensor: Tensor) -> None:
        self.known.setdefault(tensor.shape[1], []).append(tensor)

    def any(self) -> Tensor:
        return self.random.choice([tensor for width in WIDTHS for tensor in self.known[width]])

    def linear(self) -> None:
        x, width = self.any(), self.random.choice(WIDTHS)
        bias = self.vector(width) if self.random.random() < 0.5 else None
        y = self.recorder.linear(x, self.matrix(width, x.shape[1]), bias)
        known = self.known[width]
        self.keep(self.recorder.add(self.random.choice(known), y) if known and self.random.random() < 0.5 else y)

    def norm(self) -> None:
        x = self.any()
        self.keep(self.recorder.norm(x, self.vector(x.shape[1] // self.random.choice((1, 2))), EPS))

    def gate(self) -> None:
        x = self.any()
        self.keep(self.recorder.gate(x, self.random.choice(self.known[x.shape[1]]), "silu"))

    def feed_forward(self) -> None:
        """As a model does; sometimes with something else that reads what lies between."""
        x, width = self.any(), self.random.choice(WIDTHS)
        gate, up = (self.recorder.linear(x, self.matrix(width, x.shape[1]), None) for _ in range(2))
        gated = self.recorder.gate(gate, up, self.random.choice(("silu", "gelu_tanh")))
        out = self.recorder.linear(gated, self.matrix(x.shape[1], width), None)
        self.keep(self.recorder.add(x, out))
        if self.random.random() < 0.3:
            self.keep(self.random.choice((gate, up, gated)))

    def add(self) -> None:
        x = self.any()
        self.keep(self.recorder.add(x, self.random.choice(self.known[x.shape[1]])))

    def softcap(self) -> None:
        self.recorder.softcap(self.any(), 3.0)

    def join(self) -> None:
        if self.known[32]:
            self.keep(self.recorder.join([self.random.choice(self.known[32]) for _ in range(2)]))

    def attend(self) -> None:
        """As a model does: products of their own for q, k and v, since q is turned in place."""
        x = self.any()
        q, k, v = (self.recorder.linear(x, self.matrix(width, x.shape[1]), None) for width in (64, 32, 32))
        if self.random.random() < 0.5:
            q = self.recorder.norm(q, self.vector(HEAD_SIZE), EPS)
        shape = AttentionShape(self.num_layers, HEAD_SIZE, 0.25, False, self.random.choice((0, 5)), None)
        ropes = RopeTables(*[RopeTable(torch.empty(0), torch.empty(0))] * 2)
        self.keep(self.recorder.attention(q, k, v, Pass(empty_step(), (), ropes), shape))
        self.num_layers += 1

    def matrix(self, rows: int, inputs: int) -> Tensor:
        kind = self.random.choice(KINDS)
        values = torch.randn(rows, inputs, generator=self.generator) * inputs**-0.5
        packed = self.functions.pack(float_rows(values), None if kind == Kind.FLOAT else kind)
        return self.parameter(Weights({**self.weights.matrices, f"{len(self.names)}": packed}, self.weights.vectors))

    def vector(self, size: int) -> Tensor:
        values = 1 + 0.1 * torch.randn(size, generator=self.generator)
        return self.parameter(Weights(self.weights.matrices, {**self.weights.vectors, f"{len(self.names)}": values}))

    def parameter(self, weights: Weights) -> Tensor:
        """A tensor that stands for the newest of `weights`."""
        self.weights = weights
        self.names[f"{len(self.names)}"] = tensor = torch.empty(0, device="meta")
        self.recorder.bind(self.names, weights)
        return tensor


def empty_step() -> Step:
    none = torch.empty(0, dtype=torch.int64)
    return Step(none, none, none, (), none)


class Bench:
    """A random program with everything it needs to run, again and again."""

    def __init__(self, seed: int, length: int) -> None:
        made = RandomProgram(seed)
        self.program = Program(library(), made.recording(length))
        self.width, self.num_layers = made.width, max(made.num_layers, 1)
        generator = torch.Generator().manual_seed(seed)
        angle_PK = torch.rand(POSITIONS, HEAD_SIZE // 2, generator=generator)
        self.ropes = RopeTables(*[RopeTable(angle_PK.cos(), angle_PK.sin())] * 2)

    def outputs(self, pool: Pool, rows: int, picked: int, kernels: int) -> tuple[Tensor, Tensor]:
        """Bits of logits and features of one pass over an empty cache."""
        size = (POSITIONS // PAGE_SIZE, 2, HEAD_SIZE, PAGE_SIZE)
        pages = [LayerPages(torch.full(size, torch.nan, dtype=torch.float16),
                            torch.full((size[0], 2, PAGE_SIZE, HEAD_SIZE), torch.nan, dtype=torch.float16))
                 for _ in range(self.num_layers)]
        at_T = torch.arange(rows)
        span = Span(0, rows, 0, at_T, range(-1, rows - 1))
        step = Step(at_T * 7 % VOCAB, at_T, at_T, (span,) if rows else (), torch.arange(rows - picked, rows))
        logits, features = torch.full((picked, VOCAB), torch.nan), torch.full((rows, self.width), torch.nan)
        buffers = Buffers({Outside.LOGITS: logits, Outside.FEATURES: features})
        self.program.run(kernels, pool, step, PageTable(pages), self.ropes, buffers)
        return logits.view(torch.int32), features.view(torch.int32)
