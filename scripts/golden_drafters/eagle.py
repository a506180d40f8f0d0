"""EAGLE-3 as the package `speculators` computes it, also written in the two layouts that have no package of their own.

Row j holds token j + 1 and the target's feature of position j. The package's own pass runs several steps at once: step
0 is the pass over committed rows, step t goes on from every row with its own output and the text's next token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from speculators.models.eagle3.config import Eagle3SpeculatorConfig
from speculators.models.eagle3.core import Eagle3DraftModel
from torch import Tensor, nn
from transformers import LlamaConfig, Qwen3Config

from golden_drafters.anchored import speculators_config, vocabulary_maps
from golden_drafters.case import (
    Case,
    check_margin,
    made_by,
    record_decided,
    rename_tensors,
    save_model,
    write_config,
)
from golden_drafters.target import Target, randomise, tiny_target

NUM_STEPS = 3
CHAIN = 5


@dataclass(frozen=True, slots=True)
class Recipe:
    """`aux` in the package's numbering; `layout` names the files' format, `extra` goes into their config."""

    name: str
    seed: int
    layers: Mapping[str, object] = field(default_factory=dict)
    more: Mapping[str, object] = field(default_factory=dict)
    aux: tuple[int, ...] = (2, 4, 5)
    draft_vocab: int = 0
    own_embed: bool = False
    kind: str = "llama"
    layout: str = "speculators"
    extra: Mapping[str, object] = field(default_factory=dict)
    vocab: int = 61
    hidden: int = 24
    target_layers: int = 8
    starts: tuple[int, ...] = (1, 4, 9, 16)
    dtype: str = "bfloat16"


SPECFORGE = {"architectures": ["LlamaForCausalLMEagle3"]}
RECIPES = (
    Recipe("eagle3-speculators", 41, draft_vocab=29, dtype="float32"),
    Recipe("eagle3-speculators-normed-residual", 42, more={"norm_before_residual": True}, draft_vocab=40),
    Recipe("eagle3-speculators-norm-before-fc", 43, {"num_attention_heads": 3, "num_key_value_heads": 1},
           {"norm_before_fc": True, "norm_before_residual": True}),
    Recipe("eagle3-speculators-fc-norm", 44, {"head_dim": 12, "num_attention_heads": 2, "num_key_value_heads": 2},
           {"fc_norm": True, "norm_output": True}, aux=(1, 2, 3, 5, 7), draft_vocab=33),
    Recipe("eagle3-speculators-norm-output", 45, more={"norm_output": True, "norm_before_residual": True}, kind="qwen3",
           aux=(6,)),
    Recipe("eagle3-speculators-two-layers", 46, {"num_hidden_layers": 2, "attention_bias": True}, kind="qwen3",
           own_embed=True, draft_vocab=17),
    Recipe("eagle3-speculators-llama3-rope", 47, {"rope_parameters": {
        "rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16}}, {"norm_before_residual": True}, draft_vocab=29),
    Recipe("eagle3-safeailab", 51, layout="safeailab", draft_vocab=29),
    Recipe("eagle3-safeailab-full", 52, layout="safeailab", dtype="float16"),
    Recipe("eagle3-specforge", 53, layout="specforge", draft_vocab=29, extra=SPECFORGE),
    Recipe("eagle3-specforge-fc-norm", 54, more={"fc_norm": True}, aux=(1, 4, 6), layout="specforge", draft_vocab=40,
           extra={**SPECFORGE, "fc_norm": True, "eagle_config": {"eagle_aux_hidden_state_layer_ids": [0, 3, 5]}}),
)


def build(recipe: Recipe, target: Target) -> Eagle3DraftModel:
    sizes = {"vocab_size": recipe.vocab, "hidden_size": recipe.hidden, "intermediate_size": recipe.hidden + 4,
             "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
             "max_position_embeddings": 256, "tie_word_embeddings": False}
    layers = {"llama": LlamaConfig, "qwen3": Qwen3Config}[recipe.kind](**{**sizes, **recipe.layers})
    layers._attn_implementation = "eager"
    model = Eagle3DraftModel(Eagle3SpeculatorConfig(
        transformer_layer_config=layers, draft_vocab_size=recipe.draft_vocab or recipe.vocab,
        eagle_aux_hidden_state_layer_ids=list(recipe.aux), embed_requires_grad=recipe.own_embed,
        speculators_config=speculators_config("eagle3", CHAIN), **recipe.more))
    randomise(model, 100 + recipe.seed)
    if not recipe.own_embed:
        model.embed_tokens.weight.data = target.embed.clone()
    if recipe.draft_vocab:
        model.load_vocab_mappings(*vocabulary_maps(recipe.vocab, recipe.draft_vocab, recipe.seed))
    return model.eval().requires_grad_(False)


def run(model: Eagle3DraftModel, tokens: Tensor, features: Tensor, num_steps: int) -> tuple[Tensor, Tensor]:
    """The package's pass over rows (token j + 1, feature j): logits and what the next step is fed, [steps, rows, ·]."""
    logits, fed = [], []

    def keep(found: list[Tensor]) -> object:
        return lambda _, __, output: found.append(output[0].clone())

    source: nn.Module = model.norm if model.config.norm_output else model.layers[-1]
    hooks = [model.lm_head.register_forward_hook(keep(logits)), source.register_forward_hook(keep(fed))]
    num_rows = len(tokens) - 1
    padded = torch.zeros(1, num_rows, features.shape[-1])
    padded[0, : min(num_rows, len(features))] = features[:num_rows]
    model(padded, tokens[None, 1:], torch.zeros(1, num_rows, dtype=torch.long), ttt_steps=num_steps)
    for hook in hooks:
        hook.remove()
    return torch.stack(logits), torch.stack(fed)


