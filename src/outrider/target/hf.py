"""Any causal language model of the library transformers as a target: the extra `hf`.

    all layers attend                       PackedTarget   trees, all sequences in one pass, our own pages
    states, or a mask that we cannot give   ChainTarget    chains, a pass a sequence, the model's own cache, copied
    … whose code takes one token at a time  the same       nothing is drafted
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
import transformers

from outrider.core.spec import ModelSpec
from outrider.errors import CheckpointError
from outrider.target.hf_model import HfModel, setting
from outrider.target.hf_packed import PackedTarget
from outrider.target.hf_probe import is_right
from outrider.target.hf_states import ChainTarget
from outrider.target.hf_target import HfTarget
from outrider.target.load import context_size

if int(transformers.__version__.partition(".")[0]) < 5:
    raise ImportError(f"version {transformers.__version__} is too old")

_ANY_LENGTH = 1 << 20  # what is said of models that state no limit
_LOG = logging.getLogger(__name__)


def load_hf(path: Path, dtype: torch.dtype, device: torch.device, context: int = 0,
            fingerprint: str = "") -> HfTarget:
    """A target from a directory with config.json and safetensors; code that comes with a model is never run.

    Raises: CheckpointError where the library cannot load it, weights are missing, or its cache does not work.
    """
    try:
        module, report = transformers.AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            output_loading_info=True)
    except Exception as error:  # whatever a library of hundreds of models raises
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise CheckpointError(f"{path}: transformers {transformers.__version__} cannot load it: {reason}") from error
    absent = sorted(str(name) for key in ("missing_keys", "mismatched_keys") for name in report.get(key, ()))
    if absent:
        raise CheckpointError(f"{path}: tensors are missing or of another shape: {absent[0]} (of {len(absent)} in all)")
    return adapt(module.to(device), context, fingerprint, str(path))


def adapt(module: Any, context: int = 0, fingerprint: str = "", where: str = "this model") -> HfTarget:
    """A target around a model that is in memory. Raises: CheckpointError where no way of running it works."""
    try:
        if setting(module.config.get_text_config(), "is_encoder_decoder"):
            raise CheckpointError(f"{where}: has an encoder; only decoders can be targets")
        model = HfModel(module)
    except CheckpointError:
        raise
    except Exception as error:
        raise _unfit(where, error) from error
    spec = spec_of(model)
    positions = context_size(spec.max_positions, context)
    if PackedTarget.serves(model):
        packed = PackedTarget(model, spec, positions, fingerprint)
        if _works(packed):
            return packed
    return _chained(model, spec, positions, fingerprint, where)


def spec_of(model: HfModel) -> ModelSpec:
    """What can be said of any model; the details that make its family are the library's own business."""
    config, generation = model.config, model.module.generation_config
    hidden, heads = int(config.hidden_size), setting(config, "num_attention_heads") or 1
    eos_ids = [token for source in (generation, config) for token in _ids(setting(source, "eos_token_id"))]
    bos_ids = [token for source in (config, generation) for token in _ids(setting(source, "bos_token_id"))]
    return ModelSpec(
        family=str(config.model_type), vocab_size=model.vocab_size, hidden_size=hidden,
        inner_size=setting(config, "intermediate_size") or 4 * hidden, num_layers=int(config.num_hidden_layers),
        num_heads=heads, num_kv_heads=setting(config, "num_key_value_heads") or heads,
        head_size=setting(config, "head_dim") or hidden // heads, max_positions=_positions(config),
        norm_eps=setting(config, "rms_norm_eps") or 1e-6, tied_head=bool(setting(config, "tie_word_embeddings")),
        eos_ids=tuple(dict.fromkeys(eos_ids)), bos_id=bos_ids[0] if bos_ids else None,
    )


def _positions(config: Any) -> int:
    """What the model was made for; less where its rotation would change with the length of what is computed."""
    rope = setting(config, "rope_parameters")
    if isinstance(rope, dict) and rope.get("rope_type") == "longrope":
        original = rope.get("original_max_position_embeddings") or setting(config, "original_max_position_embeddings")
        return int(original or config.max_position_embeddings)
    names = ("max_position_embeddings", "max_seq_len", "seq_length")
    return next((int(found) for name in names if (found := setting(config, name))), _ANY_LENGTH)


def _ids(value: Any) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else list(value)


def _chained(model: HfModel, spec: ModelSpec, context: int, fingerprint: str, where: str) -> HfTarget:
    if not model.cache_name:
        raise CheckpointError(f"{where}: transformers runs it without a cache: it cannot be continued token by token")
    for one_by_one in (False, True):
        target = ChainTarget(model, spec, context, fingerprint, one_by_one=one_by_one)
        if _works(target):
            if one_by_one:
                _LOG.warning("%s: its code in transformers %s takes one token at a time: nothing will be drafted; "
                             "a newer version may take several", where, transformers.__version__)
            return target
    raise CheckpointError(f"{where}: transformers' cache for it gives other logits than the whole text; cannot be used")


def _works(target: HfTarget) -> bool:
    """Whether a trial gives the right logits; what the library raises on the way means no."""
    try:
        return is_right(target)
    except Exception as error:
        _LOG.debug("%s as %s: %s: %s", target.spec.family, type(target).__name__, type(error).__name__, error)
        return False


def _unfit(where: str, error: Exception) -> CheckpointError:
    reason = (str(error).splitlines() or [""])[0]
    return CheckpointError(f"{where}: cannot be run through transformers: {type(error).__name__}: {reason}")
