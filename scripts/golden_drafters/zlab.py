"""DFlash and DFlash 2 as the package `dflash` computes them, block after block on its own cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from dflash import model as zlab
from torch import Tensor
from transformers import Qwen3Config

from golden_drafters.case import (
    Case,
    check_close,
    check_margin,
    made_by,
    record_decided,
    rename_tensors,
    save_model,
)
from golden_drafters.target import Target, randomise, tiny_target


@dataclass(frozen=True, slots=True)
class Recipe:
    """`config` is laid over the defaults of `config_of`, `draft` over its `dflash_config`."""

    name: str
    seed: int
    config: Mapping[str, object] = field(default_factory=dict)
    draft: Mapping[str, object] = field(default_factory=dict)
    vocab: int = 61
    hidden: int = 24
    target_layers: int = 6
    starts: tuple[int, ...] = (5, 6, 13)
    dtype: str = "bfloat16"
    kind: str = "qwen3"
    published: bool = False  # with the names of the published files, which differ from those that the package writes


PUBLISHED = {f"candidate_selector.{name}.weight": f"candidate_selector.{name}"
             for name in ("predecessor_codebook", "successor_codebook")}
SLIDING = {"use_sliding_window": True, "num_hidden_layers": 2}
CONV = {"conv_kernel_size": 2, "conv_group_size": 8, "selector_rank": 6, "selector_top_k": 4}
RECIPES = (
    Recipe("dflash-zlab-plain", 1, draft={"block_size": 8, "mask_token_id": 60, "target_layer_ids": [1, 3]},
           dtype="float32"),
    Recipe("dflash-zlab-one-layer", 2, {"num_hidden_layers": 1, "num_attention_heads": 3, "num_key_value_heads": 1,
                                        "head_dim": 12, "block_size": 2}, {"mask_token_id": 0}, vocab=97, hidden=16,
           starts=(1, 2, 4, 9, 21)),
    Recipe("dflash-zlab-default-taps", 3, {"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
                                           "head_dim": 10, "block_size": 16}, {"mask_token_id": 31}, vocab=32,
           target_layers=9, starts=(12, 17, 19, 20)),
    Recipe("dflash-zlab-window-causal", 4, {**SLIDING, "sliding_window": 7, "layer_types": ["sliding_attention"] * 2},
           {"block_size": 5, "mask_token_id": 60, "target_layer_ids": [0, 2, 4]}, starts=(3, 8, 9, 14, 30)),
    Recipe("dflash-zlab-window-mixed", 5, {**SLIDING, "num_hidden_layers": 3, "sliding_window": 4,
                                           "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
           {"block_size": 8, "mask_token_id": 60, "target_layer_ids": [2]}, starts=(2, 12, 14, 22)),
    Recipe("dflash-zlab-window-both-ways", 6, {**SLIDING, "sliding_window": 6, "is_causal": False,
                                               "layer_types": ["sliding_attention", "full_attention"]},
           {"block_size": 16, "mask_token_id": 60, "target_layer_ids": [1, 4]}, starts=(9, 11, 25)),
    Recipe("dflash-zlab-causal", 7, {"num_hidden_layers": 2, "is_causal": True, "attention_bias": True},
           {"block_size": 8, "mask_token_id": 60, "target_layer_ids": [1, 4]}, starts=(9, 11, 25)),
    Recipe("dflash-zlab-scaled", 8, {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
           {"block_size": 5, "mask_token_id": 4, "target_layer_ids": [1, 4], "input_embedding_scale": 4.5,
            "output_multiplier": 0.75, "final_logit_softcapping": 3.0}),
    Recipe("dflash-zlab-llama-target", 9, {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16},
           {"block_size": 8, "mask_token_id": 2, "target_layer_ids": [0, 1, 2]}, kind="llama", target_layers=4),
    Recipe("dflash2-zlab", 10, {**SLIDING, "sliding_window": 9, "is_causal": False,
                                "layer_types": ["sliding_attention"] * 2},
           {"block_size": 8, "mask_token_id": 60, "target_layer_ids": [1, 3, 4], **CONV}, starts=(4, 12, 14, 30),
           published=True),
    Recipe("dflash2-zlab-wide", 11, {"num_hidden_layers": 1},
           {"block_size": 5, "mask_token_id": 60, "target_layer_ids": [3], **CONV, "conv_kernel_size": 3,
            "conv_group_size": 4, "selector_rank": 12, "selector_top_k": 16, "output_multiplier": 1.5,
            "final_logit_softcapping": 5.0}, starts=(2, 3, 8, 20)),
)


def config_of(recipe: Recipe) -> Qwen3Config:
    sizes = {"vocab_size": recipe.vocab, "hidden_size": recipe.hidden, "intermediate_size": recipe.hidden + 4,
             "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8,
             "max_position_embeddings": 256, "tie_word_embeddings": False, "rms_norm_eps": 1e-6}
    return Qwen3Config(**{**sizes, **recipe.config}, num_target_layers=recipe.target_layers,
                       dflash_config=dict(recipe.draft))


def build(recipe: Recipe) -> zlab.DFlashDraftModel:
    two = "conv_kernel_size" in recipe.draft
    model = (zlab.DFlash2DraftModel if two else zlab.DFlashDraftModel)(config_of(recipe))
    randomise(model, 100 + recipe.seed)
    return model.eval().requires_grad_(False)


def block_hidden(model: zlab.DFlashDraftModel, target: Target, start: int, rows: slice, cache: object) -> Tensor:
    """The draft's last rows for the block whose anchor is at `start`, fed with the features of `rows`."""
    ids = torch.full((1, model.block_size), model.mask_token_id)
    ids[0, 0] = target.tokens[start]
    scale = float(zlab._draft_value(model.config, "input_embedding_scale", 1.0))
    return model(
        target_hidden=target.features(model.target_layer_ids)[None, rows],
        noise_embedding=zlab._raw_input_embeddings(target.model, ids, scale),
        position_ids=torch.arange(rows.start, start + model.block_size)[None],
        past_key_values=cache, use_cache=cache is not None,
    )[:, 1 - model.block_size:]


