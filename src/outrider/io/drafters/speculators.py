"""The layout of the `speculators` library: DFlash, DFlash 2, DSpark and EAGLE-3.

`transformer_layer_config` is written as what differs from the defaults of its class, so the defaults stand here. Layer
i of the target means the input of its layer i, that is the output of layer i - 1; 0 would be the embedding.

Source: `speculators` 0.9.0 (config.py, models/*/config.py, models/*/core.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from outrider.core.draft_spec import DFlashSpec, Eagle3Spec
from outrider.core.spec import ModelSpec
from outrider.errors import CheckpointError
from outrider.io.drafters.dspark import read_confidence, read_markov_kind, read_markov_rank
from outrider.io.drafters.names import match_tensors
from outrider.io.drafters.reading import Reading
from outrider.io.drafters.stack import check_taps, read_draft_vocabulary, read_sliding, read_stack, unknown_taps
from outrider.io.drafters.store import TensorStore, offer
from outrider.io.drafters.zlab import MAX_BLOCK, check_dflash, published_name, read_conv, read_selector
from outrider.io.fields import Fields

TYPE = "speculators_model_type"
SECTION = "speculators_config"
LAYER = "transformer_layer_config"
METHODS = ("dflash", "dflash2", "dspark", "eagle3")
FAMILY = "qwen3"  # of draft layers whose config names none
DRAFT_VOCABULARY = 32_000
# What the classes of the transformers library take for keys that are left out; head sizes and the like follow.
CLASS_DEFAULTS: dict[str, dict[str, object]] = {
    "qwen3": {
        "vocab_size": 151_936,
        "hidden_size": 4096,
        "intermediate_size": 22_016,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "head_dim": 128,
        "max_position_embeddings": 32_768,
    },
    "llama": {
        "vocab_size": 32_000,
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "max_position_embeddings": 2048,
    },
}


def is_speculators(config: Fields) -> bool:
    return config.has(TYPE)


def verifier_of(config: Fields) -> str:
    """The target that the file was made for; nothing where it does not say."""
    return config.section(SECTION).section("verifier").text("name_or_path", "")


def read_speculators(config: Fields, store: TensorStore, num_target_layers: int) -> Reading:
    """Raises: CheckpointError where the library would not load the file, or we cannot run what it describes."""
    method = config.text(TYPE)
    if method not in METHODS:
        raise config.unsupported(TYPE, method, ", ".join(METHODS))
    layer = _layer_config(config)
    layers = config.integer("num_target_layers", num_target_layers)  # ours: the library keeps what it does not know
    spec = _eagle3(config, layer, layers) if method == "eagle3" else _dflash(config, layer, layers, store)
    return Reading(spec, match_tensors(spec, offer(store, published_name)))


def _layer_config(config: Fields) -> Fields:
    """The draft layers' config with the defaults filled in."""
    given = config.section(LAYER)
    kind = given.text("model_type", FAMILY)
    if kind not in CLASS_DEFAULTS:
        raise given.unsupported("model_type", kind, ", ".join(CLASS_DEFAULTS))
    present = {key: value for key, value in given.values.items() if value is not None}
    values = {**CLASS_DEFAULTS[kind], **present, "model_type": kind}
    rope = values.get("rope_parameters")
    if isinstance(rope, dict) and isinstance(rope.get("sliding_attention"), dict):
        values["rope_parameters"] = rope["sliding_attention"]  # the library rotates all layers like these
    return Fields(given.where, values)


def _stack(layer: Fields) -> ModelSpec:
    """With windows as the library takes them: for llama layers too, if the config has them."""
    stack = read_stack(layer, FAMILY)
    window = layer.integer("sliding_window", 0)
    sliding = read_sliding(layer, stack)
    if stack.family == "llama" and window and any(sliding):
        return replace(stack, sliding=sliding, window=window, local_rope=stack.rope)
    return stack


def _dflash(config: Fields, layer: Fields, layers: int, store: TensorStore) -> DFlashSpec:
    method = config.text(TYPE)
    stack = replace(_stack(layer), family=FAMILY, qk_norm=True)  # whatever the config's class
    looks_ahead = config.flag("sliding_window_non_causal", method == "dflash2")
    rank = read_markov_rank(config) if method == "dspark" else 0
    spec = DFlashSpec(
        stack=stack,
        taps=_taps(config, "aux_hidden_state_layer_ids", layers),
        target_hidden_size=config.integer("target_hidden_size", stack.hidden_size, low=1),
        draft_vocab_size=read_draft_vocabulary(config, stack, DRAFT_VOCABULARY),
        num_target_layers=layers,
        verifier=verifier_of(config),
        block_size=config.integer("block_size", 8, low=2, high=MAX_BLOCK),
        mask_id=config.integer("mask_token_id"),
        causal=tuple(slides and not looks_ahead for slides in stack.sliding or (False,) * stack.num_layers),
        from_anchor=config.flag("sample_from_anchor", method == "dspark"),
        conv=read_conv(config, kernel=2, group=16) if method == "dflash2" else None,
        selector=read_selector(config, rank=256, top_k=16) if method == "dflash2" else None,
        markov_rank=rank,
        markov_kind=read_markov_kind(config) if rank else "vanilla",
        confidence=_confidence(config, rank, store) if method == "dspark" else "none",
    )
    if spec.selector is not None and spec.has_reduced_vocab:
        raise CheckpointError(f"{config.where}: dflash2 needs the whole vocabulary, 'draft_vocab_size' reduces it")
    _refuse_projector(config)
    check_dflash(config, spec)
    return spec


def _confidence(config: Fields, rank: int, store: TensorStore) -> Literal["none", "hidden", "hidden_markov"]:
    """As the class has it: with a head that sees both, unless the file says otherwise."""
    defaults = {"enable_confidence_head": True, "confidence_head_with_markov": True}
    given = {key: value for key, value in config.values.items() if value is not None}
    return read_confidence(Fields(config.where, {**defaults, **given}), rank, store)


def _eagle3(config: Fields, layer: Fields, layers: int) -> Eagle3Spec:
    stack = _stack(layer)
    spec = Eagle3Spec(
        stack=stack,
        taps=_taps(config, "eagle_aux_hidden_state_layer_ids", layers),
        target_hidden_size=config.integer("target_hidden_size", stack.hidden_size, low=1),
        draft_vocab_size=read_draft_vocabulary(config, stack, DRAFT_VOCABULARY),
        num_target_layers=layers,
        verifier=verifier_of(config),
        norm_before_residual=config.flag("norm_before_residual", False),
        norm_before_fc=config.flag("norm_before_fc", False),
        fc_norm=config.flag("fc_norm", False),
        norm_output=config.flag("norm_output", False),
    )
    if spec.fc_norm and spec.norm_before_fc:
        raise CheckpointError(f"{config.where}: 'norm_before_fc' and 'fc_norm' exclude each other")
    return spec


def _taps(config: Fields, key: str, layers: int) -> tuple[int, ...]:
    given = config.integers(key)
    if not given and not layers:
        raise unknown_taps(config.where)
    inputs = given or (2, layers // 2, layers - 3)
    return check_taps(config.where, (layer - 1 for layer in inputs), layers)


def _refuse_projector(config: Fields) -> None:
    projector = config.text("projector_type", "dflash")
    if projector != "dflash":
        raise config.unsupported("projector_type", projector, "dflash")
