"""From a reference to a model that is ready: weights, tokenizer, template, whatever the file format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from outrider.errors import ConfigError, suggestion
from outrider.io.checkpoint import open_checkpoint
from outrider.io.model_tokenizer import open_tokenizer
from outrider.io.reference import resolve
from outrider.io.tokenizer import Tokenizer
from outrider.target.decoder import DecoderTarget, load_decoder
from outrider.target.interface import Target

MAX_CONTEXT = 32_768  # unless more is asked for
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A target with its tokenizer, shareable by any number of engines."""

    name: str
    target: Target
    tokenizer: Tokenizer | None


def load_model(reference: str | Path, *, dtype: str = "", device: str = "", context: int = 0) -> LoadedModel:
    """Loads a model by path, catalogue name or hub id, fetching it first where it is not here.

    `dtype` is float32 on the CPU and bfloat16 on CUDA unless given; `device` is CUDA where there is one.
    Raises: OutriderError for whatever stands in the way, in one line.
    """
    place = _device(device)
    wanted = dtype or ("float32" if place.type == "cpu" else "bfloat16")
    if wanted not in _DTYPES:
        raise ConfigError(f"unknown dtype '{wanted}'{suggestion(wanted, _DTYPES)}; known: {', '.join(_DTYPES)}")
    path = resolve(str(reference), fetch=True)
    checkpoint = open_checkpoint(path)
    tokenizer = open_tokenizer(path)
    decoder = load_decoder(checkpoint.spec, checkpoint.tensor, _DTYPES[wanted], place)
    positions = context_size(checkpoint.spec.max_positions, context)
    name = str(reference) if path.name not in str(reference) else path.stem
    return LoadedModel(name, DecoderTarget(decoder, positions, tokenizer.fingerprint()), tokenizer)


def context_size(max_positions: int, wanted: int) -> int:
    """Positions to make room for: what is wanted, never more than the model was made for."""
    return min(wanted or MAX_CONTEXT, max_positions)


def _device(name: str) -> torch.device:
    if not name:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device '{name}': expected cpu or cuda") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: this torch sees no GPU; use --device cpu or install a CUDA build of torch")
    return device
