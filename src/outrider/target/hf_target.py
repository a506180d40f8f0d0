"""What all targets over a transformers model have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from outrider.cache.kv import CacheShape, KVCache, dense_layers
from outrider.cache.payload import Payload, Store
from outrider.core.spec import ModelSpec
from outrider.core.step import LayerCache, Step
from outrider.errors import ConfigError
from outrider.nn.network import Description
from outrider.target.hf_model import HfModel
from outrider.target.interface import ForwardOutput, TargetInfo
from outrider.target.network import Network, TorchNetwork, lender

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

    def network(self, describe: Description, weights: Mapping[str, Tensor], spec: ModelSpec, positions: int,
                rounding: str = "") -> Network:
        """See `interface.TargetView`."""
        if rounding:
            raise ConfigError(f"weights {rounding}: only native ops round weights")
        tensor = lender({name: value.to(self.model.dtype) for name, value in weights.items()}, self.model.tables())
        return TorchNetwork(describe, tensor, spec, positions, self.device)

    def new_cache(self, num_tokens: int, payloads: Sequence[Payload] = ()) -> KVCache[Any]:
        raise NotImplementedError

    def forward(self, step: Step, cache: KVCache[Any], taps: Sequence[int] = ()) -> ForwardOutput:
        raise NotImplementedError

    def cache_shape(self, num_tokens: int) -> CacheShape:
        spec = self.spec
        num_blocks = -(-num_tokens // BLOCK_SIZE)
        return CacheShape(spec.num_layers, spec.num_kv_heads, spec.head_size, num_blocks, BLOCK_SIZE)

    def stores(self, shape: CacheShape, payloads: Sequence[Payload]) -> list[Store[LayerCache]]:
        """Room for what drafters keep beside the target's entries."""
        dtype, device = self.model.dtype, self.device
        return [Store(payload, dense_layers(payload, shape.num_slots * payload.entries, dtype, device),
                      shape.num_blocks, dtype, device) for payload in payloads]
