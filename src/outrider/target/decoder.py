"""`DecoderTarget`: our own decoder as a target, from a checkpoint or from any source of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from outrider.cache.kv import CacheShape, KVCache, dense_layers
from outrider.cache.payload import Payload, Store
from outrider.core.spec import ModelSpec
from outrider.core.step import LayerCache, Step
from outrider.errors import ConfigError
from outrider.nn.decoder import Decoder
from outrider.nn.network import Description
from outrider.ops.interface import Ops, Pass, RopeTables
from outrider.ops.reference import ReferenceOps
from outrider.ops.rope import rope_table
from outrider.target.interface import ForwardOutput
from outrider.target.network import Network, TorchNetwork, lender
from outrider.target.of_spec import TargetOfSpec

BLOCK_SIZE = 16
TensorSource = Callable[[str, torch.dtype], Tensor]


class DecoderTarget(TargetOfSpec):
    """See `interface.Target`. `context` bounds absolute positions and so the rope tables."""

    def __init__(self, decoder: Decoder, context: int, fingerprint: str = "") -> None:
        spec = decoder.spec
        super().__init__(spec, context, fingerprint, exact=False)
        self.decoder = decoder
        full = rope_table(spec.rope, spec.head_size, context, self.device)
        local = full if spec.local_rope is None else rope_table(spec.local_rope, spec.head_size, context, self.device)
        self._ropes = RopeTables(full, local)

    @property
    def device(self) -> torch.device:
        return self.decoder.embed.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.decoder.embed.weight.dtype

    @property
    def threads(self) -> int:
        return torch.get_num_threads()

    @property
    def weight_bytes(self) -> int:
        return sum(parameter.nbytes for parameter in self.decoder.parameters())  # a tied head is counted once

    def new_cache(self, num_tokens: int, payloads: Sequence[Payload] = ()) -> KVCache[Any]:
        """A cache for this model and these payloads with room for `num_tokens`, rounded up to blocks."""
        spec = self.spec
        num_blocks = -(-num_tokens // BLOCK_SIZE)
        shape = CacheShape(spec.num_layers, spec.num_kv_heads, spec.head_size, num_blocks, BLOCK_SIZE)
        stores = [Store(payload, self._layers(payload, shape.num_slots * payload.entries), num_blocks, self.dtype,
                        self.device) for payload in payloads]
        return KVCache(shape, self._layers(shape, shape.num_slots), self.device, stores)

    def _layers(self, shape: CacheShape | Payload, num_slots: int) -> tuple[LayerCache, ...]:
        return dense_layers(shape, num_slots, self.dtype, self.device)

    @torch.inference_mode()
    def forward(self, step: Step, cache: KVCache[Any], taps: Sequence[int] = ()) -> ForwardOutput:
        hidden = self.decoder(Pass(step, cache.layers, self._ropes), taps)
        return ForwardOutput(self.decoder.logits(hidden.hidden_RD), hidden.feature_TF)

    def network(self, describe: Description, weights: Mapping[str, Tensor], spec: ModelSpec, positions: int,
                rounding: str = "") -> Network:
        """See `interface.TargetView`."""
        if rounding:
            raise ConfigError(f"weights {rounding}: only native ops round weights")
        return self.torch_network(describe, weights, spec, positions)

    def torch_network(self, describe: Description, weights: Mapping[str, Tensor], spec: ModelSpec,
                      positions: int) -> TorchNetwork:
        """The same without rounding."""
        lent = {"embed.weight": self.decoder.embed.weight, "head.weight": self.decoder.head.weight}
        tensor = lender({name: value.to(self.dtype) for name, value in weights.items()}, lent)
        return TorchNetwork(describe, tensor, spec, positions, self.device, self.decoder.ops)

    @torch.inference_mode()
    def embed(self, token_T: Tensor) -> Tensor:
        embedded_TD: Tensor = self.decoder.embed(token_T)
        return embedded_TD

    @torch.inference_mode()
    def head(self, hidden_TD: Tensor) -> Tensor:
        return self.decoder.logits(hidden_TD)


def load_decoder(spec: ModelSpec, tensor: TensorSource, dtype: torch.dtype, device: torch.device,
                 ops: Ops | None = None) -> Decoder:
    """A decoder with every parameter taken from `tensor(name, dtype)`; norm weights get the family's offset."""
    with torch.device("meta"):
        decoder = Decoder(spec, ops or ReferenceOps())
    parameters = dict(decoder.named_parameters(remove_duplicate=True))
    weights: dict[str, Tensor] = {}
    for name in parameters:
        value = tensor(name, dtype)
        weights[name] = (value + spec.norm_offset if "norm" in name and spec.norm_offset else value).to(device)
    decoder.load_state_dict(weights, strict=False, assign=True)
    if spec.tied_head:
        decoder.head.weight = decoder.embed.weight
    return decoder.requires_grad_(False).eval()
