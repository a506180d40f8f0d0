"""llama.cpp's drafters: GGUF files of the architectures `dflash` (DFlash, DFlash 2, DSpark) and `eagle3`. Read only.

Layers of the target count by their input, that is one more than here. `d2t` holds the target's ids themselves. Rows of
EAGLE-3's queries and keys are in the order of Llama files, those of DFlash are not.

Where a file does not say which layers of a DFlash block look back only, z-lab's rule for sliding layers holds;
llama.cpp itself then lets all of them look both ways.

Source: llama.cpp, src/models/{dflash,eagle3}.cpp and conversion/{qwen,llama}.py (September 2026).
"""

from __future__ import annotations

from outrider.core.draft_spec import ConvSpec, DFlashSpec, Eagle3Spec, SelectorSpec
from outrider.core.spec import ModelSpec, RopeSpec
from outrider.errors import CheckpointError
from outrider.io.drafters.dspark import Confidence
from outrider.io.drafters.gguf_names import ROPE_FREQS, published_name
from outrider.io.drafters.gguf_store import GgufStore
from outrider.io.drafters.names import OFFSETS, Shape, match_tensors
from outrider.io.drafters.reading import Reading
from outrider.io.drafters.stack import check_taps
from outrider.io.drafters.store import offer
from outrider.io.drafters.zlab import MAX_BLOCK, check_dflash
from outrider.io.fields import Fields
from outrider.io.gguf_header import GgufHeader
from outrider.io.gguf_spec import MAX_LAYERS, frequency_divisor

ARCHITECTURES = ("dflash", "eagle3")
_MASK = "tokenizer.ggml.mask_token_id"
_WORDS = "tokenizer.ggml.tokens"
_BLOCK = 16
_VARIANTS = ("decoder_arch", "hyper_connection.count", "attention.value_scale")


def read_gguf(header: GgufHeader, store: GgufStore) -> Reading:
    """Raises: CheckpointError where the architecture, a setting or a tensor is not supported, missing or wrong."""
    arch = header.fields.text("general.architecture")
    if arch not in ARCHITECTURES:
        raise header.fields.unsupported("general.architecture", arch, f"{', '.join(ARCHITECTURES)}, for drafters")
    for key in _VARIANTS:
        if header.fields.has(f"{arch}.{key}"):
            raise CheckpointError(
                f"{header.path}: '{arch}.{key}': only drafters with plain Qwen3 or Llama layers are supported"
            )
    return _read_dflash(header, store) if arch == "dflash" else _read_eagle3(header, store)


def taps_of(header: GgufHeader, arch: str) -> tuple[int, ...]:
    """Files of the first months call them `extract_layers`. Raises: CheckpointError where there are none."""
    for key in (f"{arch}.target_layers", f"{arch}.extract_layers"):
        if key in header.arrays:
            inputs = header.arrays[key].numbers().tolist()
            if not all(type(layer) is int for layer in inputs):
                raise CheckpointError(f"{header.path}: '{key}' must be a list of whole numbers")
            return check_taps(f"{header.path}: '{key}'", [layer - 1 for layer in inputs], 0)
    raise CheckpointError(f"{header.path}: the key '{arch}.target_layers' is missing")


def _read_dflash(header: GgufHeader, store: GgufStore) -> Reading:
    fields = _Keys(header.fields, "dflash")
    stack = _stack(header, "dflash", "qwen3")
    shapes = store.shapes
    rank = shapes["markov_w1.weight"][-1] if "markov_w1.weight" in shapes else 0
    spec = DFlashSpec(
        stack=stack,
        taps=taps_of(header, "dflash"),
        target_hidden_size=fields.integer("target_hidden_size", stack.hidden_size),
        draft_vocab_size=_draft_vocabulary(store, stack),
        block_size=header.fields.integer("dflash.block_size", _BLOCK, low=2, high=MAX_BLOCK),
        mask_id=header.fields.integer(_MASK),
        causal=_causal(header.fields, stack),
        from_anchor=_said(header.fields, "dflash.sample_from_anchor", rank > 0),
        input_scale=header.fields.positive("dflash.embedding_scale", 1.0),
        output_scale=header.fields.positive("dflash.logit_scale", 1.0),
        softcap=_softcap(header.fields),
        conv=ConvSpec(fields.integer("conv_kernel_size"), fields.integer("conv_group_size"))
        if "blk.0.attn_conv_base" in shapes
        else None,
        selector=SelectorSpec(fields.integer("selector_rank"), fields.integer("selector_top_k"))
        if "selector_hidden.weight" in shapes
        else None,
        markov_rank=rank,
        confidence=_confidence(shapes.get("conf_proj.weight", ()), stack),
    )
    check_dflash(header.fields, spec)
    return Reading(spec, match_tensors(spec, offer(store, published_name)))


