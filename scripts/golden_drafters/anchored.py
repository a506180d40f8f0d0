"""DFlash, DFlash 2 and DSpark as the package `speculators` computes them: several blocks of one text in one pass.

Its pass is the one for training. Its mask gives every row of a block the `sliding_window` positions before the *anchor*
and the rows of its block, while engines and z-lab count a window from each row: the case's `logits` are those of the
engines' mask put through the package's layers, `training_logits` those of its own, equal where no window bites.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from speculators.config import SpeculatorsConfig, VerifierConfig
from speculators.models.dflash.config import DFlashSpeculatorConfig
from speculators.models.dflash.core import DFlashDraftModel
from speculators.models.dflash2.config import DFlash2SpeculatorConfig
from speculators.models.dflash2.core import DFlash2DraftModel
from speculators.models.dspark.config import DSparkSpeculatorConfig
from speculators.models.dspark.core import DSparkDraftModel
from speculators.proposals.greedy import GreedyTokenProposalConfig
from torch import Tensor
from transformers import LlamaConfig, PretrainedConfig, Qwen3Config

from golden_drafters.case import Case, check_close, check_margin, made_by, record_decided, save_model
from golden_drafters.target import Target, randomise, tiny_target

MODELS = {"dflash": (DFlashSpeculatorConfig, DFlashDraftModel), "dflash2": (DFlash2SpeculatorConfig, DFlash2DraftModel),
          "dspark": (DSparkSpeculatorConfig, DSparkDraftModel)}


@dataclass(frozen=True, slots=True)
class Recipe:
    """`aux` in the package's numbering: 0 the embeddings, i the output of layer i − 1."""

    name: str
    seed: int
    aux: tuple[int, ...]
    layers: Mapping[str, object] = field(default_factory=dict)
    more: Mapping[str, object] = field(default_factory=dict)
    draft_vocab: int = 0
    vocab: int = 61
    hidden: int = 24
    starts: tuple[int, ...] = (5, 6, 13, 25)
    dtype: str = "bfloat16"
    draft_kind: str = "qwen3"

    @property
    def algorithm(self) -> str:
        return self.name.split("-")[0]


WINDOW = {"use_sliding_window": True, "layer_types": ["sliding_attention"] * 2}
RECIPES = (
    Recipe("dflash-speculators", 21, (1, 3, 5), more={"block_size": 8}),
    Recipe("dflash-speculators-reduced", 22, (2, 4), more={"block_size": 5}, draft_vocab=29),
    Recipe("dflash-speculators-window", 23, (2,), {**WINDOW, "sliding_window": 6}, {"block_size": 8}),
    Recipe("dflash-speculators-window-both-ways", 24, (1, 5), {**WINDOW, "sliding_window": 9},
           {"block_size": 5, "sliding_window_non_causal": True}),
    Recipe("dflash-speculators-wide-window", 25, (1, 2, 3, 4, 5), {**WINDOW, "sliding_window": 512},
           {"block_size": 16}),
    Recipe("dflash-speculators-from-anchor", 26, (1, 4), {"num_hidden_layers": 1},
           {"block_size": 5, "sample_from_anchor": True}, draft_vocab=40),
    Recipe("dflash2-speculators", 27, (2, 4, 5), {**WINDOW, "sliding_window": 64},
           {"block_size": 8, "conv_group_size": 8, "selector_rank": 6, "selector_top_k": 5}),
    Recipe("dflash2-speculators-window", 28, (3,), {**WINDOW, "sliding_window": 7, "num_hidden_layers": 3,
                                                    "layer_types": ["sliding_attention", "full_attention",
                                                                    "sliding_attention"]},
           {"block_size": 5, "conv_kernel_size": 3, "conv_group_size": 4, "selector_rank": 8, "selector_top_k": 16}),
    Recipe("dspark-speculators", 29, (2, 3, 5), more={"block_size": 7, "markov_rank": 6}, dtype="float32"),
    Recipe("dspark-speculators-reduced", 30, (1, 5), {"num_hidden_layers": 1},
           {"block_size": 5, "markov_rank": 10, "confidence_head_with_markov": False}, draft_vocab=33),
    Recipe("dspark-speculators-masks-only", 31, (4,), {"num_hidden_layers": 3, "num_attention_heads": 3,
                                                       "num_key_value_heads": 1, "head_dim": 12},
           {"block_size": 8, "markov_rank": 4, "sample_from_anchor": False, "enable_confidence_head": False}),
    Recipe("dspark-speculators-gated", 32, (1, 4), {"num_hidden_layers": 1},
           {"block_size": 5, "markov_rank": 6, "markov_head_type": "gated"}),
    Recipe("dspark-speculators-rnn", 33, (1, 4), {"num_hidden_layers": 1},
           {"block_size": 5, "markov_rank": 6, "markov_head_type": "rnn"}, draft_vocab=30),
    Recipe("dspark-speculators-plain", 34, (1, 4), {"num_hidden_layers": 1},
           {"block_size": 5, "markov_rank": 0, "confidence_head_with_markov": False}),
)


