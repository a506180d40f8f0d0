"""DFlash as transformers has it: the assistant of Muse Glimmer, which it runs behind any target (`speculation_type`).

The network is computed by that library; the checkpoint is written over into z-lab's layout, of which it is a part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import MuseGlimmerAssistantConfig, MuseGlimmerAssistantModel
from transformers.cache_utils import DFlashCache

from golden_drafters.case import (
    Case,
    check_close,
    check_margin,
    made_by,
    record_decided,
    rename_tensors,
    save_model,
    write_config,
)
from golden_drafters.target import Target, randomise, tiny_target


@dataclass(frozen=True, slots=True)
class Recipe:
    """Windows wider than the text: this library counts `sliding_window` one key further than all others."""

    name: str
    seed: int
    layer_types: tuple[str, ...]
    taps: tuple[int, ...]
    block_size: int
    window: int = 512
    starts: tuple[int, ...] = (5, 6, 13, 21)


FULL, SLIDING = "full_attention", "sliding_attention"
RECIPES = (
    Recipe("dflash-transformers", 81, (FULL, FULL), (0, 2, 4), 8),
    Recipe("dflash-transformers-window", 82, (SLIDING, FULL, SLIDING), (1, 3), 5),
)


def build(recipe: Recipe) -> MuseGlimmerAssistantModel:
    config = MuseGlimmerAssistantConfig(
        hidden_size=24, intermediate_size=28, num_hidden_layers=len(recipe.layer_types), num_attention_heads=6,
        num_key_value_heads=2, head_dim=8, sliding_window=recipe.window, layer_types=list(recipe.layer_types),
        block_size=recipe.block_size, mask_token_id=60, target_layer_ids=list(recipe.taps),
        max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0, attn_implementation="eager")
    model = MuseGlimmerAssistantModel(config)
    randomise(model, 100 + recipe.seed)
    return model.eval().requires_grad_(False)


def block_hidden(model: MuseGlimmerAssistantModel, target: Target, recipe: Recipe, start: int, rows: slice,
                 cache: DFlashCache) -> Tensor:
    """As the library's candidate generator calls it."""
    ids = torch.full((1, recipe.block_size), model.config.mask_token_id)
    ids[0, 0] = target.tokens[start]
    cache.set_previous_accepted_tokens(rows.stop - rows.start)
    return model(
        noise_embeds=target.model.get_input_embeddings()(ids),
        context_hidden_states=target.features(recipe.taps)[None, rows],
        position_ids=torch.arange(rows.start, start + recipe.block_size)[None],
        attention_mask=torch.ones(1, start + recipe.block_size, dtype=torch.long), past_key_values=cache,
    ).last_hidden_state[0, 1:]


@torch.no_grad()
def record(recipe: Recipe) -> None:
    target = tiny_target("qwen3", vocab=61, hidden=24, layers=6, seed=recipe.seed, length=recipe.starts[-1] + 2)
    model, last, rows = build(recipe), 0, []
    cache = DFlashCache(config=model.config)
    cache.activate_past_recording()
    for start in recipe.starts:
        if last:
            cache.crop(-recipe.block_size)
        hidden = block_hidden(model, target, recipe, start, slice(last, start), cache)
        fresh = block_hidden(model, target, recipe, start, slice(0, start), DFlashCache(config=model.config))
        check_close(recipe.name, hidden, fresh)
        rows.append(hidden)
        last = start
    hidden = torch.stack(rows)
    logits = hidden @ target.head.T
    check_margin(recipe.name, logits)
    folder = save_model(recipe.name, model, "bfloat16")
    rename_tensors(folder, {"encoder.fc.": "fc.", "encoder.output_norm_enc.": "hidden_norm."})
    write_config(folder, zlab_config(model.config))
    facts = {"kind": "dflash", "format": "z-lab", "made_by": made_by("transformers"), "seed": recipe.seed,
             "taps": list(recipe.taps), "target_layers": 6, "target": "qwen3", "block_size": recipe.block_size,
             "mask_id": 60, "from_anchor": False}
    arrays = {"starts": torch.tensor(recipe.starts), "hidden": hidden, "logits": logits, "drafts": logits.argmax(-1)}
    Case(recipe.name, facts, {**target.arrays(), **arrays}).write()


def zlab_config(config: MuseGlimmerAssistantConfig) -> dict[str, object]:
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
             "head_dim", "rms_norm_eps", "rope_parameters", "max_position_embeddings", "sliding_window", "layer_types",
             "hidden_act")
    draft = {name: getattr(config, name) for name in ("block_size", "mask_token_id", "target_layer_ids")}
    return {"architectures": ["DFlashDraftModel"], "model_type": "qwen3", "dtype": "bfloat16", "vocab_size": 61,
            "num_target_layers": 6, "is_causal": False, "use_sliding_window": True, "tie_word_embeddings": False,
            **{name: getattr(config, name) for name in names}, "dflash_config": draft}


def record_all() -> None:
    for recipe in RECIPES:
        record_decided(record, recipe)
