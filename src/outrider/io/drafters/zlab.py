"""z-lab's own layout: DFlash and DFlash 2, with SpecForge's DSpark in the same form.

A flat Qwen3 `config.json`; what is DFlash's stands in `dflash_config` or, in older files, beside the rest. Layers of
the target count from 0 and mean a layer's output, as here.

Source: the `dflash` package 0.1.0 (`DFlashDraftModel`, `DFlash2DraftModel`).
"""

from __future__ import annotations

import re
from dataclasses import replace

from outrider.core.draft_spec import ConvSpec, DFlashSpec, DraftSpec, SelectorSpec
from outrider.core.spec import ModelSpec
from outrider.errors import CheckpointError, ConfigError
from outrider.io.drafters.dspark import read_confidence, read_markov_kind, read_markov_rank
from outrider.io.drafters.names import match_tensors
from outrider.io.drafters.reading import Reading
from outrider.io.drafters.stack import check_at_most, check_taps, read_sliding, read_stack, stack_config, unknown_taps
from outrider.io.drafters.store import TensorStore, offer
from outrider.io.fields import MAX_SIZE, Fields

MAX_BLOCK = 1024
SECTION = "dflash_config"
_BLOCK = 16
# What a few makers call the same tensors.
_ALIASES = {
    "encoder.fc.weight": "fc.weight",
    "encoder.output_norm_enc.weight": "hidden_norm.weight",
    "context_proj.weight": "fc.weight",
    "context_norm.weight": "hidden_norm.weight",
    "final_norm.weight": "norm.weight",
    "candidate_selector.predecessor_codebook.weight": "candidate_selector.predecessor_codebook",
    "candidate_selector.successor_codebook.weight": "candidate_selector.successor_codebook",
}
# Variants whose layers compute something else; each is a switch that files leave off or out.
_VARIANTS = (
    "causal_head",
    "enable_hidden_correction",
    "shift_label",
    "attention_sink_bias",
    "attention_value_scale",
    "attention_mode",
    "use_swa",
    "swa_window_size",
)


def is_zlab(config: Fields) -> bool:
    return config.has(SECTION) or any("DFlash" in name for name in config.texts("architectures"))


def read_zlab(config: Fields, store: TensorStore, num_target_layers: int) -> Reading:
    """Raises: CheckpointError where the config or the tensors are not what the package would load."""
    own = config.section(SECTION)
    merged = Fields(own.where if own.values else config.where, {**config.values, **own.values})
    _refuse_variants(merged)
    stack = replace(read_stack(config, "qwen3"), qk_norm=True)
    layers = config.integer("num_target_layers", num_target_layers)
    spec = DFlashSpec(
        stack=stack,
        taps=_taps(merged, stack, layers),
        target_hidden_size=merged.integer("target_hidden_size", stack.hidden_size, low=1),
        draft_vocab_size=stack.vocab_size,
        num_target_layers=layers,
        block_size=merged.integer("block_size", _BLOCK, low=2, high=MAX_BLOCK),
        mask_id=merged.integer("mask_token_id", high=MAX_SIZE),
        causal=_causal(merged, config, stack),
        input_scale=merged.positive("input_embedding_scale", 1.0),
        output_scale=merged.positive("output_multiplier", 1.0),
        softcap=_softcap(merged),
        conv=read_conv(merged) if _is_second(merged) else None,
        selector=read_selector(merged) if _is_second(merged) else None,
    )
    spec = _dspark(spec, merged, store)
    check_dflash(merged, spec)
    return Reading(spec, match_tensors(spec, offer(store, published_name)))


def published_name(name: str) -> str:
    name = name.removeprefix("model.")
    return _ALIASES.get(name, name)


