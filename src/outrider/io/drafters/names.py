"""The tensors of trained drafters: our name for each, the published one, and the shape that the spec asks for.

The published names are those of the `speculators` library, which z-lab's and most other files share; what a format
calls differently, its reader renames before it matches. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from outrider.core.draft_spec import DFlashSpec, DraftSpec, Eagle3Spec, SpecBlockSpec
from outrider.errors import CheckpointError
from outrider.io.tensor_table import check_heads

Shape = tuple[int, ...]

EMBED, HEAD, DRAFT_IDS = "embed.weight", "head.weight", "draft_ids"
# How a checkpoint maps the rows of a reduced head: offsets by draft id, flags by target id.
OFFSETS, FLAGS = "d2t", "t2d"
# What SpecBlock's rank head sees of a distribution besides the hidden state, and how many cases it tells apart.
RANK_FEATURES, RANKS = 15, 4
# Of the target's weights some files keep copies, of constants some keep the values: neither is the drafter's own.
_IGNORED_PREFIX, _IGNORED_SUFFIX = "verifier_", "rotary_emb.inv_freq"


@dataclass(frozen=True, slots=True)
class DraftSlot:
    """One tensor of a drafter. Where an `optional` one is absent, the target's takes its place, or nothing does."""

    name: str
    published: str
    shape: Shape
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """What a file has, by published name: the name in the file, and the shape."""

    where: str
    files: Mapping[str, str]
    shapes: Mapping[str, Shape]


def match_tensors(spec: DraftSpec, offer: Offer) -> dict[str, str]:
    """Canonical name to name in the file, for every tensor of `spec` that is not borrowed.

    Raises: CheckpointError naming the first tensor that is missing, has the wrong shape, or is there without a place.
    """
    check_heads(spec.stack, offer.where)
    found: dict[str, str] = {}
    used: set[str] = set()
    for slot in draft_slots(spec):
        if slot.published not in offer.files:
            if slot.optional:
                continue
            raise CheckpointError(f"{offer.where}: the tensor '{slot.published}' is missing")
        given = offer.shapes[slot.published]
        if given != slot.shape:
            shapes = f"has the shape {list(given)}, expected {list(slot.shape)}"
            raise CheckpointError(f"{offer.where}: the tensor '{slot.published}' {shapes}")
        found[slot.name] = offer.files[slot.published]
        used.add(slot.published)
    _refuse_strangers(offer, used)
    return found


def _refuse_strangers(offer: Offer, used: set[str]) -> None:
    for published, name in offer.files.items():
        ignored = published.startswith(_IGNORED_PREFIX) or published.endswith(_IGNORED_SUFFIX)
        if published not in used and published not in (OFFSETS, FLAGS) and not ignored:
            raise CheckpointError(
                f"{offer.where}: the tensor '{name}' has no place in a drafter of this config; "
                "leaving it out would change the drafts"
            )


def draft_slots(spec: DraftSpec) -> Iterator[DraftSlot]:
    """All tensors but `draft_ids`, lazily: a hostile layer count fails at the first layer that is not there."""
    match spec:
        case DFlashSpec():
            yield from _dflash(spec)
        case Eagle3Spec():
            yield from _eagle3(spec)
        case SpecBlockSpec():
            yield from _specblock(spec)
        case _:
            raise AssertionError(f"no tensors are known for {type(spec).__name__}")
    width = spec.stack.hidden_size
    lends = width == spec.target_hidden_size  # the target's rows fit
    yield DraftSlot(EMBED, "embed_tokens.weight", (spec.stack.vocab_size, width), lends)
    yield DraftSlot(HEAD, "lm_head.weight", (spec.draft_vocab_size, width), lends and not spec.has_reduced_vocab)


def _dflash(spec: DFlashSpec) -> Iterator[DraftSlot]:
    width = spec.stack.hidden_size
    yield DraftSlot("fc.weight", "fc.weight", (width, spec.feature_size))
    yield DraftSlot("feature_norm.weight", "hidden_norm.weight", (width,))
    for layer in range(spec.stack.num_layers):
        yield from _layer(spec, layer, width)
        yield from _convolutions(spec, layer)
    yield DraftSlot("norm.weight", "norm.weight", (width,))
    yield from _selector(spec)
    yield from _dspark(spec)


def _convolutions(spec: DFlashSpec, layer: int) -> Iterator[DraftSlot]:
    if spec.conv is None:
        return
    width, kernel = spec.stack.hidden_size, spec.conv.kernel
    for ours, theirs in (("attn_conv", "attention_conv"), ("mlp_conv", "mlp_conv")):
        name, published = f"layers.{layer}.{ours}", f"layers.{layer}.{theirs}"
        yield DraftSlot(f"{name}.base", f"{published}.base_kernel", (2, kernel, width))
        weights = 2 * kernel * width // spec.conv.group
        yield DraftSlot(f"{name}.kernel.weight", f"{published}.kernel_projection.weight", (weights, width))


def _selector(spec: DFlashSpec) -> Iterator[DraftSlot]:
    if spec.selector is None:
        return
    table = (spec.stack.vocab_size, spec.selector.rank)
    yield DraftSlot("selector.before.weight", "candidate_selector.predecessor_codebook", table)
    yield DraftSlot("selector.after.weight", "candidate_selector.successor_codebook", table)
    projection = (spec.selector.rank, spec.stack.hidden_size)
    yield DraftSlot("selector.hidden.weight", "candidate_selector.hidden_projection.weight", projection)


