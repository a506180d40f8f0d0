"""`Checkpoint`: what a model file hands to the decoder, whatever the format; and `open_checkpoint`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch

from outrider.core.spec import ModelSpec
from outrider.errors import UnknownReferenceError
from outrider.io.gguf_file import GgufCheckpoint
from outrider.io.packed import PackedTensor
from outrider.io.safetensors_dir import SafetensorsCheckpoint


class Checkpoint(Protocol):
    """A validated model file: every tensor of `spec` is there with the right shape.

    Canonical names (weights are [out, in], rotation in halves, `head.weight` absent where `spec.tied_head`):

        embed.weight
        layers.{i}.attn_norm.weight    layers.{i}.attn.{q,k,v,o}.{weight,bias}   layers.{i}.attn.{q,k}_norm.weight
        layers.{i}.mlp_norm.weight     layers.{i}.mlp.{gate,up,down}.weight
        layers.{i}.attn_post_norm.weight   layers.{i}.mlp_post_norm.weight
        norm.weight   head.weight

    `tensor` returns values in `dtype` (rounded once from what the file holds) that the caller must not write to.
    `packed` returns the quantised rows as stored, None where the tensor is not quantised;
    `num_bytes` counts what the file holds of a tensor. Unknown names: KeyError.
    """

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor: ...

    def packed(self, name: str) -> PackedTensor | None: ...

    def dtype(self, name: str) -> torch.dtype:
        """In which the file holds a tensor; float32 stands for quantised values."""

    def num_bytes(self, name: str) -> int: ...


def open_checkpoint(path: Path) -> Checkpoint:
    """A directory holds `config.json` and safetensors; a file is a GGUF.

    Raises: UnknownReferenceError where nothing is there; CheckpointError where it cannot be used.
    """
    if path.is_dir():
        return SafetensorsCheckpoint(path)
    if not path.exists():
        raise UnknownReferenceError(f"no such file or directory: {path}")
    return GgufCheckpoint(path)