def layer_config(recipe: Recipe) -> PretrainedConfig:
    sizes = {"vocab_size": recipe.vocab, "hidden_size": recipe.hidden, "intermediate_size": recipe.hidden + 4,
             "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8,
             "max_position_embeddings": 256, "tie_word_embeddings": False}
    config = {"qwen3": Qwen3Config, "llama": LlamaConfig}[recipe.draft_kind](**{**sizes, **recipe.layers})
    config._attn_implementation = "eager"
    return config


def speculators_config(algorithm: str, num_tokens: int, kind: str = "Qwen3ForCausalLM") -> SpeculatorsConfig:
    proposal = GreedyTokenProposalConfig(speculative_tokens=num_tokens)
    return SpeculatorsConfig(algorithm=algorithm, proposal_methods=[proposal], default_proposal_method="greedy",
                             verifier=VerifierConfig(name_or_path=None, architectures=[kind]))


def vocabulary_maps(vocab: int, draft_vocab: int, seed: int) -> tuple[Tensor, Tensor]:
    """Which of the target's ids the drafter knows, and the offset from each of its own to the target's."""
    kept = torch.randperm(vocab, generator=torch.Generator().manual_seed(seed))[:draft_vocab].sort().values
    t2d = torch.zeros(vocab, dtype=torch.bool)
    t2d[kept] = True
    return t2d, kept - torch.arange(draft_vocab)


def build(recipe: Recipe, target: Target) -> DFlashDraftModel:
    config_class, model_class = MODELS[recipe.algorithm]
    config = config_class(
        transformer_layer_config=layer_config(recipe), draft_vocab_size=recipe.draft_vocab or recipe.vocab,
        aux_hidden_state_layer_ids=list(recipe.aux), mask_token_id=recipe.vocab - 1, **recipe.more)
    num_drafts = config.block_size - (not config.sample_from_anchor)
    config.speculators_config = speculators_config(recipe.algorithm, num_drafts)
    model = model_class(config)
    randomise(model, 100 + recipe.seed)
    model.embed_tokens.weight.data = target.embed.clone()
    head = target.head
    if recipe.draft_vocab:
        maps = vocabulary_maps(recipe.vocab, recipe.draft_vocab, recipe.seed)
        model.load_vocab_mappings(*maps)
        head = model.lm_head.weight.data if recipe.seed % 2 else head[maps[0]]
    model.lm_head.weight.data = head.clone()
    model.verifier_lm_head.weight.data = head.clone()
    return model.eval().requires_grad_(False)