def _dspark(spec: DFlashSpec) -> Iterator[DraftSlot]:
    rank = spec.markov_rank
    if rank:
        yield DraftSlot("markov.before.weight", "markov_head.markov_w1.weight", (spec.stack.vocab_size, rank))
        yield DraftSlot("markov.after.weight", "markov_head.markov_w2.weight", (spec.draft_vocab_size, rank))
        width = spec.stack.hidden_size + rank
        mixers = {"vanilla": (), "gated": (("gate", rank, width),), "rnn": (("joint", 3 * rank, width + rank),)}
        for name, rows, columns in mixers[spec.markov_kind]:
            yield DraftSlot(f"markov.{name}.weight", f"markov_head.{name}_proj.weight", (rows, columns))
            yield DraftSlot(f"markov.{name}.bias", f"markov_head.{name}_proj.bias", (rows,))
    if spec.confidence != "none":
        width = spec.stack.hidden_size + (rank if spec.confidence == "hidden_markov" else 0)
        yield DraftSlot("confidence.weight", "confidence_head.proj.weight", (1, width))
        yield DraftSlot("confidence.bias", "confidence_head.proj.bias", (1,))


def _eagle3(spec: Eagle3Spec) -> Iterator[DraftSlot]:
    width = spec.stack.hidden_size
    if spec.norm_before_fc:
        yield DraftSlot("input_norm.weight", "input_norm.weight", (spec.feature_size,))
    for tap in range(len(spec.taps) if spec.fc_norm else 0):
        yield DraftSlot(f"fc_norms.{tap}.weight", f"fc_norm.{tap}.weight", (spec.target_hidden_size,))
    yield DraftSlot("fc.weight", "fc.weight", (width, spec.feature_size))
    yield DraftSlot("layers.0.feature_norm.weight", "layers.0.hidden_norm.weight", (width,))
    for layer in range(spec.stack.num_layers):
        yield from _layer(spec, layer, width if layer else 2 * width)
    yield DraftSlot("norm.weight", "norm.weight", (width,))


def _specblock(spec: SpecBlockSpec) -> Iterator[DraftSlot]:
    width = spec.stack.hidden_size
    yield DraftSlot("fc.weight", "input_layer.condition_proj.weight", (width, spec.feature_size))
    yield DraftSlot("fuse.weight", "input_layer.fuse.weight", (width, 3 * width))
    for ours, theirs in (("condition", "condition"), ("token", "token"), ("slot", "query")):
        yield DraftSlot(f"fuse_norms.{ours}.weight", f"input_layer.{theirs}_norm.weight", (width,))
    yield DraftSlot("slots.weight", "input_layer.position_queries.weight", (spec.num_slots, width))
    for layer in range(spec.stack.num_layers):
        yield from _layer(spec, layer, width)
    for layer in range(spec.stack.num_layers - 1):
        yield DraftSlot(f"shifts.{layer}.weight", f"shift_proj.{layer}.weight", (width, 2 * width))
    yield DraftSlot("norm.weight", "norm.weight", (width,))
    if spec.rank_size:
        yield from _rank_head(spec)


def _rank_head(spec: SpecBlockSpec) -> Iterator[DraftSlot]:
    """Sizes that no config states; published heads have no biases."""
    sizes = {"up": (0, spec.rank_size, spec.stack.hidden_size + RANK_FEATURES), "down": (2, RANKS, spec.rank_size)}
    for name, (place, rows, columns) in sizes.items():
        yield DraftSlot(f"rank.{name}.weight", f"rank_head.{place}.weight", (rows, columns))
        yield DraftSlot(f"rank.{name}.bias", f"rank_head.{place}.bias", (rows,), optional=True)


def _layer(spec: DraftSpec, layer: int, input_size: int) -> Iterator[DraftSlot]:
    """A decoder layer whose queries, keys and values read `input_size` features."""
    stack, width = spec.stack, spec.stack.hidden_size
    shapes: dict[str, tuple[str, Shape]] = {
        "attn_norm.weight": ("input_layernorm.weight", (width,)),
        "mlp_norm.weight": ("post_attention_layernorm.weight", (width,)),
        "attn.o.weight": ("self_attn.o_proj.weight", (width, stack.query_size)),
        "mlp.gate.weight": ("mlp.gate_proj.weight", (stack.inner_size, width)),
        "mlp.up.weight": ("mlp.up_proj.weight", (stack.inner_size, width)),
        "mlp.down.weight": ("mlp.down_proj.weight", (width, stack.inner_size)),
    }
    for part, size in (("q", stack.query_size), ("k", stack.kv_size), ("v", stack.kv_size)):
        shapes[f"attn.{part}.weight"] = (f"self_attn.{part}_proj.weight", (size, input_size))
        if stack.qkv_bias:
            shapes[f"attn.{part}.bias"] = (f"self_attn.{part}_proj.bias", (size,))
    if stack.out_bias:
        shapes["attn.o.bias"] = ("self_attn.o_proj.bias", (width,))
    if stack.qk_norm:
        shapes["attn.q_norm.weight"] = ("self_attn.q_norm.weight", (stack.head_size,))
        shapes["attn.k_norm.weight"] = ("self_attn.k_norm.weight", (stack.head_size,))
    for name, (published, shape) in shapes.items():
        yield DraftSlot(f"layers.{layer}.{name}", f"layers.{layer}.{published}", shape)
