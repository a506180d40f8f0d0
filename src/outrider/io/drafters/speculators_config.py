"""A config.json as the `speculators` library writes it.

Source: `speculators` 0.9.0 (config.py, models/*/config.py).
"""

from __future__ import annotations

from outrider.core.draft_spec import DFlashSpec, DraftSpec, Eagle3Spec
from outrider.errors import ConfigError
from outrider.io.drafters.speculators import LAYER, SECTION, TYPE
from outrider.io.drafters.stack import stack_config

VERSION = "0.9.0"
_CLASSES = {
    "dflash": "DFlashDraftModel",
    "dflash2": "DFlash2DraftModel",
    "dspark": "DSparkDraftModel",
    "eagle3": "Eagle3DraftModel",
}
_EAGLE_STEPS = 3  # what the library's own converter writes


def method_of(spec: DraftSpec) -> str:
    """Raises: ConfigError where the library has no such model."""
    match spec:
        case Eagle3Spec():
            return "eagle3"
        case DFlashSpec() if spec.markov_rank or spec.confidence != "none":
            return "dspark"
        case DFlashSpec():
            return "dflash" if spec.conv is None and spec.selector is None else "dflash2"
    raise ConfigError(f"speculators has no model like this {type(spec).__name__.removesuffix('Spec')} drafter")


def speculators_config(spec: DraftSpec, verifier: str, architectures: tuple[str, ...]) -> dict[str, object]:
    """`verifier` names the target, `architectures` what its config calls itself.

    Raises: ConfigError naming what the library's layout has no place for.
    """
    method = method_of(spec)
    own = _eagle3(spec) if isinstance(spec, Eagle3Spec) else _dflash(spec) if isinstance(spec, DFlashSpec) else {}
    steps = spec.num_drafts if isinstance(spec, DFlashSpec) else _EAGLE_STEPS
    proposal = {"proposal_type": "greedy", "speculative_tokens": steps, "verifier_accept_k": 1, "accept_tolerance": 0.0}
    config: dict[str, object] = {
        "architectures": [_CLASSES[method]],
        TYPE: method,
        "speculators_version": VERSION,
        SECTION: {
            "algorithm": method,
            "default_proposal_method": "greedy",
            "proposal_methods": [proposal],
            "verifier": {"name_or_path": verifier or None, "architectures": list(architectures)},
        },
        LAYER: stack_config(spec.stack),
        "draft_vocab_size": spec.draft_vocab_size,
        "tie_word_embeddings": False,
        "target_hidden_size": None if spec.target_hidden_size == spec.stack.hidden_size else spec.target_hidden_size,
        **own,
    }
    # The library keeps keys that it does not know.
    return config | ({"num_target_layers": spec.num_target_layers} if spec.num_target_layers else {})


def _eagle3(spec: Eagle3Spec) -> dict[str, object]:
    return {
        "eagle_aux_hidden_state_layer_ids": [tap + 1 for tap in spec.taps],
        "norm_before_residual": spec.norm_before_residual,
        "norm_before_fc": spec.norm_before_fc,
        "fc_norm": spec.fc_norm,
        "norm_output": spec.norm_output,
        "embed_requires_grad": False,
    }


def _dflash(spec: DFlashSpec) -> dict[str, object]:
    _refuse(spec)
    slides = spec.stack.sliding or (False,) * spec.stack.num_layers
    looks_ahead = any(slides) and not any(spec.causal)
    own: dict[str, object] = {
        "block_size": spec.block_size,
        "aux_hidden_state_layer_ids": [tap + 1 for tap in spec.taps],
        "mask_token_id": spec.mask_id,
        "sliding_window_non_causal": looks_ahead,
        "sample_from_anchor": spec.from_anchor,
    }
    if spec.conv is not None:
        own |= {"conv_kernel_size": spec.conv.kernel, "conv_group_size": spec.conv.group}
    if spec.selector is not None:
        own |= {"selector_rank": spec.selector.rank, "selector_top_k": spec.selector.top_k}
    if method_of(spec) == "dspark":
        own |= {"markov_rank": spec.markov_rank, "markov_head_type": spec.markov_kind}
        own["enable_confidence_head"] = spec.confidence != "none"
        own["confidence_head_with_markov"] = spec.confidence == "hidden_markov"
    return own


def _refuse(spec: DFlashSpec) -> None:
    slides = spec.stack.sliding or (False,) * spec.stack.num_layers
    looking = {causal for causal, sliding in zip(spec.causal, slides, strict=True) if sliding}
    unheld = {
        "'input_embedding_scale'": spec.input_scale != 1,
        "'output_multiplier'": spec.output_scale != 1,
        "'final_logit_softcapping'": spec.softcap is not None,
        "full layers that look back only": any(
            causal and not sliding for causal, sliding in zip(spec.causal, slides, strict=True)
        ),
        "sliding layers of which only some look ahead": len(looking) > 1,
        "DSpark's heads beside a convolution or selector": method_of(spec) == "dspark"
        and (spec.conv is not None or spec.selector is not None),
        "a convolution without a selector": (spec.conv is None) != (spec.selector is None),
    }
    for what, there in unheld.items():
        if there:
            raise ConfigError(f"speculators' layout cannot hold {what}")
