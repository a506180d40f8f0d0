"""EAGLE-3 as SafeAILab and SpecForge save it: a flat Llama config, the one layer called `midlayer`.

A config without `rope_theta` means 10000, whatever the target's is. Layers that `eagle_config` lists count as here,
by their output; listed beside the rest, they count as `speculators` does, by their input.

Source: SafeAILab/EAGLE (`cnets.py`), SpecForge (`LlamaForCausalLMEagle3`) and the readers of SGLang and vLLM.
"""

from __future__ import annotations

from collections.abc import Mapping

from outrider.core.draft_spec import DraftSpec, Eagle3Spec
from outrider.errors import CheckpointError, ConfigError
from outrider.io.drafters.names import match_tensors
from outrider.io.drafters.reading import Reading
from outrider.io.drafters.stack import check_taps, read_draft_vocabulary, read_stack, stack_config, unknown_taps
from outrider.io.drafters.store import TensorStore, offer
from outrider.io.fields import Fields

SECTION = "eagle_config"
TAPS = "eagle_aux_hidden_state_layer_ids"
_MIDDLE, _FIRST = "midlayer.", "layers.0."
_ALIASES = {f"aux_norm_{name}.weight": f"fc_norm.{tap}.weight" for tap, name in enumerate(("low", "mid", "high"))}


def is_eagle3(config: Fields, store: TensorStore) -> bool:
    named = any("eagle3" in name.lower() for name in config.texts("architectures"))
    return named or any(published_name(name) == f"{_FIRST}hidden_norm.weight" for name in store.shapes)


def read_eagle3(config: Fields, store: TensorStore, num_target_layers: int) -> Reading:
    """Raises: CheckpointError where the config or the tensors are not those of an EAGLE-3 head."""
    stack = read_stack(config, "llama")
    files = offer(store, published_name)
    layers = config.integer("num_target_layers", num_target_layers)
    merged = Fields(config.where, {**config.values, **config.section(SECTION).values})
    _refuse_variants(merged)
    spec = Eagle3Spec(
        stack=stack,
        taps=_taps(config, layers),
        target_hidden_size=merged.integer("target_hidden_size", stack.hidden_size, low=1),
        draft_vocab_size=read_draft_vocabulary(config, stack, stack.vocab_size),
        num_target_layers=layers,
        norm_before_residual=merged.flag("norm_before_residual", False),
        norm_before_fc=_flag(merged, "norm_before_fc", files.shapes, "input_norm.weight"),
        fc_norm=_flag(merged, "fc_norm", files.shapes, "fc_norm.0.weight"),
    )
    return Reading(spec, match_tensors(spec, files))


def published_name(name: str) -> str:
    name = name.removeprefix("model.")
    if name.startswith(_MIDDLE):
        return _FIRST + name.removeprefix(_MIDDLE)
    return _ALIASES.get(name, name)


def _flag(config: Fields, key: str, shapes: Mapping[str, tuple[int, ...]], tensor: str) -> bool:
    """Older configs say nothing of a norm whose weights are there."""
    return config.flag(key, tensor in shapes)


def _taps(config: Fields, layers: int) -> tuple[int, ...]:
    """Where neither list is there, published readers take these three."""
    nested, beside = config.section(SECTION).integers(TAPS), config.integers(TAPS)
    if nested or beside:
        return check_taps(config.where, nested or (layer - 1 for layer in beside), layers)
    if not layers:
        raise unknown_taps(config.where)
    return check_taps(config.where, (1, layers // 2 - 1, layers - 4), layers)


def _refuse_variants(config: Fields) -> None:
    if not config.flag("norm_output", True):  # SpecForge's word for the norm before the head
        raise config.unsupported("norm_output", False, "true")
    if config.has("parallel_drafting") or any("PEagle" in name for name in config.texts("architectures")):
        raise CheckpointError(f"{config.where}: P-EAGLE is not supported; supported: EAGLE-3")


def eagle3_config(spec: DraftSpec) -> dict[str, object]:
    """A config.json of this layout, with both lists of layers. Raises: ConfigError naming what it has no place for."""
    if not isinstance(spec, Eagle3Spec):
        raise ConfigError("SafeAILab's layout holds EAGLE-3 drafters only")
    unheld = {
        "more than one layer": spec.stack.num_layers > 1,
        "norms of queries and keys": spec.stack.qk_norm,
        "'norm_output', which feeds back the output behind the norm": spec.norm_output,
        "a sliding window": spec.stack.window > 0,
    }
    for what, there in unheld.items():
        if there:
            raise ConfigError(f"SafeAILab's layout cannot hold {what}")
    own = {"use_aux_hidden_state": True, TAPS: list(spec.taps)}
    config = {"architectures": ["LlamaForCausalLMEagle3"], **stack_config(spec.stack), SECTION: own}
    config |= {"draft_vocab_size": spec.draft_vocab_size, "target_hidden_size": spec.target_hidden_size}
    for key in switches_of(spec):
        config[key] = True
    return config | ({"num_target_layers": spec.num_target_layers} if spec.num_target_layers else {})


def switches_of(spec: Eagle3Spec) -> tuple[str, ...]:
    """What is switched on that SafeAILab's own code does not know; vLLM, llama.cpp and `speculators` read it."""
    flags = {
        "norm_before_residual": spec.norm_before_residual,
        "norm_before_fc": spec.norm_before_fc,
        "fc_norm": spec.fc_norm,
    }
    return tuple(key for key, on in flags.items() if on)


def eagle3_name(published: str) -> str:
    """As this layout calls a tensor."""
    return _MIDDLE + published.removeprefix(_FIRST) if published.startswith(_FIRST) else published
