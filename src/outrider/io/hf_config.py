"""A published `config.json` read as a `ModelSpec`. Imports no torch.

Files leave out what equals the family's default, so each family states its own (`_Family`).
Source: the configuration classes of the transformers library, versions 4 and 5 (`rope_theta` and `rope_scaling` became
`rope_parameters`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from outrider.core.spec import ModelSpec
from outrider.errors import CheckpointError
from outrider.io.fields import Fields
from outrider.io.hf_rope import read_rope

MAX_LAYERS = 10_000
_SILU, _GELU = "silu", "gelu_pytorch_tanh"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """What a family's `config.json` may leave out. None: nothing, the key must be there (heads follow each other)."""

    name: str
    vocab_size: int | None = None
    num_heads: int | None = None
    num_kv_heads: int | None = None
    head_size: int | None = None
    max_positions: int | None = None
    norm_eps: float = 1e-6
    theta: float = 10_000.0
    tied_head: bool = False
    qkv_bias: bool | None = None  # None: `attention_bias` decides, for the output projection too
    qk_norm: bool = False
    activation_key: str = "hidden_act"
    activation: str = _SILU


_GEMMA = _Family(
    name="gemma3",
    vocab_size=262_208,
    num_heads=8,
    num_kv_heads=4,
    head_size=256,
    max_positions=131_072,
    theta=1_000_000.0,
    tied_head=True,
    qk_norm=True,
    activation_key="hidden_activation",
    activation=_GELU,
)
_FAMILIES = {
    "llama": _Family(name="llama", max_positions=2048),
    "qwen2": _Family(name="qwen2", num_kv_heads=32, qkv_bias=True, max_positions=32_768),
    "qwen3": _Family(name="qwen3", num_kv_heads=32, head_size=128, qk_norm=True, max_positions=32_768),
    "mistral": _Family(name="mistral", num_kv_heads=8, qkv_bias=False, max_positions=131_072),
    "gemma3_text": _GEMMA,
    "gemma3": _GEMMA,
}
# Settings that would change the result if they were passed over, with the only value we can serve.
_REQUIRED_VALUES: tuple[tuple[str, object], ...] = (
    ("mlp_bias", False),
    ("partial_rotary_factor", 1.0),
    ("use_bidirectional_attention", False),
)


def read_spec(config: Fields, generation: Fields) -> ModelSpec:
    """The spec from `config.json` and `generation_config.json` (empty where there is none).

    Raises: CheckpointError where the family or a setting is not supported, or a key is missing or wrong.
    """
    kind = config.text("model_type")
    if kind not in _FAMILIES:
        raise config.unsupported("model_type", kind, f"{', '.join(_FAMILIES)}; others with --ops hf, by transformers")
    if config.has("quantization_config"):
        raise CheckpointError(f"{config.where}: quantised safetensors are not supported; use fp32, fp16, bf16 or GGUF")
    text = _text_section(config) if kind == "gemma3" else config
    family = _FAMILIES[kind]
    _check_values(text, family)
    spec = _sizes(text, family)
    spec = _gemma(spec, text) if family is _GEMMA else _windowed(spec, text)
    eos = [token for source in (generation, config, text) for token in source.integers("eos_token_id")]
    bos = (*text.integers("bos_token_id"), *config.integers("bos_token_id"), *generation.integers("bos_token_id"))
    return replace(spec, eos_ids=tuple(dict.fromkeys(eos)), bos_id=bos[0] if bos else None)


def _text_section(config: Fields) -> Fields:
    """The language model's part of a model that also sees images; the head's tie may stand outside it."""
    text = config.section("text_config")
    if config.has("tie_word_embeddings") and not text.has("tie_word_embeddings"):
        return Fields(text.where, {**text.values, "tie_word_embeddings": config.flag("tie_word_embeddings")})
    return text


