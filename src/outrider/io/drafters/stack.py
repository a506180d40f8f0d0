"""A drafter's own decoder layers, read from a flat configuration in the style of `config.json`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from outrider.core.spec import ModelSpec
from outrider.errors import CheckpointError
from outrider.io.fields import Fields
from outrider.io.hf_config import read_spec

MAX_TAPS = 64
_FAMILIES = ("qwen3", "llama")
_SLIDING = "sliding_attention"


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
    """Taps as this project counts them, or the reason why they cannot be.

    Raises: CheckpointError where one is named twice, is the embedding, or lies behind the last layer's norm.
    """
    found = tuple(taps)
    if not 1 <= len(found) <= MAX_TAPS or len(set(found)) != len(found):
        raise CheckpointError(f"{where}: expected 1 to {MAX_TAPS} different layers of the target, not {list(found)}")
    if min(found) < 0:
        raise CheckpointError(f"{where}: a feature from before the target's first layer is not supported")
    # Published code reads the last layer's output behind the final norm, which a tap never is.
    if num_target_layers and max(found) >= num_target_layers - 1:
        last = f"the target has {num_target_layers} layers, and the last one's output is only known behind the norm"
        raise CheckpointError(f"{where}: layer {max(found)} cannot be tapped: {last}")
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
