"""The metadata of a GGUF file, read as a `ModelSpec`. Imports no torch.

Source: the keys are those of the GGUF specification, "Standardized key-value pairs"; where a key is absent the
architecture's published default holds.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from outrider.core.spec import ModelSpec, RopeSpec
from outrider.errors import CheckpointError
from outrider.io.fields import Fields
from outrider.io.gguf_header import GgufHeader

ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma3")
MAX_LAYERS = 10_000
ROPE_FREQS = "rope_freqs.weight"

_GEMMA_PERIOD = 6  # every sixth layer sees everything, the others a window
_GEMMA_LOCAL_THETA = 10_000.0
_GEMMA_27B_LAYERS = 62  # the one size whose query scale follows the hidden size; files do not say so
# Files name one end token; chat models end their turn with another one of these.
_END_TOKENS = ("<|endoftext|>", "<|im_end|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>")


def read_spec(header: GgufHeader) -> ModelSpec:
    """Raises: CheckpointError where the architecture or a setting is not supported, or a key is missing or wrong."""
    fields, arrays = header.fields, header.arrays
    arch = fields.text("general.architecture")
    if arch not in ARCHITECTURES:
        raise fields.unsupported("general.architecture", arch, ", ".join(ARCHITECTURES))
    per_layer = [key for key in arrays if re.fullmatch(rf"{arch}\.(feed_forward_length|attention\.head_count.*)", key)]
    if per_layer:
        raise CheckpointError(f"{fields.where}: '{per_layer[0]}' differs from layer to layer, which is not supported")
    if fields.integer(f"{arch}.expert_count", 0):
        raise CheckpointError(f"{fields.where}: a mixture of experts; only dense models are supported")
    spec = _sizes(header, arch)
    return _gemma(spec, header) if arch == "gemma3" else spec


def _sizes(header: GgufHeader, arch: str) -> ModelSpec:
    fields = header.fields
    hidden = fields.integer(f"{arch}.embedding_length", low=1)
    heads = fields.integer(f"{arch}.attention.head_count", low=1)
    head_size = _head_size(fields, arch, hidden, heads)
    window, layers = _window(fields, arch), fields.integer(f"{arch}.block_count", low=1, high=MAX_LAYERS)
    rope = _rope(header, arch, head_size)
    return ModelSpec(
        family=arch,
        vocab_size=_vocab_size(header),
        hidden_size=hidden,
        inner_size=fields.integer(f"{arch}.feed_forward_length", low=1),
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=fields.integer(f"{arch}.attention.head_count_kv", heads, low=1),
        head_size=head_size,
        max_positions=fields.integer(f"{arch}.context_length", low=1),
        norm_eps=fields.positive(f"{arch}.attention.layer_norm_rms_epsilon"),
        rope=rope,
        local_rope=rope if window else None,
        sliding=(True,) * layers if window else (),
        window=window,
        qkv_bias="blk.0.attn_q.bias" in header.tensors,
        out_bias="blk.0.attn_output.bias" in header.tensors,
        qk_norm=arch in ("qwen3", "gemma3"),
        attention_scale=fields.optional_positive(f"{arch}.attention.scale"),
        attention_softcap=fields.optional_positive(f"{arch}.attn_logit_softcapping"),
        final_softcap=fields.optional_positive(f"{arch}.final_logit_softcapping"),
        tied_head="output.weight" not in header.tensors,
        eos_ids=_eos_ids(header),
        bos_id=fields.integer("tokenizer.ggml.bos_token_id") if fields.has("tokenizer.ggml.bos_token_id") else None,
    )


def _gemma(spec: ModelSpec, header: GgufHeader) -> ModelSpec:
    """Gemma 3's own parts. The norms in these files already contain the 1 that Gemma adds."""
    fields = header.fields
    scale = spec.attention_scale
    if scale is None and spec.num_layers == _GEMMA_27B_LAYERS:
        scale = (spec.hidden_size / spec.num_heads) ** -0.5
    local_theta = fields.positive("gemma3.rope.freq_base_swa", _GEMMA_LOCAL_THETA)
    return replace(
        spec,
        local_rope=RopeSpec(theta=local_theta) if spec.window else None,
        sliding=_gemma_sliding(header, spec.num_layers) if spec.window else (),
        activation="gelu_tanh",
        post_norms=True,
        embed_scale=spec.hidden_size**0.5,
        attention_scale=scale,
    )