def _check_values(config: Fields, family: _Family) -> None:
    for key, wanted in _REQUIRED_VALUES:
        if config.has(key) and config.values[key] != wanted:
            raise config.unsupported(key, config.values[key], str(wanted))
    activation = config.text(family.activation_key, config.text("hidden_act", family.activation))
    if activation != family.activation:
        raise config.unsupported(family.activation_key, activation, family.activation)


def _sizes(config: Fields, family: _Family) -> ModelSpec:
    hidden = config.integer("hidden_size", low=1)
    heads = config.integer("num_attention_heads", family.num_heads, low=1)
    head_size = config.integer("head_dim", family.head_size or hidden // heads, low=2)
    bias = config.flag("attention_bias", False) if family.qkv_bias is None else False
    return ModelSpec(
        family=family.name,
        vocab_size=config.integer("vocab_size", family.vocab_size, low=1),
        hidden_size=hidden,
        inner_size=config.integer("intermediate_size", low=1),
        num_layers=config.integer("num_hidden_layers", low=1, high=MAX_LAYERS),
        num_heads=heads,
        num_kv_heads=config.integer("num_key_value_heads", family.num_kv_heads or heads, low=1),
        head_size=head_size,
        max_positions=config.integer("max_position_embeddings", family.max_positions, low=1),
        norm_eps=config.positive("rms_norm_eps", family.norm_eps),
        rope=read_rope(config, "full_attention", family.theta),
        qkv_bias=bias or bool(family.qkv_bias),
        out_bias=bias,
        qk_norm=family.qk_norm,
        tied_head=config.flag("tie_word_embeddings", family.tied_head),
    )


def _windowed(spec: ModelSpec, config: Fields) -> ModelSpec:
    """Families whose sliding layers, if any, rotate like the others."""
    if spec.family == "llama" or (spec.family != "mistral" and not config.flag("use_sliding_window", False)):
        return spec
    # null says "no window"; only a key left out means the default
    window = config.integer("sliding_window", 0 if config.mentions("sliding_window") else 4096)
    if not window:
        return spec
    first = config.integer("max_window_layers", 28) if spec.family != "mistral" else 0
    sliding = _layer_types(config, tuple(layer >= first for layer in range(spec.num_layers)))
    if not any(sliding):
        return spec
    return replace(spec, sliding=sliding, window=window, local_rope=spec.rope)


def _gemma(spec: ModelSpec, config: Fields) -> ModelSpec:
    """Gemma 3's own parts; its norm weights are stored around zero."""
    period = config.integer("_sliding_window_pattern", config.integer("sliding_window_pattern", 6, low=1), low=1)
    sliding = _layer_types(config, tuple((layer + 1) % period != 0 for layer in range(spec.num_layers)))
    scale = config.positive("query_pre_attn_scalar", 256.0) ** -0.5
    return replace(
        spec,
        local_rope=read_rope(config, "sliding_attention", config.positive("rope_local_base_freq", 10_000.0)),
        sliding=sliding,
        window=config.integer("sliding_window", 4096 if any(sliding) else 0, low=1),
        activation="gelu_tanh",
        post_norms=True,
        norm_offset=1.0,
        embed_scale=spec.hidden_size**0.5,
        attention_scale=None if scale == spec.head_size**-0.5 else scale,
        attention_softcap=config.optional_positive("attn_logit_softcapping"),
        final_softcap=config.optional_positive("final_logit_softcapping"),
    )


def _layer_types(config: Fields, default: tuple[bool, ...]) -> tuple[bool, ...]:
    """Which layers slide: as listed, else by the family's rule."""
    kinds = config.texts("layer_types")
    if not kinds:
        return default
    unknown = sorted(set(kinds) - {"sliding_attention", "full_attention"})
    if unknown:
        raise config.unsupported("layer_types", unknown[0], "sliding_attention, full_attention")
    if len(kinds) != len(default):
        raise CheckpointError(f"{config.where}: 'layer_types' lists {len(kinds)} layers, expected {len(default)}")
    return tuple(kind == "sliding_attention" for kind in kinds)