@torch.inference_mode()
def record(recipe: Recipe) -> None:
    target = tiny_target(recipe.kind, vocab=recipe.vocab, hidden=recipe.hidden, layers=recipe.target_layers,
                         seed=recipe.seed, length=recipe.starts[-1] + 2)
    model, last, rows = build(recipe), 0, []
    cache = zlab._make_cache(model.config)
    for start in recipe.starts:
        hidden = block_hidden(model, target, start, slice(last, start), cache)
        zlab._crop_to(cache, start)
        check_close(recipe.name, hidden, block_hidden(model, target, start, slice(0, start), None))
        rows.append(hidden[0])
        last = start
    arrays = {"hidden": torch.stack(rows), **outputs(model, target, recipe, torch.stack(rows))}
    folder = save_model(recipe.name, model, recipe.dtype)
    if recipe.published:
        rename_tensors(folder, PUBLISHED)
        check_reload(recipe, model, folder)
    facts = {"kind": "dflash", "format": "z-lab", "made_by": made_by("dflash"), "seed": recipe.seed,
             "taps": list(model.target_layer_ids), "target_layers": recipe.target_layers, "target": recipe.kind,
             "block_size": model.block_size, "mask_id": model.mask_token_id, "from_anchor": False}
    arrays["starts"] = torch.tensor(recipe.starts)
    Case(recipe.name, facts, {**target.arrays(), **arrays}).write()


def check_reload(recipe: Recipe, model: zlab.DFlashDraftModel, folder: Path) -> None:
    again = type(model).from_pretrained(folder, dtype=torch.float32).state_dict()
    for name, tensor in model.state_dict().items():
        check_close(f"{recipe.name}: {name}", again[name], tensor, 0.0)


def outputs(model: zlab.DFlashDraftModel, target: Target, recipe: Recipe, hidden: Tensor) -> dict[str, Tensor]:
    logits = model.compute_logits(hidden, target.model.lm_head)
    if not isinstance(model, zlab.DFlash2DraftModel):
        check_margin(recipe.name, logits)
        return {"logits": logits, "drafts": logits.argmax(-1)}
    anchors = target.tokens[torch.tensor(recipe.starts)]
    drafts = model.propose(hidden, anchors, target.model.lm_head, 0.0)[0]
    candidates, scores = walk(model.candidate_selector, hidden, logits, torch.cat([anchors[:, None], drafts], 1))
    check_margin(recipe.name, scores)
    if not bool((candidates.gather(-1, scores.argmax(-1, keepdim=True))[..., 0] == drafts).all()):
        raise ValueError(f"{recipe.name}: the walk's scores are not the package's")
    return {"logits": logits, "drafts": drafts, "candidates": candidates, "scores": scores}


def walk(selector: zlab.CandidateSelector, hidden: Tensor, logits: Tensor, path: Tensor) -> tuple[Tensor, Tensor]:
    """Candidates of each row, best first, and their scores behind the token before; the package keeps these inside."""
    unary, candidates = torch.topk(logits, selector.top_k, dim=-1)
    context = selector.predecessor_codebook(path[:, :-1]) * selector.hidden_projection(hidden)
    return candidates, unary + (context[:, :, None] * selector.successor_codebook(candidates)).sum(-1)


def record_all() -> None:
    for recipe in RECIPES:
        record_decided(record, recipe)
