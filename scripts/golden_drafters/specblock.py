"""SpecBlock in the layout of its authors' release, computed by the oracle beside this file."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field

import torch
from safetensors.torch import save_file
from torch import Tensor

from golden_drafters.anchored import vocabulary_maps
from golden_drafters.case import GOLDEN, Case, check_margin, record_decided, write_config
from golden_drafters.specblock_oracle import Block, Found, Sizes, SpecBlock
from golden_drafters.target import Target, randomise, tiny_target

TAPS = (1, 3, 4)  # of eight layers, by the release's rule
EMBED = "input_layer.embed_tokens.weight"


@dataclass(frozen=True, slots=True)
class Recipe:
    name: str
    seed: int
    sizes: Sizes
    own_embed: bool = False
    dtype: str = "bfloat16"
    target_hidden: int = 24
    starts: tuple[int, ...] = (1, 4, 11)
    extra: dict[str, object] = field(default_factory=dict)


RECIPES = (
    Recipe("specblock-release", 61, Sizes(vocab=61, draft_vocab=29, hidden=24, target_hidden=24, inner=28, layers=2,
                                          heads=4, kv_heads=2, slots=4)),
    Recipe("specblock-full", 62, Sizes(vocab=40, draft_vocab=40, hidden=24, target_hidden=24, inner=28, layers=3,
                                       heads=3, kv_heads=1, slots=3, eps=1e-6, theta=500.0),
           extra={"rms_norm_eps": 1e-6, "rope_theta": 500.0}),
    Recipe("specblock-narrow", 63, Sizes(vocab=61, draft_vocab=33, hidden=16, target_hidden=24, inner=20, layers=1,
                                         heads=2, kv_heads=2, slots=7), own_embed=True, starts=(1, 11),
           extra={"target_hidden_size": 24}),
)


def build(recipe: Recipe, target: Target) -> SpecBlock:
    sizes = recipe.sizes
    model = SpecBlock(sizes)
    randomise(model, 100 + recipe.seed)
    if not recipe.own_embed:
        model.input_layer.embed_tokens.weight.data = target.embed.clone()
    if sizes.draft_vocab != sizes.vocab:
        model.t2d, model.d2t = vocabulary_maps(sizes.vocab, sizes.draft_vocab, recipe.seed)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def record(recipe: Recipe) -> None:
    target = tiny_target("llama", vocab=recipe.sizes.vocab, hidden=recipe.target_hidden, layers=8, seed=recipe.seed,
                         length=recipe.starts[-1] + 2)
    model, text = build(recipe, target), target.tokens.tolist()
    features = target.features(TAPS)
    first = model.run(text, features, [])
    check_margin(recipe.name, first.logits, first.rank_logits)
    arrays = {"starts": torch.tensor(recipe.starts), "logits": first.logits, "hidden": first.hidden,
              "rank_logits": first.rank_logits}
    deeper = [deeper_blocks(model, text[: start + 1], features, first) for start in recipe.starts]
    for name in deeper[0]:
        arrays[name] = torch.stack([each[name] for each in deeper])
    write_checkpoint(recipe, model)
    facts = {"kind": "specblock", "format": "specblock", "made_by": "scripts/golden_drafters/specblock_oracle.py",
             "seed": recipe.seed, "taps": list(TAPS), "target_layers": 8, "target": "llama",
             "num_slots": recipe.sizes.slots, "own_embed": recipe.own_embed}
    Case(recipe.name, facts, {**target.arrays(), **arrays}).write()


def deeper_blocks(model: SpecBlock, text: list[int], features: Tensor, first: Found) -> dict[str, Tensor]:
    """Second blocks behind every slot of the anchor's block, at its best and its second best token, and a third."""
    anchor = len(text) - 2
    root = Block(anchor, text[-1])
    best = first.logits[anchor].topk(2, dim=-1).indices
    choices = [(slot, int(best[slot, rank] + model.d2t[best[slot, rank]]))
               for slot in range(model.sizes.slots) for rank in range(2)]
    second = [Block(anchor, token, root, slot) for slot, token in choices]
    found = model.run(text, features, second)
    index = len(second) // 2
    behind = found.logits[len(text) - 1 + index]
    slot = model.sizes.slots - 2
    token = int(behind[slot].argmax() + model.d2t[behind[slot].argmax()])
    third = model.run(text, features, [*second, Block(anchor, token, second[index], slot)])
    begin = len(text) - 1
    return {"second_slots": torch.tensor([slot for slot, _ in choices]),
            "second_tokens": torch.tensor([token for _, token in choices]),
            "second_logits": found.logits[begin:], "second_rank_logits": found.rank_logits[begin:],
            "third_start": torch.tensor([index, slot, token]), "third_logits": third.logits[-1]}


def write_checkpoint(recipe: Recipe, model: SpecBlock) -> None:
    folder, sizes = GOLDEN / recipe.name, recipe.sizes
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    dtype = getattr(torch, recipe.dtype)
    tensors = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor
               for name, tensor in model.state_dict().items() if recipe.own_embed or name != EMBED}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {"architectures": ["LlamaForCausalLMSpecBlock"], "bos_token_id": 1, "eos_token_id": 2,
              "hidden_act": "silu", "hidden_size": sizes.hidden, "initializer_range": 0.02,
              "intermediate_size": sizes.inner, "max_position_embeddings": 2048, "model_type": "llama",
              "num_attention_heads": sizes.heads, "num_key_value_heads": sizes.kv_heads,
              "num_hidden_layers": sizes.layers, "pad_token_id": 0, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
              "torch_dtype": recipe.dtype, "use_cache": True, "vocab_size": sizes.vocab,
              "draft_vocab_size": sizes.draft_vocab, "diffspec_draft_token_num": sizes.slots, "rank_classes": 4}
    write_config(folder, {**config, **recipe.extra})


def record_all() -> None:
    for recipe in RECIPES:
        record_decided(record, recipe)
