"""Tiny drafters as llama.cpp's converters write them, names written out by hand."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch

import tiny_drafters as tiny
from tiny_drafters import Tensors


def write_gguf(path: Path, arch: str, tensors: Tensors, **keys: object) -> Path:
    """As llama.cpp's converters do: one key for each setting, taps as inputs."""
    writer = gguf.GGUFWriter(path, arch)
    for name, value in {
        "block_count": 1 if arch == "eagle3" else 2,
        "context_length": 512,
        "embedding_length": tiny.WIDTH,
        "feed_forward_length": tiny.INNER,
        "attention.head_count": tiny.HEADS,
        "attention.head_count_kv": tiny.KV_HEADS,
        "attention.key_length": tiny.HEAD,
        "vocab_size": tiny.VOCAB,
        **keys,
    }.items():
        if isinstance(value, bool):
            writer.add_bool(f"{arch}.{name}", value)
        elif isinstance(value, int):
            writer.add_uint32(f"{arch}.{name}", value)
        else:
            writer.add_array(f"{arch}.{name}", value)
    writer.add_array(f"{arch}.target_layers", [tap + 1 for tap in tiny.TAPS])
    writer.add_float32(f"{arch}.attention.layer_norm_rms_epsilon", 1e-6)
    writer.add_float32(f"{arch}.rope.freq_base", 1e6)
    writer.add_uint32("tokenizer.ggml.mask_token_id", 39)
    for name, tensor in tensors.items():
        values = tensor.numpy() if tensor.dtype == torch.int64 else tensor.float().numpy()
        writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "hidden_norm.weight": "attn_norm_2.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
    "attention_conv.base_kernel": "attn_conv_base",
    "attention_conv.kernel_projection.weight": "attn_conv_proj.weight",
    "mlp_conv.base_kernel": "ffn_conv_base",
    "mlp_conv.kernel_projection.weight": "ffn_conv_proj.weight",
}
ALONE = {
    "hidden_norm.weight": "enc.output_norm.weight",
    "norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "candidate_selector.predecessor_codebook": "selector_predecessor.weight",
    "candidate_selector.successor_codebook": "selector_successor.weight",
    "candidate_selector.hidden_projection.weight": "selector_hidden.weight",
    "markov_head.markov_w1.weight": "markov_w1.weight",
    "markov_head.markov_w2.weight": "markov_w2.weight",
    "confidence_head.proj.weight": "conf_proj.weight",
    "confidence_head.proj.bias": "conf_proj.bias",
}


def in_gguf(tensors: Tensors) -> Tensors:
    """By llama.cpp's names; the map of a reduced vocabulary as ids."""
    found = {}
    for name, value in tensors.items():
        parts = name.split(".", 2)
        found[f"blk.{parts[1]}.{LAYER[parts[2]]}" if parts[0] == "layers" else ALONE.get(name, name)] = value
    if found.pop("t2d", None) is not None:
        found["d2t"] = torch.tensor(tiny.KEPT)
    return found
