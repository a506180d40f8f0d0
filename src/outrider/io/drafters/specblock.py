"""SpecBlock as its authors release it: a flat Llama config, the three-way fusion called `input_layer`.

The config says neither how many taps there are (three) nor which; they are EAGLE-3's. Heads always share the hidden
size evenly, whatever `head_dim` says. Names and sizes are those of the published training code; no released file has
been at hand to confirm them.

Source: shiweijiezero/SpecBlock (`LlamaForCausalLMSpecBlock`), arXiv 2605.07243.
"""

from __future__ import annotations

from outrider.core.draft_spec import SpecBlockSpec
from outrider.errors import CheckpointError
from outrider.io.drafters.names import RANKS, match_tensors
from outrider.io.drafters.reading import Reading
from outrider.io.drafters.stack import check_taps, read_draft_vocabulary, read_stack, unknown_taps
from outrider.io.drafters.store import TensorStore, offer
from outrider.io.fields import Fields

SLOTS = "diffspec_draft_token_num"
_EMBED = "input_layer.embed_tokens.weight"
_MAX_SLOTS = 64
_DEFAULT_SLOTS = 7
_DRAFT_VOCABULARY = 32_000


def is_specblock(config: Fields) -> bool:
    return config.has(SLOTS) or any("SpecBlock" in name for name in config.texts("architectures"))


def read_specblock(config: Fields, store: TensorStore, num_target_layers: int) -> Reading:
    """Raises: CheckpointError where the config or the tensors are not those of a SpecBlock drafter."""
    values = {"rms_norm_eps": 1e-5, "num_hidden_layers": 1, **config.values}
    values.pop("head_dim", None)
    stack = read_stack(Fields(config.where, values), "llama")
    layers = config.integer("num_target_layers", num_target_layers)
    if not layers:
        raise unknown_taps(config.where)
    if config.integer("rank_classes", RANKS) != RANKS:
        raise config.unsupported("rank_classes", config.integer("rank_classes"), str(RANKS))
    files = offer(store, published_name)
    spec = SpecBlockSpec(
        stack=stack,
        taps=check_taps(config.where, (1, layers // 2 - 1, layers - 4), layers),
        target_hidden_size=config.integer("target_hidden_size", stack.hidden_size, low=1),
        draft_vocab_size=read_draft_vocabulary(config, stack, _DRAFT_VOCABULARY),
        num_target_layers=layers,
        num_slots=config.integer(SLOTS, _DEFAULT_SLOTS, low=1, high=_MAX_SLOTS),
        rank_size=_rank_size(files.where, files.shapes.get("rank_head.0.weight")),
    )
    return Reading(spec, match_tensors(spec, files))


def published_name(name: str) -> str:
    name = name.removeprefix("model.")
    return "embed_tokens.weight" if name == _EMBED else name


def _rank_size(where: str, shape: tuple[int, ...] | None) -> int:
    if shape is None:
        return 0
    if len(shape) != 2:
        raise CheckpointError(f"{where}: the tensor 'rank_head.0.weight' is {list(shape)}, expected a matrix")
    return shape[0]