def _gemma_sliding(header: GgufHeader, layers: int) -> tuple[bool, ...]:
    key = "gemma3.attention.sliding_window_pattern"
    if key in header.arrays:
        flags = tuple(bool(flag) for flag in header.arrays[key].numbers().tolist())
        if len(flags) != layers:
            raise CheckpointError(
                f"{header.path}: '{key}' has {len(flags)} flags, expected one for each of {layers} layers"
            )
        return flags
    period = header.fields.integer(key, _GEMMA_PERIOD, low=1)
    return tuple((layer + 1) % period != 0 for layer in range(layers))


def _window(fields: Fields, arch: str) -> int:
    return fields.integer(f"{arch}.attention.sliding_window", 0)


def _head_size(fields: Fields, arch: str, hidden: int, heads: int) -> int:
    key = f"{arch}.attention.key_length"
    if not fields.has(key) and hidden % heads:
        raise CheckpointError(
            f"{fields.where}: {heads} heads do not divide the hidden size {hidden}, and '{key}' is missing"
        )
    size = fields.integer(key, hidden // heads, low=2)
    for other in ("attention.value_length", "rope.dimension_count"):
        given = fields.integer(f"{arch}.{other}", size)
        if given != size:
            raise fields.unsupported(f"{arch}.{other}", given, f"the head size, {size}")
    return size


def _vocab_size(header: GgufHeader) -> int:
    """The embedding decides: `vocab_size` is missing from many files."""
    table = header.tensors.get("token_embd.weight")
    if table is None:
        raise CheckpointError(f"{header.path}: the tensor 'token_embd.weight' is missing")
    return table.shape[0]


def _rope(header: GgufHeader, arch: str, head_size: int) -> RopeSpec:
    fields = header.fields
    theta = fields.positive(f"{arch}.rope.freq_base", 1e6 if arch == "gemma3" else 1e4)
    divisor = frequency_divisor(header, head_size) if arch == "llama" else ()
    scaling = fields.text(f"{arch}.rope.scaling.type", "none")
    if scaling not in ("none", "linear"):
        raise fields.unsupported(f"{arch}.rope.scaling.type", scaling, "none, linear, and Llama 3's rope_freqs.weight")
    if scaling == "none" or divisor:
        return RopeSpec(theta=theta, frequency_divisor=divisor)
    return RopeSpec(theta=theta, scaling="linear", factor=fields.positive(f"{arch}.rope.scaling.factor"))


def frequency_divisor(header: GgufHeader, head_size: int) -> tuple[float, ...]:
    """Llama 3's scaling, written as one divisor a frequency; empty where there is none.

    Raises: CheckpointError where it is not one number above 0 for each pair.
    """
    tensor = header.tensors.get(ROPE_FREQS)
    if tensor is None:
        return ()
    if tensor.type.name != "F32" or tensor.shape != (head_size // 2,):
        raise CheckpointError(
            f"{header.path}: the tensor '{ROPE_FREQS}' is {tensor.type.name} {list(tensor.shape)}, "
            f"expected F32 [{head_size // 2}]"
        )
    divisor = header.bytes_of(tensor).reshape(-1).view(np.float32)
    if not (np.isfinite(divisor).all() and (divisor > 0).all()):
        raise CheckpointError(f"{header.path}: damaged: the tensor '{ROPE_FREQS}' must hold numbers above 0")
    return tuple(divisor.tolist())


def _eos_ids(header: GgufHeader) -> tuple[int, ...]:
    keys = (f"tokenizer.ggml.{name}_token_id" for name in ("eos", "eot", "eom"))
    found = [header.fields.integer(key) for key in keys if header.fields.has(key)]
    tokens = header.arrays.get("tokenizer.ggml.tokens")
    for text in _END_TOKENS if tokens else ():
        index = tokens.index(text) if tokens else None
        if index is not None:
            found.append(index)
    return tuple(dict.fromkeys(found))
