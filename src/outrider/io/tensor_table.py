"""The tensors of a dense decoder: our name for each, the shape the spec asks for, and the names files use.

One table serves both formats and the validation. A mixture-of-experts family would add its experts beside `_mlp`.
Imports no torch.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from outrider.core.spec import ModelSpec
from outrider.errors import CheckpointError

_log = logging.getLogger(__name__)

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorSlot:
    """One tensor the decoder needs: canonical name, name in GGUF files, name in published safetensors, shape.

    `safetensors` lacks the leading `model.` of most files. `rotated_heads` is the number of heads whose rows take part
    in rotary position embedding (GGUF files of the architecture `llama` order those differently), else 0.
    """

    name: str
    gguf: str
    safetensors: str
    shape: Shape
    rotated_heads: int = 0


@dataclass(frozen=True, slots=True)
class TensorSource:
    """What a file offers: the shape of every tensor, how its format names a slot, and which names belong to layers."""

    where: str
    shapes: Mapping[str, Shape]
    name_of: Callable[[TensorSlot], str]
    layer_pattern: re.Pattern[str]
    ignored: frozenset[str] = frozenset()  # read by other means, or known not to matter


def tensor_slots(spec: ModelSpec) -> Iterator[TensorSlot]:
    """All tensors in file order, lazily: a hostile layer count fails at the first layer that is not there."""
    table = (spec.vocab_size, spec.hidden_size)
    yield TensorSlot("embed.weight", "token_embd.weight", "embed_tokens.weight", table)
    for layer in range(spec.num_layers):
        for slot in _layer_slots(spec):
            yield TensorSlot(
                f"layers.{layer}.{slot.name}",
                f"blk.{layer}.{slot.gguf}",
                f"layers.{layer}.{slot.safetensors}",
                slot.shape,
                slot.rotated_heads,
            )
    yield TensorSlot("norm.weight", "output_norm.weight", "norm.weight", (spec.hidden_size,))
    if not spec.tied_head:
        yield TensorSlot("head.weight", "output.weight", "lm_head.weight", table)


def match_tensors(spec: ModelSpec, source: TensorSource) -> dict[str, TensorSlot]:
    """Find every slot in the file; canonical name to slot.

    Raises: CheckpointError naming the first tensor that is missing or has the wrong shape, or that the file has and the
    decoder would leave out although it belongs to a layer.
    """
    check_heads(spec, source.where)
    slots: dict[str, TensorSlot] = {}
    for slot in tensor_slots(spec):
        name = source.name_of(slot)
        if name not in source.shapes:
            raise CheckpointError(f"{source.where}: the tensor '{name}' is missing (a {spec.family} model needs it)")
        if source.shapes[name] != slot.shape:
            given, wanted = list(source.shapes[name]), list(slot.shape)
            raise CheckpointError(f"{source.where}: the tensor '{name}' has the shape {given}, expected {wanted}")
        slots[slot.name] = slot
    used = {source.name_of(slot) for slot in slots.values()} | source.ignored
    _report_unused(spec, source, [name for name in source.shapes if name not in used])
    return slots


def check_heads(spec: ModelSpec, where: str) -> None:
    """Raises: CheckpointError where heads cannot be grouped or rotated."""
    if spec.num_heads % spec.num_kv_heads:
        raise CheckpointError(
            f"{where}: {spec.num_heads} heads cannot share {spec.num_kv_heads} key-value heads evenly"
        )
    if spec.head_size % 2:
        raise CheckpointError(f"{where}: the head size {spec.head_size} is odd; rotary position embedding needs pairs")


def _report_unused(spec: ModelSpec, source: TensorSource, unused: list[str]) -> None:
    for name in unused:
        if source.layer_pattern.match(name):
            raise CheckpointError(
                f"{source.where}: the tensor '{name}' is part of a layer but not of a dense {spec.family} model "
                f"with {spec.num_layers} layers; leaving it out would change the results"
            )
    if unused:
        _log.warning("%s: %d tensors are not used, the first is '%s'", source.where, len(unused), unused[0])


def _layer_slots(spec: ModelSpec) -> Iterator[TensorSlot]:
    yield from _norms(spec)
    yield from _projections(spec)
    yield from _mlp(spec)


def _norms(spec: ModelSpec) -> Iterator[TensorSlot]:
    hidden, head = (spec.hidden_size,), (spec.head_size,)
    yield TensorSlot("attn_norm.weight", "attn_norm.weight", "input_layernorm.weight", hidden)
    # With norms on both sides of the MLP, published files use the plain name for the norm after attention.
    before_mlp = "pre_feedforward_layernorm.weight" if spec.post_norms else "post_attention_layernorm.weight"
    yield TensorSlot("mlp_norm.weight", "ffn_norm.weight", before_mlp, hidden)
    if spec.post_norms:
        after_attention = "post_attention_norm.weight"
        yield TensorSlot("attn_post_norm.weight", after_attention, "post_attention_layernorm.weight", hidden)
        yield TensorSlot("mlp_post_norm.weight", "post_ffw_norm.weight", "post_feedforward_layernorm.weight", hidden)
    if spec.qk_norm:
        yield TensorSlot("attn.q_norm.weight", "attn_q_norm.weight", "self_attn.q_norm.weight", head)
        yield TensorSlot("attn.k_norm.weight", "attn_k_norm.weight", "self_attn.k_norm.weight", head)


def _projections(spec: ModelSpec) -> Iterator[TensorSlot]:
    hidden, query, kv = spec.hidden_size, spec.query_size, spec.kv_size
    heads = {"q": spec.num_heads, "k": spec.num_kv_heads}
    for short, size in (("q", query), ("k", kv), ("v", kv)):
        slot = _projection(short, f"attn_{short}", f"self_attn.{short}_proj", heads.get(short, 0))
        yield slot("weight", (size, hidden))
        if spec.qkv_bias:
            yield slot("bias", (size,))
    slot = _projection("o", "attn_output", "self_attn.o_proj", 0)
    yield slot("weight", (hidden, query))
    if spec.out_bias:
        yield slot("bias", (hidden,))


def _projection(short: str, gguf: str, safetensors: str, heads: int) -> Callable[[str, Shape], TensorSlot]:
    def slot(part: str, shape: Shape) -> TensorSlot:
        return TensorSlot(f"attn.{short}.{part}", f"{gguf}.{part}", f"{safetensors}.{part}", shape, heads)

    return slot


def _mlp(spec: ModelSpec) -> Iterator[TensorSlot]:
    hidden, inner = spec.hidden_size, spec.inner_size
    for short, shape in (("gate", (inner, hidden)), ("up", (inner, hidden)), ("down", (hidden, inner))):
        yield TensorSlot(f"mlp.{short}.weight", f"ffn_{short}.weight", f"mlp.{short}_proj.weight", shape)