def backbone(model: DFlashDraftModel, target: Target, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Hidden rows and logits of a block at each start, [starts, block size, ·]: the package's own pass."""
    length = recipe.starts[-1] + 1 + 2 * model.block_size
    tokens = torch.full((1, length), 3)
    tokens[0, : len(target.tokens)] = target.tokens
    features = target.features([aux - 1 for aux in recipe.aux])
    padded = torch.zeros(1, length, features.shape[-1])
    padded[0, : len(features)] = features
    loss_mask = torch.zeros(1, length)
    loss_mask[0, list(recipe.starts)] = 1
    hidden, logits, *_ = model._backbone_forward(
        padded, tokens, loss_mask, torch.zeros(1, length, recipe.hidden), torch.zeros(1, length, dtype=torch.long),
        max_anchors=len(recipe.starts))
    shape = (len(recipe.starts), model.block_size, -1)
    return hidden.view(shape), logits.view(shape)


def engine_mask(_: Tensor, total_seq_len: int, anchors: Tensor, block_size: int, *, window: int | None,
                both_ways: bool) -> object:
    """What engines and the package `dflash` let a row see: a window counts from the row's own position."""

    def allowed(_b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        block, in_context = query // block_size, key < total_seq_len
        slot = torch.remainder(key - total_seq_len, block_size)
        at = anchors[block] + query % block_size
        seen_at = torch.where(in_context, key, anchors[block] + slot)
        visible = torch.where(in_context, key < anchors[block], (key - total_seq_len) // block_size == block)
        if window is None:
            return visible
        near = (seen_at - at < window) if both_ways else (seen_at <= at)
        return visible & (at - seen_at < window) & near

    return allowed


def engine_backbone(model: DFlashDraftModel, target: Target, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """The same with the engines' mask in place of the package's."""

    def masks(document_ids: Tensor, total_seq_len: int, anchor_positions: Tensor, device: object,
              sliding_window: int | None = None, sliding_window_non_causal: bool = False) -> Tensor:
        mod = engine_mask(document_ids, total_seq_len, anchor_positions, model.block_size, window=sliding_window,
                          both_ways=sliding_window_non_causal)
        length = len(anchor_positions) * model.block_size
        return model._create_mask_fn(mod, B=None, H=None, Q_LEN=length, KV_LEN=total_seq_len + length, device="cpu")

    model._create_attention_mask = masks
    try:
        return backbone(model, target, recipe)
    finally:
        del model._create_attention_mask


@torch.no_grad()
def record(recipe: Recipe) -> None:
    target = tiny_target("qwen3", vocab=recipe.vocab, hidden=recipe.hidden, layers=6, seed=recipe.seed,
                         length=recipe.starts[-1] + 2)
    model = build(recipe, target)
    training = backbone(model, target, recipe)[1]
    hidden, logits = engine_backbone(model, target, recipe)
    window = model.sliding_window if model.uses_sliding_window_attn else None
    first = 0 if model.config.sample_from_anchor else 1
    hidden, logits = hidden[:, first:], logits[:, first:]
    arrays = {"starts": torch.tensor(recipe.starts), "hidden": hidden, "logits": logits}
    if window is None or window > recipe.starts[-1] + model.block_size:
        check_close(recipe.name, logits, training[:, first:])
    else:
        arrays["training_logits"] = training[:, first:]
    heads = selector_outputs if recipe.algorithm == "dflash2" else sequential_outputs
    arrays |= heads(model, hidden, logits, target.tokens[list(recipe.starts)])
    check_margin(recipe.name, arrays.get("scores", arrays.get("biased_logits", logits)))
    save_model(recipe.name, model, recipe.dtype)
    facts = {"kind": "dflash", "format": "speculators", "made_by": made_by("speculators", "transformers"),
             "seed": recipe.seed, "taps": [aux - 1 for aux in recipe.aux], "target_layers": 6, "target": "qwen3",
             "block_size": model.block_size, "mask_id": model.mask_token_id,
             "from_anchor": model.config.sample_from_anchor}
    Case(recipe.name, facts, {**target.arrays(), **arrays}).write()


def target_ids(model: DFlashDraftModel, draft_ids: Tensor) -> Tensor:
    return draft_ids if model.d2t is None else draft_ids + model.d2t[draft_ids]


def sequential_outputs(model: DFlashDraftModel, hidden: Tensor, logits: Tensor, anchors: Tensor) -> dict[str, Tensor]:
    """Tokens drafted from left to right, each under the bias of the one before it, and what DSpark's heads give."""
    markov, path, biased = getattr(model, "markov_head", None), anchors[:, None], logits.clone()
    for slot in range(logits.shape[1]):
        if markov is not None:
            bias = markov.block_bias(prev_token_ids=path, hidden_states=hidden[:, : slot + 1])
            biased[:, slot] += bias[:, slot]
        path = torch.cat([path, target_ids(model, biased[:, slot].argmax(-1))[:, None]], dim=1)
    found = {"drafts": path[:, 1:]}
    if markov is not None:
        found["biased_logits"] = biased
    if (confidence := getattr(model, "confidence_head", None)) is not None:
        rows = hidden
        if model.config.confidence_head_with_markov:
            rows = torch.cat([hidden, markov.prev_embeddings(path[:, :-1])], dim=-1)
        found["confidence_logits"] = confidence(rows)
    return found


def selector_outputs(model: DFlash2DraftModel, hidden: Tensor, logits: Tensor, anchors: Tensor) -> dict[str, Tensor]:
    """Tokens picked from left to right among each row's best, with the candidates and their scores."""
    path, candidates, scores = anchors[:, None], [], []
    for slot in range(logits.shape[1]):
        best, score = model.candidate_selector.select(logits[:, slot], hidden[:, slot], path[:, -1])
        path = torch.cat([path, best.gather(-1, score.argmax(-1, keepdim=True))], dim=1)
        candidates.append(best)
        scores.append(score)
    return {"drafts": path[:, 1:], "candidates": torch.stack(candidates, 1), "scores": torch.stack(scores, 1)}


def record_all() -> None:
    for recipe in RECIPES:
        record_decided(record, recipe)
