"""DSpark as DeepSpec saves it: a flat Qwen3 config, DSpark's keys beside the rest, all layers looking both ways.

Layers of the target count by their output, as here.

Source: deepseek-ai/DeepSpec (`Qwen3DSparkModel`).
"""

from __future__ import annotations

from dataclasses import replace

from outrider.core.draft_spec import DFlashSpec
from outrider.io.drafters.dspark import read_confidence, read_markov_kind, read_markov_rank
from outrider.io.drafters.names import match_tensors
from outrider.io.drafters.reading import Reading
from outrider.io.drafters.stack import check_taps, read_stack, unknown_taps
from outrider.io.drafters.store import TensorStore, offer
from outrider.io.drafters.zlab import MAX_BLOCK, check_dflash, published_name
from outrider.io.fields import Fields


def is_deepspec(config: Fields) -> bool:
    return any("DSpark" in name for name in config.texts("architectures")) and config.has("markov_rank")


def read_deepspec(config: Fields, store: TensorStore, num_target_layers: int) -> Reading:
    """Raises: CheckpointError where the config or the tensors are not those of a Qwen3 DSpark model."""
    stack = replace(read_stack(config, "qwen3"), qk_norm=True)
    layers = config.integer("num_target_layers", num_target_layers)
    given = config.integers("target_layer_ids")
    if not given:
        raise unknown_taps(config.where)
    rank = read_markov_rank(config)
    spec = DFlashSpec(
        stack=stack,
        taps=check_taps(config.where, given, layers),
        target_hidden_size=stack.hidden_size,
        draft_vocab_size=stack.vocab_size,
        num_target_layers=layers,
        block_size=config.integer("block_size", low=2, high=MAX_BLOCK),
        mask_id=config.integer("mask_token_id"),
        causal=(False,) * stack.num_layers,
        from_anchor=True,
        markov_rank=rank,
        markov_kind=read_markov_kind(config) if rank else "vanilla",
        confidence=read_confidence(config, rank, store),
    )
    check_dflash(config, spec)
    return Reading(spec, match_tensors(spec, offer(store, published_name)))
