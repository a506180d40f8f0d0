"""Published drafters, opened: the facts, the names, the values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny_drafters as tiny
from outrider.core.draft_spec import ConvSpec, DFlashSpec, DraftSpec, Eagle3Spec, SelectorSpec
from outrider.core.spec import ModelSpec, RopeSpec
from outrider.io.drafters.open import open_drafter

STACK = ModelSpec(
    family="qwen3",
    vocab_size=tiny.VOCAB,
    hidden_size=tiny.WIDTH,
    inner_size=tiny.INNER,
    num_layers=2,
    num_heads=tiny.HEADS,
    num_kv_heads=tiny.KV_HEADS,
    head_size=tiny.HEAD,
    max_positions=512,
    norm_eps=1e-6,
    rope=RopeSpec(theta=1e6),
    qk_norm=True,
)
DFLASH = DFlashSpec(
    stack=STACK,
    taps=tiny.TAPS,
    target_hidden_size=tiny.WIDTH,
    draft_vocab_size=tiny.VOCAB,
    num_target_layers=8,
    block_size=4,
    mask_id=39,
    causal=(False, False),
)
DFLASH2 = replace(DFLASH, conv=ConvSpec(kernel=2, group=4), selector=SelectorSpec(rank=3, top_k=5))
DSPARK = replace(DFLASH, from_anchor=True, markov_rank=3, confidence="hidden_markov", draft_vocab_size=len(tiny.KEPT))
EAGLE3 = Eagle3Spec(
    stack=replace(STACK, family="llama", num_layers=1, qk_norm=False, rope=RopeSpec(theta=10_000.0)),
    taps=tiny.TAPS,
    target_hidden_size=tiny.WIDTH,
    draft_vocab_size=len(tiny.KEPT),
)
EAGLE_LAYER = {"transformer_layer_config": {**tiny.eagle3_config(), "architectures": None}}


def of_library(spec: DFlashSpec) -> DFlashSpec:
    """The same drafter as speculators describes it: it names the verifier and not how many layers that has."""
    return replace(spec, num_target_layers=0, verifier="Qwen/Qwen3-4B")


def layers(prefix: str) -> Callable[[], tiny.Tensors]:
    return lambda: tiny.eagle3_tensors(prefix)


CASES: dict[str, tuple[str, DraftSpec, tiny.Config, Callable[[], tiny.Tensors]]] = {
    "z-lab": ("z-lab", DFLASH, tiny.zlab_config(), tiny.dflash_tensors),
    "z-lab 2": ("z-lab", DFLASH2, tiny.zlab2_config(), tiny.dflash2_tensors),
    "dflash": ("speculators", of_library(DFLASH), tiny.speculators_config("dflash"), tiny.dflash_tensors),
    "dflash2": ("speculators", of_library(DFLASH2), tiny.speculators_config("dflash2"), tiny.dflash2_tensors),
    "dspark": ("speculators", of_library(DSPARK), tiny.speculators_config("dspark"), tiny.dspark_tensors),
    "eagle3": ("eagle3", EAGLE3, tiny.eagle3_config(), tiny.eagle3_tensors),
    "eagle3 of speculators": (
        "speculators",
        replace(EAGLE3, verifier="Qwen/Qwen3-4B", norm_before_residual=True),
        tiny.speculators_config("eagle3", **EAGLE_LAYER),
        layers("layers.0."),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_facts_and_values(name: str, tmp_path: Path) -> None:
    kind, spec, config, tensors = CASES[name]
    values = tensors()
    checkpoint = open_drafter(tiny.write_drafter(tmp_path, config, values))
    assert checkpoint.format == kind
    assert checkpoint.spec == spec
    assert torch.equal(checkpoint.tensor("fc.weight", torch.bfloat16), values["fc.weight"])
    assert len(checkpoint.names) == len(values) - (1 if "t2d" in values else 0)
    assert checkpoint.thinking is None
    if spec.has_reduced_vocab:
        assert checkpoint.tensor("draft_ids", torch.int64).tolist() == list(tiny.KEPT)


@pytest.mark.parametrize("name", CASES)
def test_a_leading_model_changes_nothing(name: str, tmp_path: Path) -> None:
    _, spec, config, tensors = CASES[name]
    renamed = {f"model.{name}" if "2" not in name else name: value for name, value in tensors().items()}
    checkpoint = open_drafter(tiny.write_drafter(tmp_path, config, renamed))
    assert checkpoint.spec == spec
    assert checkpoint.tensor("layers.0.attn.q.weight", torch.float32).dtype == torch.float32
