"""Tiny drafters in published layouts: configs and tensors written out by hand, so that no table of ours is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

Config = dict[str, object]
Tensors = dict[str, Tensor]

WIDTH, INNER, HEADS, KV_HEADS, HEAD, VOCAB = 16, 24, 2, 1, 8, 40
TAPS = (1, 3, 5)
KEPT = (1, 2, 3, 5, 8, 13, 21, 34)  # of the vocabulary, where it is reduced

_QWEN3: Config = {
    "model_type": "qwen3",
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": HEAD,
    "vocab_size": VOCAB,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
}
_LLAMA: Config = {key: value for key, value in _QWEN3.items() if key != "rope_theta"} | {"model_type": "llama"}


def zlab_config(**changes: object) -> Config:
    own = {"mask_token_id": 39, "target_layer_ids": list(TAPS), "block_size": 4}
    return _QWEN3 | {"architectures": ["DFlashDraftModel"], "num_target_layers": 8, "dflash_config": own} | changes


def zlab2_config() -> Config:
    own = {"mask_token_id": 39, "target_layer_ids": list(TAPS), "block_size": 4, "conv_kernel_size": 2}
    own |= {"conv_group_size": 4, "selector_rank": 3, "selector_top_k": 5}
    return zlab_config(architectures=["DFlash2DraftModel"], dflash_config=own, is_causal=False)


def speculators_config(method: str, **changes: object) -> Config:
    """As the library writes it; taps count the inputs of layers."""
    reduced = method in ("eagle3", "dspark")
    proposal = {"proposal_type": "greedy", "speculative_tokens": 3, "verifier_accept_k": 1, "accept_tolerance": 0.0}
    config: Config = {
        "architectures": ["Eagle3Speculator" if method == "eagle3" else "DFlashSpeculator"],
        "speculators_model_type": method,
        "speculators_version": "0.9.0",
        "draft_vocab_size": len(KEPT) if reduced else VOCAB,
        "tie_word_embeddings": False,
        "speculators_config": {
            "algorithm": method,
            "default_proposal_method": "greedy",
            "proposal_methods": [proposal],
            "verifier": {"name_or_path": "Qwen/Qwen3-4B", "architectures": ["Qwen3ForCausalLM"]},
        },
        "transformer_layer_config": dict(_LLAMA if method == "eagle3" else _QWEN3),
    }
    if method == "eagle3":
        config |= {"eagle_aux_hidden_state_layer_ids": [tap + 1 for tap in TAPS], "norm_before_residual": True}
    else:
        config |= {"aux_hidden_state_layer_ids": [tap + 1 for tap in TAPS], "mask_token_id": 39, "block_size": 4}
    if method == "dspark":
        config |= {"markov_rank": 3, "sample_from_anchor": True}
    if method == "dflash2":
        config |= {"conv_group_size": 4, "selector_rank": 3, "selector_top_k": 5}
    return config | changes


def eagle3_config(**changes: object) -> Config:
    """SafeAILab's, with the list of layers that SpecForge adds; no `rope_theta`, as published."""
    own = {"use_aux_hidden_state": True, "eagle_aux_hidden_state_layer_ids": list(TAPS)}
    config = _LLAMA | {"architectures": ["LlamaForCausalLMEagle3"], "num_hidden_layers": 1, "hidden_act": "silu"}
    return config | {"draft_vocab_size": len(KEPT), "eagle_config": own} | changes


def dflash_tensors(seed: int = 0) -> Tensors:
    """25 tensors: 3 and 11 a layer."""
    tensors = {"fc.weight": (WIDTH, WIDTH * len(TAPS)), "hidden_norm.weight": (WIDTH,), "norm.weight": (WIDTH,)}
    for layer in range(2):
        tensors |= layer_shapes(f"layers.{layer}.", WIDTH) | {
            f"layers.{layer}.self_attn.q_norm.weight": (HEAD,),
            f"layers.{layer}.self_attn.k_norm.weight": (HEAD,),
        }
    return filled(tensors, seed)


def dflash2_tensors(seed: int = 0) -> Tensors:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(2):
        for part in ("attention_conv", "mlp_conv"):
            shapes[f"layers.{layer}.{part}.base_kernel"] = (2, 2, WIDTH)
            shapes[f"layers.{layer}.{part}.kernel_projection.weight"] = (2 * 2 * WIDTH // 4, WIDTH)
    shapes["candidate_selector.predecessor_codebook"] = (VOCAB, 3)
    shapes["candidate_selector.successor_codebook"] = (VOCAB, 3)
    shapes["candidate_selector.hidden_projection.weight"] = (3, WIDTH)
    return dflash_tensors(seed) | filled(shapes, seed + 1)


def dspark_tensors(seed: int = 0, reduced: bool = True) -> Tensors:
    """With a reduced vocabulary a head and a map are there, too."""
    rows = len(KEPT) if reduced else VOCAB
    heads = {"markov_head.markov_w1.weight": (VOCAB, 3), "markov_head.markov_w2.weight": (rows, 3)}
    heads |= {"confidence_head.proj.weight": (1, WIDTH + 3), "confidence_head.proj.bias": (1,)}
    tensors = dflash_tensors(seed) | filled(heads, seed + 1)
    return tensors | filled({"lm_head.weight": (rows, WIDTH)}, seed + 2) | kept_map() if reduced else tensors


def eagle3_tensors(layer: str = "midlayer.", seed: int = 0) -> Tensors:
    """As SafeAILab's, without the embedding; speculators calls the layer `layers.0.`."""
    shapes = layer_shapes(layer, 2 * WIDTH) | {f"{layer}hidden_norm.weight": (WIDTH,)}
    shapes |= {"fc.weight": (WIDTH, WIDTH * len(TAPS)), "norm.weight": (WIDTH,), "lm_head.weight": (len(KEPT), WIDTH)}
    return filled(shapes, seed) | kept_map()


def layer_shapes(layer: str, reads: int) -> dict[str, tuple[int, ...]]:
    query, kv = HEADS * HEAD, KV_HEADS * HEAD
    return {
        f"{layer}input_layernorm.weight": (WIDTH,),
        f"{layer}post_attention_layernorm.weight": (WIDTH,),
        f"{layer}self_attn.q_proj.weight": (query, reads),
        f"{layer}self_attn.k_proj.weight": (kv, reads),
        f"{layer}self_attn.v_proj.weight": (kv, reads),
        f"{layer}self_attn.o_proj.weight": (WIDTH, query),
        f"{layer}mlp.gate_proj.weight": (INNER, WIDTH),
        f"{layer}mlp.up_proj.weight": (INNER, WIDTH),
        f"{layer}mlp.down_proj.weight": (WIDTH, INNER),
    }


def kept_map() -> Tensors:
    offsets = torch.tensor([token - index for index, token in enumerate(KEPT)])
    flags = torch.tensor([token in KEPT for token in range(VOCAB)])
    return {"d2t": offsets, "t2d": flags}


def filled(shapes: Mapping[str, tuple[int, ...]], seed: int) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator).bfloat16() for name, shape in shapes.items()}


def write_drafter(folder: Path, config: Mapping[str, object], tensors: Tensors) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder
