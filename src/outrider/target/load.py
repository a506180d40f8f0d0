"""From a reference to a model that is ready: weights, tokenizer, template, whatever the file format."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from outrider.core.spec import ModelSpec
from outrider.errors import ConfigError, suggestion
from outrider.io.checkpoint import open_checkpoint
from outrider.io.model_tokenizer import open_tokenizer
from outrider.io.reference import resolve
from outrider.io.tokenizer import Tokenizer
from outrider.ops.cuda.available import cuda_ops, missing
from outrider.ops.native.library import MISSING, Library
from outrider.ops.native.library import load as native_library
from outrider.ops.native.threads import available_threads
from outrider.target.cuda import CudaTarget, rounded
from outrider.target.decoder import DecoderTarget, load_decoder
from outrider.target.interface import Target
from outrider.target.native import NativeTarget
from outrider.target.weights import EXACT, check_rounding, load_weights, obstacle

MAX_CONTEXT = 32_768  # unless more is asked for
_OPS = ("native", "reference", "cuda", "hf")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A target with its tokenizer, shareable by any number of engines."""

    name: str
    target: Target
    tokenizer: Tokenizer | None


def load_model(reference: str | Path, *, dtype: str = "", device: str = "", context: int = 0, ops: str = "",
               weights: str = "", threads: int = 0) -> LoadedModel:
    """Loads a model by path, catalogue name or hub id, fetching it first where it is not here.

    `device` is CUDA where there is one. `ops` is `native` on the CPU, as far as kernels were built and fit the model,
    `cuda` on CUDA where Triton is installed, and `reference` otherwise; these two compute in `dtype` (float32 on the
    CPU and bfloat16 on CUDA unless given); `hf` runs a safetensors directory of any family through the library
    transformers, in the same `dtype`. `weights` is for native and cuda ops: q8 or q4 rounds the matrices. `threads` is
    for native ones: 0 are all that are available.
    Raises: OutriderError for whatever stands in the way, in one line.
    """
    _check(ops, dtype, weights, threads)
    place = _device(device)
    path = resolve(str(reference), fetch=True)
    name = str(reference) if path.name not in str(reference) else path.stem
    if ops == "hf":
        return _through_transformers(name, path, _dtype(dtype, place), place, context)
    checkpoint = open_checkpoint(path)
    library = _library(ops, place, dtype, checkpoint.spec, weights)
    tokenizer = open_tokenizer(path)
    positions = context_size(checkpoint.spec.max_positions, context)
    if library is None:
        kernels = None if ops == "reference" else cuda_ops(place)
        decoder = load_decoder(checkpoint.spec, checkpoint.tensor, _dtype(dtype, place), place, kernels)
        if kernels is None:
            return LoadedModel(name, DecoderTarget(decoder, positions, tokenizer.fingerprint()), tokenizer)
        if weights not in ("", EXACT):
            rounded(decoder.parameters(), kernels, weights)
        return LoadedModel(name, CudaTarget(decoder, kernels, positions, tokenizer.fingerprint()), tokenizer)
    threads = threads or available_threads()
    packed = load_weights(checkpoint, library, weights or EXACT, threads)
    target = NativeTarget(library, checkpoint.spec, packed, positions, threads, tokenizer.fingerprint())
    return LoadedModel(name, target, tokenizer)


def _check(ops: str, dtype: str, weights: str, threads: int) -> None:
    """What can be told before anything is fetched or read. Raises: ConfigError."""
    if ops not in ("", *_OPS):
        raise ConfigError(f"unknown ops '{ops}'{suggestion(ops, _OPS)}; known: {', '.join(_OPS)}")
    if dtype not in ("", *_DTYPES):
        raise ConfigError(f"unknown dtype '{dtype}'{suggestion(dtype, _DTYPES)}; known: {', '.join(_DTYPES)}")
    check_rounding(weights or EXACT)
    if ops == "hf" and (threads or weights not in ("", EXACT)):
        raise ConfigError("ops hf: transformers computes with the weights as they are, on torch's threads; "
                          "leave out --weights and --threads")
    most = os.cpu_count() or 1
    if not 0 <= threads <= most:
        raise ConfigError(f"threads {threads}: expected 1 to {most}, the cores of this machine, or 0 for all available")


def _through_transformers(name: str, path: Path, dtype: torch.dtype, device: torch.device,
                          context: int) -> LoadedModel:
    """Imports the library only here: it is an extra, and slow to import."""
    if not path.is_dir():
        raise ConfigError(f"ops hf: expected a directory with config.json and safetensors, got the file {path.name}; "
                          "leave out --ops")
    try:
        from outrider.target.hf import load_hf
    except ImportError as error:
        raise ConfigError(f"ops hf: the library transformers cannot be imported ({error}); "
                          "install it: pip install 'transformers>=5'") from error
    tokenizer = open_tokenizer(path)
    return LoadedModel(name, load_hf(path, dtype, device, context, tokenizer.fingerprint()), tokenizer)


def _library(ops: str, device: torch.device, dtype: str, spec: ModelSpec, weights: str) -> Library | None:
    """The kernels, where the model is to run on them. What is not asked for but missing is a warning."""
    if ops == "native" and (device.type != "cpu" or dtype):
        raise ConfigError("ops native: they run on the CPU, in the file's precision; leave out --device and --dtype")
    rounds = weights not in ("", EXACT)
    if ops == "cuda" or (ops == "" and device.type == "cuda"):
        _check_cuda(ops, device, weights if rounds else "")
        return None
    if ops == "reference" or device.type != "cpu" or dtype:
        if rounds:
            raise ConfigError(f"weights {weights}: only native ops round weights, on the CPU, and cuda ops, on CUDA; "
                              "leave out --weights, or --ops, --dtype and --device")
        return None
    library = native_library()
    reason = MISSING if library is None else obstacle(spec)
    if reason and (ops == "native" or rounds):
        raise ConfigError(f"{f'weights {weights}' if rounds else 'ops native'}: {reason}")
    if reason:
        logging.getLogger(__name__).warning("%s", reason if library is None else f"on reference ops: {reason}")
    return None if reason else library


def _check_cuda(ops: str, device: torch.device, rounding: str) -> None:
    """Raises: ConfigError where the CUDA kernels are asked for by name, or needed to round, and cannot run."""
    if device.type != "cuda":
        raise ConfigError("ops cuda: they run on CUDA; leave out --ops, or use a machine with a GPU")
    if (ops or rounding) and (reason := missing()):
        raise ConfigError(f"{'ops cuda' if ops else f'weights {rounding}'}: {reason}")


def _dtype(name: str, device: torch.device) -> torch.dtype:
    return _DTYPES[name or ("float32" if device.type == "cpu" else "bfloat16")]


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
