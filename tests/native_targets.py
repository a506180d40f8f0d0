"""Toy models for the kernels: the specs of `tiny_engine` in sizes that kernels take, the same weights both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from outrider.core.spec import ModelSpec
from outrider.ops.native.library import Library, load
from outrider.ops.native.matrix import Kind, MatrixFunctions, float_rows
from outrider.ops.native.recorder import Weights
from outrider.target.decoder import DecoderTarget, load_decoder
from outrider.target.native import NativeTarget
from outrider.target.tiny import shapes_of
from tiny_engine import EOS, SPECS

CONTEXT = 512
NATIVE_SPECS: Mapping[str, ModelSpec] = {
    name: replace(spec, head_size=16, eos_ids=(EOS,)) for name, spec in SPECS.items()
} | {"biased": replace(SPECS["llama"], head_size=32, num_heads=6, qkv_bias=True, out_bias=True, tied_head=True)}


def library() -> Library:
    found = load()
    assert found is not None, "the tests need the native library: run scripts/install with a C++ compiler"
    return found


@cache
def weights_of(name: str, seed: int = 0, kind: Kind = Kind.FLOAT) -> Weights:
    return random_weights(NATIVE_SPECS[name], seed, kind)


def random_weights(spec: ModelSpec, seed: int, kind: Kind) -> Weights:
    """Matrices are rounded to `kind`."""
    generator = torch.Generator().manual_seed(seed)
    functions, matrices, vectors = MatrixFunctions(library()), {}, {}
    for parameter, shape in shapes_of(spec).items():
        values = torch.randn(shape, generator=generator)
        if len(shape) == 1:
            vectors[parameter] = 1 + 0.1 * values if "norm" in parameter else 0.3 * values
        else:
            scale = 1.0 if parameter in ("embed.weight", "head.weight") else shape[1] ** -0.5
            matrices[parameter] = functions.pack(float_rows(scale * values), None if kind == Kind.FLOAT else kind)
    return Weights(matrices, vectors)


@cache
def native_target(name: str, seed: int = 0, threads: int = 2, kind: Kind = Kind.FLOAT) -> NativeTarget:
    return NativeTarget(library(), NATIVE_SPECS[name], weights_of(name, seed, kind), CONTEXT, threads, "toy")


@cache
def readable_target(name: str, seed: int = 0, kind: Kind = Kind.FLOAT) -> DecoderTarget:
    """The same weights, dequantised, in float64 torch."""
    weights, functions = weights_of(name, seed, kind), MatrixFunctions(library())

    def tensor(parameter: str, dtype: torch.dtype) -> Tensor:
        if parameter in weights.vectors:
            # The loader adds the family's offset, which these already have.
            offset = NATIVE_SPECS[name].norm_offset if "norm" in parameter else 0.0
            return weights.vectors[parameter].to(dtype) - offset
        matrix = weights.matrices[parameter]
        return functions.unpack(matrix, torch.arange(matrix.rows)).to(dtype)

    return DecoderTarget(load_decoder(NATIVE_SPECS[name], tensor, torch.float64, torch.device("cpu")), CONTEXT, "toy")
