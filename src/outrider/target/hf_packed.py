"""`PackedTarget`: a transformers model whose layers all attend, over our own pages: one pass for all rows.

    rows of all sequences ── one batch entry ──> every layer's keys and values to their slots
    mask [T, L]: a row sees the entries of its own sequence that its span allows, L those of all sequences in turn

The rows attend to all sequences' entries and the mask hides the others': some arithmetic for nothing, no padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from outrider.cache.kv import KVCache
from outrider.cache.payload import Payload
from outrider.core.spec import ModelSpec
from outrider.core.step import Span, Step
from outrider.target.hf_model import HfModel, setting
from outrider.target.hf_target import HfTarget
from outrider.target.interface import ForwardOutput, TargetInfo

_KINDS = ("full_attention", "sliding_attention", "chunked_attention")


class SlotLayer:
    """Keys and values of one layer by slot, [S, G, K]; made when the layer first says how large they are."""

    def __init__(self, num_slots: int) -> None:
        self._num_slots = num_slots
        self._parts: tuple[Tensor, ...] = ()

    def write(self, slot_T: Tensor, fresh: Sequence[Tensor]) -> None:
        """`fresh`: keys and values [1, G, T, K] as layers give them."""
        if not self._parts:
            self._parts = tuple(map(self._room, fresh))
        for part, one in zip(self._parts, fresh, strict=True):
            part[slot_T] = one[0].transpose(0, 1)

    def _room(self, one: Tensor) -> Tensor:
        with torch.inference_mode(False):  # `move` is called outside of it
            size = (self._num_slots, one.shape[1], one.shape[3])
            return torch.zeros(size, dtype=one.dtype, device=one.device)

    def read(self, slot_L: Tensor) -> tuple[Tensor, ...]:
        """Keys and values [1, G, L, K]."""
        return tuple(part[slot_L].transpose(0, 1)[None] for part in self._parts)

    def move(self, source_n: Tensor, goal_n: Tensor) -> None:
        """Copies entries from slots to slots."""
        for part in self._parts:
            part[goal_n] = part[source_n]


class _Pages(Cache):  # type: ignore[misc]
    """Our pages as a model's layers see them in one pass."""

    def __init__(self, layers: Sequence[SlotLayer], step: Step) -> None:
        super().__init__(layers=[])
        self._stores, self._slot_T = layers, step.slot_T
        self._slot_L = torch.cat([span.slot_L for span in step.spans])

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any,
               **__: Any) -> tuple[Tensor, ...]:
        layer = self._stores[layer_idx]
        layer.write(self._slot_T, (key_states, value_states))
        return layer.read(self._slot_L)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return len(self._slot_L) - len(self._slot_T)

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return len(self._slot_L), 0


@dataclass(frozen=True, slots=True)
class MaskKind:
    """What a kind of layer sees: the last `window` positions, or those of its own `chunk`; 0 is no limit."""

    name: str
    window: int = 0
    chunk: int = 0

    def mask(self, step: Step, dtype: torch.dtype) -> Tensor:
        """What is added to scores, [1, 1, T, L]."""
        spans = step.spans
        hidden = torch.finfo(dtype).min
        mask_TL = torch.full((len(step.token_T), sum(len(span.slot_L) for span in spans)), hidden, dtype=dtype,
                             device=step.token_T.device)
        begin = 0
        for span in spans:
            part_ML = mask_TL[span.begin : span.begin + span.count, begin : begin + len(span.slot_L)]
            part_ML.masked_fill_(self._seen(span, step.position_T), 0.0)
            begin += len(span.slot_L)
        return mask_TL[None, None]

    def _seen(self, span: Span, position_T: Tensor) -> Tensor:
        seen_ML = span.visible_ML
        if seen_ML is None:
            seen_ML = torch.ones(span.count, len(span.slot_L), dtype=torch.bool, device=position_T.device)
        if self.window:
            seen_ML = seen_ML & (span.distance_ML < self.window)
        if self.chunk:
            at_M1 = position_T[span.begin : span.begin + span.count, None]
            seen_ML = seen_ML & ((at_M1 - span.distance_ML) // self.chunk == at_M1 // self.chunk)
        return seen_ML


def mask_kinds(config: Any) -> tuple[MaskKind, ...]:
    """Those of a model's layers; empty where some are of a kind that we cannot lay out."""
    slides = setting(config, "use_sliding_window") is not False
    window, chunk = (setting(config, name) or 0 for name in ("sliding_window", "attention_chunk_size"))
    names = setting(config, "layer_types") or ["sliding_attention" if window and slides else "full_attention"]
    if not set(names) <= set(_KINDS):
        return ()
    limits = {"sliding_attention": (window, 0), "chunked_attention": (0, chunk)}
    return tuple(MaskKind(name, *limits.get(name, (0, 0))) for name in dict.fromkeys(names))


class PackedTarget(HfTarget):
    """Any tree, any number of sequences in one pass; rejected entries are dropped by moving slots."""

    def __init__(self, model: HfModel, spec: ModelSpec, context: int, fingerprint: str = "") -> None:
        info = TargetInfo(trees=True, rollback=True, taps=model.has_taps, exact=False)
        super().__init__(model, spec, context, fingerprint, info)
        self._kinds = mask_kinds(model.config)

    @staticmethod
    def serves(model: HfModel) -> bool:
        """Whether it is worth trying."""
        return bool(mask_kinds(model.config)) and all(map(model.accepts, ("position_ids", "past_key_values")))

    def new_cache(self, num_tokens: int, payloads: Sequence[Payload] = ()) -> KVCache[SlotLayer]:
        """See `interface.Target`."""
        shape = self.cache_shape(num_tokens)
        layers = [SlotLayer(shape.num_slots) for _ in range(shape.num_layers)]
        return KVCache(shape, layers, self.device, self.stores(shape, payloads))

    @torch.inference_mode()
    def forward(self, step: Step, cache: KVCache[SlotLayer], taps: Sequence[int] = ()) -> ForwardOutput:
        masks = {kind.name: kind.mask(step, self.model.dtype) for kind in self._kinds}
        mask: Any = masks if len(masks) > 1 else next(iter(masks.values()))
        passed = self.model.run(step.token_T, step.logit_row_R, taps, attention_mask=mask,
                                position_ids=step.position_T[None], past_key_values=_Pages(cache.layers, step))
        return ForwardOutput(passed.logits_RV, passed.feature_TF)
