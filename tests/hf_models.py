"""Tiny random models of the library transformers: those of the golden files, and families that only it can run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from outrider.target.hf_target import HfTarget

transformers = pytest.importorskip("transformers", minversion="5", reason="needs the extra hf: pip install '.[hf]'")

GOLDEN = Path(__file__).resolve().parent / "golden" / "decoders"
VOCAB = 96
EOS = VOCAB - 1
_SIZES: Mapping[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512, "tie_word_embeddings": False,
    "bos_token_id": 1, "eos_token_id": EOS, "pad_token_id": 0,
}
_DELTA = {"layer_types": ["linear_attention", "full_attention", "linear_attention"], "linear_num_value_heads": 4,
          "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_conv_kernel_dim": 4}
# Name: the kind, and what is special about it.
MODELS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("llama", {}),
    "gemma2": ("gemma2", {"sliding_window": 6, "attn_logit_softcapping": 20.0, "final_logit_softcapping": 9.0}),
    "granite": ("granite", {"embedding_multiplier": 3.0, "logits_scaling": 2.0}),
    "mixtral": ("mixtral", {"num_local_experts": 4}),
    "gpt2": ("gpt2", {}),
    "latent": ("deepseek_v3", {
        "q_lora_rank": 16, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 6,
        "head_dim": 4, "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1,
        "topk_group": 1, "moe_intermediate_size": 16, "first_k_dense_replace": 1}),
    "chunked": ("llama4_text", {"num_local_experts": 2, "attention_chunk_size": 6, "intermediate_size_mlp": 48,
                                "layer_types": ["chunked_attention", "full_attention", "chunked_attention"]}),
    "alibi": ("bloom", {}),
    "delta": ("qwen3_5_text", _DELTA),
    "conv": ("lfm2", {"layer_types": ["conv", "full_attention", "conv"]}),
    "mamba": ("mamba", {"state_size": 4}),
}
PACKED = ("llama", "gemma2", "granite", "mixtral", "gpt2", "latent", "chunked")
CHAINED = ("alibi", "delta", "conv")


def module_of(name: str, seed: int = 0) -> Any:
    """Weights that give every part of it a say."""
    kind, changes = MODELS[name]
    config = transformers.AutoConfig.for_model(kind, **{**_SIZES, **changes})
    module = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    for label, parameter in module.named_parameters():
        if parameter.ndim > 1 and "conv" not in label:
            scale = 1.0 if "embed" in label or "wte" in label else parameter.shape[-1] ** -0.5
            parameter.data = torch.randn(parameter.shape, generator=generator) * scale
    return module


@cache
def hf_target(name: str, seed: int = 0) -> HfTarget:
    """The same object for the same arguments."""
    from outrider.target.hf import adapt

    return adapt(module_of(name, seed))


@cache
def loaded_golden(name: str) -> HfTarget:
    """A model of the golden files, in float32; the same object each time."""
    from outrider.target.hf import load_hf

    return load_hf(GOLDEN / name, torch.float32, torch.device("cpu"))