def _read_eagle3(header: GgufHeader, store: GgufStore) -> Reading:
    fields = header.fields
    stack = _stack(header, "eagle3", "llama")
    heads = {"attn_q": stack.num_heads, "attn_k": stack.num_kv_heads}
    store.untangle({f"blk.0.{name}.{part}": count for name, count in heads.items() for part in ("weight", "bias")})
    before_fc = fields.flag("eagle3.norm_before_fc", False)
    spec = Eagle3Spec(
        stack=stack,
        taps=taps_of(header, "eagle3"),
        target_hidden_size=fields.integer("eagle3.target_hidden_size", stack.hidden_size, low=1),
        draft_vocab_size=_draft_vocabulary(store, stack),
        norm_before_residual=fields.flag("eagle3.norm_before_residual", False),
        norm_before_fc=before_fc,
        fc_norm=fields.flag("eagle3.fc_norm", False),
        norm_output=fields.flag("eagle3.norm_output", False),
    )
    return Reading(spec, match_tensors(spec, offer(store, lambda name: published_name(name, before_fc))))


class _Keys:
    """Whole numbers of one architecture's section."""

    def __init__(self, fields: Fields, arch: str) -> None:
        self._fields, self._arch = fields, arch

    def integer(self, key: str, default: int | None = None) -> int:
        return self._fields.integer(f"{self._arch}.{key}", default, low=1)

    def optional(self, key: str) -> int:
        return self._fields.integer(f"{self._arch}.{key}", 0)


def _stack(header: GgufHeader, arch: str, family: str) -> ModelSpec:
    keys, fields = _Keys(header.fields, arch), header.fields
    hidden, heads = keys.integer("embedding_length"), keys.integer("attention.head_count")
    head_size = keys.integer("attention.key_length", max(1, hidden // heads))
    for key in ("attention.value_length", "rope.dimension_count"):
        if keys.integer(key, head_size) != head_size:
            raise fields.unsupported(f"{arch}.{key}", keys.integer(key), f"the head size, {head_size}")
    layers = fields.integer(f"{arch}.block_count", low=1, high=MAX_LAYERS)
    window, rope = keys.optional("attention.sliding_window"), _rope(header, arch, head_size)
    sliding = _sliding(header, arch, layers) if window else ()
    return ModelSpec(
        family=family,
        vocab_size=_vocabulary(header, arch),
        hidden_size=hidden,
        inner_size=keys.integer("feed_forward_length"),
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=keys.integer("attention.head_count_kv", heads),
        head_size=head_size,
        max_positions=keys.integer("context_length"),
        norm_eps=fields.positive(f"{arch}.attention.layer_norm_rms_epsilon"),
        rope=rope,
        local_rope=rope if any(sliding) else None,
        sliding=sliding if any(sliding) else (),
        window=window if any(sliding) else 0,
        qkv_bias="blk.0.attn_q.bias" in header.tensors,
        out_bias="blk.0.attn_output.bias" in header.tensors,
        qk_norm=family == "qwen3",
    )


def _vocabulary(header: GgufHeader, arch: str) -> int:
    """The target's: from the words that came with the drafter, else as stated."""
    if _WORDS in header.arrays and header.arrays[_WORDS].count > 1:
        return header.arrays[_WORDS].count
    return header.fields.integer(f"{arch}.vocab_size", low=1)


def _sliding(header: GgufHeader, arch: str, layers: int) -> tuple[bool, ...]:
    key = f"{arch}.attention.sliding_window_pattern"
    if key not in header.arrays:
        return (header.fields.flag(key, True),) * layers
    flags = tuple(bool(flag) for flag in header.arrays[key].numbers().tolist())
    if len(flags) != layers:
        raise CheckpointError(
            f"{header.path}: '{key}' has {len(flags)} flags, expected one for each of {layers} layers"
        )
    return flags


def _rope(header: GgufHeader, arch: str, head_size: int) -> RopeSpec:
    fields = header.fields
    theta = fields.positive(f"{arch}.rope.freq_base", 1e4)
    scaling = fields.text(f"{arch}.rope.scaling.type", "none")
    if scaling not in ("none", "linear"):
        raise fields.unsupported(f"{arch}.rope.scaling.type", scaling, "none, linear, and Llama 3's rope_freqs.weight")
    divisor = frequency_divisor(header, head_size) if ROPE_FREQS in header.tensors else ()
    if divisor or scaling == "none":
        return RopeSpec(theta=theta, frequency_divisor=divisor)
    return RopeSpec(theta=theta, scaling="linear", factor=fields.positive(f"{arch}.rope.scaling.factor"))


def _causal(fields: Fields, stack: ModelSpec) -> tuple[bool, ...]:
    """As z-lab's files: without a word, sliding layers look back only."""
    if fields.has("dflash.attention.causal"):
        return (_said(fields, "dflash.attention.causal", False),) * stack.num_layers
    return stack.sliding or (False,) * stack.num_layers


def _said(fields: Fields, key: str, default: bool) -> bool:
    """A flag; converters have written some as words."""
    word = fields.values.get(key)
    return word == "true" if isinstance(word, str) else fields.flag(key, default)


def _confidence(shape: Shape, stack: ModelSpec) -> Confidence:
    """By what the head reads: there is no key that says so."""
    if not shape:
        return "none"
    return "hidden" if shape[-1] == stack.hidden_size else "hidden_markov"


def _softcap(fields: Fields) -> float | None:
    cap = fields.number("dflash.final_logit_softcapping", 0.0)
    return cap if cap > 0 else None


def _draft_vocabulary(store: GgufStore, stack: ModelSpec) -> int:
    shape = store.shapes.get(OFFSETS)
    return shape[0] if shape else stack.vocab_size