def default_taps(num_target_layers: int, num_layers: int) -> tuple[int, ...]:
    """One for each draft layer, evenly from layer 1 to the third last; halves round to the even layer."""
    if num_layers == 1:
        return (num_target_layers // 2,)
    return tuple(round(1 + index * (num_target_layers - 4) / (num_layers - 1)) for index in range(num_layers))


def read_conv(fields: Fields, kernel: int | None = None, group: int | None = None) -> ConvSpec:
    return ConvSpec(
        fields.integer("conv_kernel_size", kernel, low=1, high=MAX_BLOCK),
        fields.integer("conv_group_size", group, low=1),
    )


def read_selector(fields: Fields, rank: int | None = None, top_k: int | None = None) -> SelectorSpec:
    return SelectorSpec(fields.integer("selector_rank", rank, low=1), fields.integer("selector_top_k", top_k, low=1))


def check_dflash(fields: Fields, spec: DFlashSpec) -> None:
    """What every DFlash config must fulfil, whatever the format. Raises: CheckpointError."""
    vocabulary = spec.stack.vocab_size
    check_at_most(fields, "mask_token_id", spec.mask_id, vocabulary - 1, "the last token")
    if spec.selector is not None:
        check_at_most(fields, "selector_top_k", spec.selector.top_k, vocabulary, "the vocabulary")
    if spec.conv is not None:
        check_at_most(fields, "conv_kernel_size", spec.conv.kernel, spec.block_size, "the block")
        if spec.stack.hidden_size % spec.conv.group:
            raise CheckpointError(
                f"{fields.where}: groups of {spec.conv.group} do not divide the hidden size {spec.stack.hidden_size}"
            )


def _is_second(fields: Fields) -> bool:
    named = any(re.fullmatch(r"DFlash2\w*", name) for name in fields.texts("architectures"))
    return named or fields.has("conv_kernel_size") or fields.has("selector_rank")


def _taps(fields: Fields, stack: ModelSpec, layers: int) -> tuple[int, ...]:
    given = fields.integers("target_layer_ids")
    if not given and not layers:
        raise unknown_taps(fields.where)
    return check_taps(fields.where, given or default_taps(layers, stack.num_layers), layers)


def _causal(merged: Fields, config: Fields, stack: ModelSpec) -> tuple[bool, ...]:
    """Unless the file says otherwise, sliding layers look back only, and full ones at the whole block."""
    for key in ("is_causal", "causal"):  # the second is a vendor's word
        if merged.has(key):
            return (merged.flag(key),) * stack.num_layers
    return read_sliding(config, stack)


def _softcap(fields: Fields) -> float | None:
    """Zero and below mean none, as in the package."""
    cap = fields.number("final_logit_softcapping", 0.0)
    return cap if cap > 0 else None


def _dspark(spec: DFlashSpec, fields: Fields, store: TensorStore) -> DFlashSpec:
    projector = fields.text("projector_type", "dflash")
    if projector not in ("dflash", "dspark"):
        raise fields.unsupported("projector_type", projector, "dflash, dspark")
    if projector == "dflash":
        return spec
    rank = read_markov_rank(fields)
    return replace(
        spec,
        from_anchor=fields.flag("sample_from_anchor", True),
        markov_rank=rank,
        markov_kind=read_markov_kind(fields) if rank else "vanilla",
        confidence=read_confidence(fields, rank, store),
    )


def _refuse_variants(fields: Fields) -> None:
    for key in fields.names():
        if key.startswith("lilicorr") or (key in _VARIANTS and fields.values[key]):
            raise CheckpointError(f"{fields.where}: '{key}' belongs to a variant of DFlash that is not supported")
    if not fields.flag("rope_is_neox_style", True):
        raise fields.unsupported("rope_is_neox_style", False, "true")
    variant = fields.text("model_arch", "dflash")
    if variant != "dflash":
        raise fields.unsupported("model_arch", variant, "dflash")


def zlab_config(spec: DraftSpec) -> dict[str, object]:
    """A config.json of this layout. Raises: ConfigError naming what it has no place for."""
    if not isinstance(spec, DFlashSpec):
        raise ConfigError("z-lab's layout holds DFlash drafters only")
    unheld = {
        "a reduced draft vocabulary": spec.has_reduced_vocab,
        "DSpark's heads": bool(spec.markov_rank) or spec.confidence != "none",
        "a prediction from the anchor's row": spec.from_anchor,
        "features of another size than the draft's": spec.target_hidden_size != spec.stack.hidden_size,
        "a convolution without a selector": (spec.conv is None) != (spec.selector is None),
    }
    for what, there in unheld.items():
        if there:
            raise ConfigError(f"z-lab's layout cannot hold {what}")
    named = "DFlashDraftModel" if spec.conv is None else "DFlash2DraftModel"
    config = {"architectures": [named], **stack_config(spec.stack), **_looking(spec)}
    if spec.num_target_layers:
        config["num_target_layers"] = spec.num_target_layers
    return {**config, SECTION: _own(spec)}


def _own(spec: DFlashSpec) -> dict[str, object]:
    own: dict[str, object] = {
        "block_size": spec.block_size,
        "mask_token_id": spec.mask_id,
        "target_layer_ids": list(spec.taps),
    }
    if spec.input_scale != 1:
        own["input_embedding_scale"] = spec.input_scale
    if spec.output_scale != 1:
        own["output_multiplier"] = spec.output_scale
    if spec.softcap is not None:
        own["final_logit_softcapping"] = spec.softcap
    if spec.conv is not None:
        own |= {"conv_kernel_size": spec.conv.kernel, "conv_group_size": spec.conv.group}
    if spec.selector is not None:
        own |= {"selector_rank": spec.selector.rank, "selector_top_k": spec.selector.top_k}
    return own


def _looking(spec: DFlashSpec) -> dict[str, object]:
    """What says which layers look back only: nothing where the default does."""
    slides = spec.stack.sliding or (False,) * spec.stack.num_layers
    if spec.causal == slides:
        return {}
    if len(set(spec.causal)) > 1:
        raise ConfigError("z-lab's layout cannot hold layers that look both ways beside some that look back only")
    return {"is_causal": spec.causal[0]}