def chain(model: Eagle3DraftModel, tokens: Tensor, features: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """Greedy drafts behind the last of `tokens`, and the logits of each; the features end one token before."""
    root, found = len(tokens) - 2, []
    for step in range(depth):
        found.append(run(model, tokens, features[: root + 1], step + 1)[0][step, root])
        best = found[-1].argmax()
        tokens = torch.cat([tokens, (best if model.d2t is None else best + model.d2t[best])[None]])
    return tokens[-depth:], torch.stack(found)


@torch.no_grad()
def record(recipe: Recipe) -> None:
    target = tiny_target(recipe.kind, vocab=recipe.vocab, hidden=recipe.hidden, layers=recipe.target_layers,
                         seed=recipe.seed, length=recipe.starts[-1] + 2)
    taps = [aux - 1 for aux in recipe.aux]
    model, features = build(recipe, target), target.features(taps)
    logits, fed = run(model, target.tokens, features[:-1], NUM_STEPS)
    chains = [chain(model, target.tokens[: start + 1], features[:start], CHAIN) for start in recipe.starts]
    chain_logits = torch.stack([each[1] for each in chains])
    check_margin(recipe.name, chain_logits)
    arrays = {"starts": torch.tensor(recipe.starts), "logits": logits, "fed": fed, "chain_logits": chain_logits,
              "drafts": torch.stack([each[0] for each in chains])}
    folder = save_model(recipe.name, model, recipe.dtype)
    if recipe.layout != "speculators":
        rename_tensors(folder, {"layers.0.": "midlayer."}, frozenset({"embed_tokens.weight"}))
        write_config(folder, legacy_config(model, recipe))
    facts = {"kind": "eagle3", "format": recipe.layout, "made_by": made_by("speculators", "transformers"),
             "seed": recipe.seed, "taps": taps, "target_layers": recipe.target_layers, "target": recipe.kind,
             "num_steps": NUM_STEPS, "own_embed": recipe.own_embed}
    Case(recipe.name, facts, {**target.arrays(), **arrays}).write()


def legacy_config(model: Eagle3DraftModel, recipe: Recipe) -> dict[str, object]:
    """As SafeAILab publishes it: flat, without a base for RoPE, nor the taps."""
    layers = model.config.transformer_layer_config
    names = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "num_hidden_layers",
             "hidden_act", "rms_norm_eps", "vocab_size", "max_position_embeddings", "bos_token_id", "eos_token_id")
    flat = {name: getattr(layers, name) for name in names}
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **flat, "head_dim": layers.head_dim,
            "draft_vocab_size": model.draft_vocab_size, "torch_dtype": recipe.dtype, "tie_word_embeddings": False,
            **recipe.extra}


def record_all() -> None:
    for recipe in RECIPES:
        record_decided(record, recipe)
