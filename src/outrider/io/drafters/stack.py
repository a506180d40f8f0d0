"""A drafter's own decoder layers, read from a flat configuration in the style of `config.json`."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from outrider.core.spec import ModelSpec
from outrider.errors import CheckpointError, ConfigError
from outrider.io.fields import Fields
from outrider.io.hf_config import read_spec
from outrider.io.hf_rope import rope_config

_log = logging.getLogger(__name__)

MAX_TAPS = 64
_FAMILIES = ("qwen3", "llama")
_SLIDING, _FULL = "sliding_attention", "full_attention"


def read_stack(config: Fields, family: str) -> ModelSpec:
    """The draft's layers; `family` where the file does not name one. Its `vocab_size` is the target's.

    Raises: CheckpointError as `read_spec`, or where the layers are of another family.
    """
    kind = config.text("model_type", family)
    if kind not in _FAMILIES:
        raise config.unsupported("model_type", kind, f"draft layers of {' or '.join(_FAMILIES)}")
    filled = Fields(config.where, {**config.values, "model_type": kind})
    return replace(read_spec(filled, Fields("", {})), tied_head=False, eos_ids=(), bos_id=None)


def read_sliding(config: Fields, stack: ModelSpec) -> tuple[bool, ...]:
    """Which layers the file calls sliding, whether or not it gives them a window."""
    kinds = config.texts("layer_types")
    if not kinds:
        return stack.sliding or (False,) * stack.num_layers
    if len(kinds) != stack.num_layers:
        raise CheckpointError(f"{config.where}: 'layer_types' lists {len(kinds)} layers, expected {stack.num_layers}")
    return tuple(kind == _SLIDING for kind in kinds)


def check_taps(where: str, taps: Iterable[int], num_target_layers: int) -> tuple[int, ...]:
    """Taps as this project counts them. Warns of one that published code reads elsewhere.

    Raises: CheckpointError where one is named twice, is the embedding, or is no layer of the target.
    """
    found = tuple(taps)
    if not 1 <= len(found) <= MAX_TAPS or len(set(found)) != len(found):
        raise CheckpointError(f"{where}: expected 1 to {MAX_TAPS} different layers of the target, not {list(found)}")
    if min(found) < 0:
        raise CheckpointError(f"{where}: a feature from before the target's first layer is not supported")
    if num_target_layers and max(found) >= num_target_layers:
        raise CheckpointError(f"{where}: layer {max(found)} is tapped, but the target has {num_target_layers} layers")
    if num_target_layers and max(found) == num_target_layers - 1:
        _log.warning(
            "%s: the target's last layer is tapped before the final norm; if it was trained through transformers, "
            "which gives the output behind it, few drafts will be accepted",
            where,
        )
    return found


def unknown_taps(where: str) -> CheckpointError:
    return CheckpointError(
        f"{where}: names no layers of the target, and how many it has is not known; say so with num_target_layers"
    )


def check_at_most(fields: Fields, key: str, value: int, limit: int, what: str) -> None:
    """Raises: CheckpointError where `value` is above `limit`, which is `what`."""
    if value > limit:
        raise CheckpointError(f"{fields.where}: '{key}' is {value}, expected at most {what}, {limit}")


def read_draft_vocabulary(config: Fields, stack: ModelSpec, default: int) -> int:
    """How many tokens can be proposed. Raises: CheckpointError where they are more than there are."""
    size = config.integer("draft_vocab_size", default, low=1)
    check_at_most(config, "draft_vocab_size", size, stack.vocab_size, "the vocabulary")
    return size


def stack_config(stack: ModelSpec) -> dict[str, object]:
    """The layers as a flat config that `read_stack` reads back, with the rotation in old and new keys.

    Raises: ConfigError naming what such a config has no word for.
    """
    if stack.qkv_bias != stack.out_bias:
        raise ConfigError("biases of queries, keys and values without one of the output cannot be written")
    config: dict[str, object] = {
        "model_type": stack.family,
        "vocab_size": stack.vocab_size,
        "hidden_size": stack.hidden_size,
        "intermediate_size": stack.inner_size,
        "num_hidden_layers": stack.num_layers,
        "num_attention_heads": stack.num_heads,
        "num_key_value_heads": stack.num_kv_heads,
        "head_dim": stack.head_size,
        "hidden_act": "silu",
        "max_position_embeddings": stack.max_positions,
        "rms_norm_eps": stack.norm_eps,
        "attention_bias": stack.qkv_bias,
        "tie_word_embeddings": False,
        **rope_config(stack.rope),
    }
    if stack.window:
        config |= {"use_sliding_window": True, "sliding_window": stack.window, "max_window_layers": stack.num_layers}
        config["layer_types"] = [_SLIDING if slides else _FULL for slides in stack.sliding]
    return config
