"""Tiny model files of every family, written with the formats' own libraries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file

from outrider.core.spec import ModelSpec, RopeSpec
from outrider.io.tensor_table import tensor_slots

Array = npt.NDArray[np.float32]
Tensors = dict[str, Array]
VOCAB = 48

_BASE = ModelSpec(
    family="llama",
    vocab_size=VOCAB,
    hidden_size=32,
    inner_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_size=8,
    max_positions=128,
    norm_eps=1e-5,
    rope=RopeSpec(theta=50_000.0),
    eos_ids=(3,),
    bos_id=1,
)
# Seven layers, so that both kinds of Gemma's layers occur.
_GEMMA = replace(
    _BASE,
    family="gemma3",
    num_layers=7,
    qk_norm=True,
    post_norms=True,
    tied_head=True,
    norm_eps=1e-6,
    rope=RopeSpec(theta=1_000_000.0),
    local_rope=RopeSpec(theta=10_000.0),
    sliding=(True, True, True, True, True, False, True),
    window=16,
    activation="gelu_tanh",
    embed_scale=32**0.5,
)
SPECS: Mapping[str, ModelSpec] = {
    "llama": _BASE,
    "qwen2": replace(_BASE, family="qwen2", qkv_bias=True, tied_head=True),
    "qwen3": replace(_BASE, family="qwen3", qk_norm=True, head_size=16),
    "gemma3": _GEMMA,
}


def random_tensors(spec: ModelSpec, seed: int = 0) -> Tensors:
    """Values for every tensor of `spec`, by canonical name."""
    rng = np.random.default_rng(seed)
    return {slot.name: rng.normal(size=slot.shape).astype(np.float32) for slot in tensor_slots(spec)}


def interleaved(rows: Array, heads: int) -> Array:
    """The order in which GGUF's llama files keep q and k: as the published converter permutes them."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def gguf_tensors(spec: ModelSpec, tensors: Tensors) -> Tensors:
    """The same values under GGUF's names and in its row order."""
    found: Tensors = {}
    for slot in tensor_slots(spec):
        rows = tensors[slot.name]
        swap = spec.family == "llama" and slot.rotated_heads
        found[slot.gguf] = interleaved(rows, slot.rotated_heads) if swap else rows
    return found


def gguf_metadata(spec: ModelSpec) -> dict[str, int | float | str]:
    arch = spec.family
    values: dict[str, int | float | str] = {
        f"{arch}.block_count": spec.num_layers,
        f"{arch}.context_length": spec.max_positions,
        f"{arch}.embedding_length": spec.hidden_size,
        f"{arch}.feed_forward_length": spec.inner_size,
        f"{arch}.attention.head_count": spec.num_heads,
        f"{arch}.attention.head_count_kv": spec.num_kv_heads,
        f"{arch}.attention.key_length": spec.head_size,
        f"{arch}.attention.value_length": spec.head_size,
        f"{arch}.attention.layer_norm_rms_epsilon": spec.norm_eps,
        f"{arch}.rope.freq_base": spec.rope.theta,
        "tokenizer.ggml.eos_token_id": spec.eos_ids[0],
        "tokenizer.ggml.bos_token_id": spec.bos_id or 0,
    }
    if spec.window:
        values[f"{arch}.attention.sliding_window"] = spec.window
    return values


def write_gguf(
    path: Path,
    arch: str,
    metadata: Mapping[str, int | float | str],
    tensors: Tensors,
    kind: str = "F32",
    tokens: list[str] | None = None,
) -> Path:
    """Matrices in the type `kind`, vectors in F32, as published files have them."""
    writer = gguf.GGUFWriter(path, arch)
    for key, value in metadata.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_float32(key, value)
    writer.add_token_list(tokens or [f"<{index}>" for index in range(VOCAB)])
    number = gguf.GGMLQuantizationType[kind]
    for name, values in tensors.items():
        if values.ndim > 1 and kind != "F32":
            writer.add_tensor(name, gguf.quantize(values, number), raw_dtype=number)
        else:
            writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_family_gguf(path: Path, family: str, kind: str = "F32") -> Path:
    spec = SPECS[family]
    return write_gguf(path, family, gguf_metadata(spec), gguf_tensors(spec, random_tensors(spec)), kind)


def safetensors_tensors(spec: ModelSpec, tensors: Tensors, prefix: str = "model.") -> Tensors:
    """The same values under published names."""
    heads = {"head.weight": "lm_head.weight"}
    return {heads.get(slot.name, prefix + slot.safetensors): tensors[slot.name] for slot in tensor_slots(spec)}


def write_safetensors(
    folder: Path, config: Mapping[str, object], tensors: Tensors, dtype: torch.dtype = torch.float32, num_files: int = 1
) -> Path:
    """A model directory; with several files, tensors go round them and an index says where each is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    ready = {name: torch.from_numpy(np.ascontiguousarray(values)).to(dtype) for name, values in tensors.items()}
    if num_files == 1:
        save_file(ready, folder / "model.safetensors")
        return folder
    parts = [f"model-{index + 1:05}-of-{num_files:05}.safetensors" for index in range(num_files)]
    where = {name: parts[index % num_files] for index, name in enumerate(ready)}
    for part in parts:
        save_file({name: ready[name] for name in ready if where[name] == part}, folder / part)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return folder
