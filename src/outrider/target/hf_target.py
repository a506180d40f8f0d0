"""What all targets over a transformers model have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from outrider.cache.kv import CacheShape, KVCache
from outrider.core.spec import ModelSpec
from outrider.core.step import Step
from outrider.target.hf_model import HfModel
from outrider.target.interface import ForwardOutput, TargetInfo

BLOCK_SIZE = 16


class HfTarget:
    """See `interface.Target`. Subclasses say how rows become passes."""

    def __init__(self, model: HfModel, spec: ModelSpec, context: int, fingerprint: str, info: TargetInfo) -> None:
        self.model, self.spec, self.context, self.fingerprint, self.info = model, spec, context, fingerprint, info

    @property
    def vocab_size(self) -> int:
        return self.model.vocab_size

    @property
    def num_layers(self) -> int:
        return self.spec.num_layers

    @property
    def hidden_size(self) -> int:
        return self.spec.hidden_size

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def threads(self) -> int:
        return torch.get_num_threads()

    @property
    def weight_bytes(self) -> int:
        return sum(parameter.nbytes for parameter in self.model.module.parameters())  # a tied head is counted once

    def embed(self, token_T: Tensor) -> Tensor:
        return self.model.embed(token_T)

    def head(self, hidden_TD: Tensor) -> Tensor:
        return self.model.head(hidden_TD)

    def new_cache(self, num_tokens: int) -> KVCache[Any]:
        raise NotImplementedError

    def forward(self, step: Step, cache: KVCache[Any], taps: Sequence[int] = ()) -> ForwardOutput:
        raise NotImplementedError

    def cache_shape(self, num_tokens: int) -> CacheShape:
        spec = self.spec
        num_blocks = -(-num_tokens // BLOCK_SIZE)
        return CacheShape(spec.num_layers, spec.num_kv_heads, spec.head_size, num_blocks, BLOCK_SIZE)
