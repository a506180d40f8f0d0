"""Seeded toy targets for tests and examples: real decoders with random weights, milliseconds a forward."""

from __future__ import annotations

import torch
from torch import Tensor

from outrider.core.spec import ModelSpec
from outrider.nn.decoder import Decoder
from outrider.ops.cuda.available import cuda_ops
from outrider.ops.reference import ReferenceOps
from outrider.target.cuda import CudaTarget
from outrider.target.decoder import DecoderTarget, load_decoder

TINY = ModelSpec(
    family="llama", vocab_size=96, hidden_size=32, inner_size=64, num_layers=2, num_heads=4, num_kv_heads=2,
    head_size=8, max_positions=2048, norm_eps=1e-5,
)


def tiny_target(seed: int = 0, spec: ModelSpec = TINY, *, spread: float = 1.0,
                dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu", ops: str = "") -> DecoderTarget:
    """A target with weights drawn from `seed`; a larger `spread` makes its distributions more peaked.

    On a CUDA device it runs over the kernels, unless there is no Triton or `ops` is reference; without graphs, which
    take longer to capture than a toy's few passes.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(name: str, dtype: torch.dtype) -> Tensor:
        shape = shapes[name]
        if "norm" in name:
            return torch.ones(shape, dtype=dtype) - spec.norm_offset
        scale = spread if name in ("embed.weight", "head.weight") else spread * shape[-1] ** -0.5
        return (torch.randn(shape, generator=generator) * scale).to(dtype)

    shapes, fingerprint = shapes_of(spec), f"tiny-{spec.vocab_size}"
    kernels = cuda_ops(torch.device(device)) if ops == "" else None
    decoder = load_decoder(spec, draw, dtype, torch.device(device), kernels)
    if kernels is None:
        return DecoderTarget(decoder, spec.max_positions, fingerprint)
    return CudaTarget(decoder, kernels, spec.max_positions, fingerprint, graphs=False)


def shapes_of(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, by canonical name."""
    with torch.device("meta"):
        decoder = Decoder(spec, ReferenceOps())
    return {name: tuple(parameter.shape) for name, parameter in decoder.named_parameters()}
