"""Drafters with random weights, for the toy target or any other: what they propose is nonsense, but well-defined."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from outrider.core.draft_spec import ConvSpec, DFlashSpec, DraftSpec, Eagle3Spec, SelectorSpec, SpecBlockSpec
from outrider.core.spec import ModelSpec
from outrider.io.drafters.export import TrainedDraft
from outrider.io.drafters.names import draft_slots
from outrider.target.tiny import TINY


def tiny_draft(name: str | Path, seed: int = 0, target: ModelSpec = TINY) -> TrainedDraft:
    """A drafter by the name of its spec in `tiny_specs`."""
    return random_draft(tiny_specs(target)[str(name)], seed)


def random_draft(spec: DraftSpec, seed: int = 0, dtype: torch.dtype = torch.float32) -> TrainedDraft:
    """A drafter with weights drawn from `seed`; the embedding is borrowed, as is a head over the whole vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for slot in draft_slots(spec):
        if not slot.optional:
            plain = torch.randn(slot.shape, generator=generator)
            weights[slot.name] = (1 + 0.1 * plain if "norm" in slot.name else plain * slot.shape[-1] ** -0.5).to(dtype)
    if spec.has_reduced_vocab:
        shuffled = torch.randperm(spec.stack.vocab_size, generator=generator)
        weights["draft_ids"] = shuffled[: spec.draft_vocab_size].sort().values
    return TrainedDraft(spec, weights)


def tiny_specs(target: ModelSpec = TINY) -> dict[str, DraftSpec]:
    """One for each branch in a network; small, in sizes that kernels take too."""
    stack = ModelSpec(family="qwen3", vocab_size=target.vocab_size, hidden_size=target.hidden_size, inner_size=96,
                      num_layers=2, num_heads=4, num_kv_heads=2, head_size=16, max_positions=target.max_positions,
                      norm_eps=1e-6, qk_norm=True)
    sliding = replace(stack, sliding=(True, False), window=7, local_rope=stack.rope)
    thin = replace(stack, family="llama", qk_norm=False, num_layers=1)
    taps, size, vocab = tuple(range(target.num_layers)), target.hidden_size, target.vocab_size
    flash = DFlashSpec(stack=stack, taps=taps, target_hidden_size=size, draft_vocab_size=vocab, block_size=6, mask_id=1,
                       causal=(False, False))
    eagle = Eagle3Spec(stack=thin, taps=taps, target_hidden_size=size, draft_vocab_size=vocab)
    spark = replace(flash, from_anchor=True, markov_rank=32, confidence="hidden_markov")
    return {
        "dflash": flash,
        "dflash-sliding": replace(flash, stack=sliding, causal=(True, False), softcap=20.0, input_scale=2.0,
                                  output_scale=0.5),
        "dflash2": replace(flash, conv=ConvSpec(2, 16), selector=SelectorSpec(8, 6)),
        "dspark": spark,
        "dspark-gated": replace(spark, markov_kind="gated", confidence="hidden"),
        "dspark-rnn": replace(spark, markov_kind="rnn", draft_vocab_size=vocab // 2),
        "eagle3": eagle,
        "eagle3-reduced": replace(eagle, draft_vocab_size=vocab // 2, norm_before_residual=True, fc_norm=True),
        "eagle3.1": replace(eagle, stack=stack, norm_before_fc=True, norm_output=True),
        "specblock": SpecBlockSpec(stack=replace(thin, num_layers=2), taps=taps, target_hidden_size=size,
                                   draft_vocab_size=vocab, num_slots=4, rank_size=8),
    }
