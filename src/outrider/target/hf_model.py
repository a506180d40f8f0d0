"""`HfModel`: a causal language model of the library transformers, run on rows that we lay out.

    rows ──> model(input_ids, its cache) ──> logits of the rows that want them
                  └── hooks on its layers ──> taps of all rows

What a model's code does beside its layers (scaled embeddings, scaled or capped logits) is measured, not listed.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from outrider.errors import ConfigError

_CACHES = ("past_key_values", "cache_params", "state")  # what models call that which they hand from pass to pass
_CLOSE = 1e-3


@dataclass(frozen=True, slots=True)
class Passed:
    """Float32 logits [R, V] and taps [T, F] of a pass, and the model's own cache behind it."""

    logits_RV: Tensor
    feature_TF: Tensor | None
    cache: Any


@dataclass(frozen=True, slots=True)
class Edges:
    """What happens before the first layer and behind the head: rows times `embed`, logits times `head`, then a cap.

    None where it is something else.
    """

    embed: float | None
    head: float | None
    cap: float | None


class HfModel:
    """One pass at a time: hooks belong to the module, so engines in several threads take turns."""

    def __init__(self, module: Any) -> None:
        self.module, self.config = module.eval().requires_grad_(False), module.config.get_text_config()
        self.layers = _layers(module, int(self.config.num_hidden_layers))
        self._accepted = frozenset(inspect.signature(module.forward).parameters)
        self._turn = threading.Lock()
        self.cache_name = ""
        sample = torch.arange(8, device=self.device) % int(self.config.vocab_size)
        seen = self._look(sample)
        self.vocab_size = int(seen.logits_TV.shape[-1])
        self.has_taps = self._has_taps(sample, seen.hidden_TDs)
        self.edges = self._edges(sample, seen)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.module.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.module.dtype
        return dtype

    def accepts(self, name: str) -> bool:
        """Whether a pass can be given an argument of this name."""
        return name in self._accepted

    @torch.inference_mode()
    def run(self, token_T: Tensor, logit_row_R: Tensor, taps: Sequence[int], **options: Any) -> Passed:
        """One pass over the rows of one batch entry; `options` are the model's own."""
        if any(not 0 <= tap < len(self.layers) for tap in taps):
            raise IndexError(f"taps {tuple(taps)} of a model with layers 0 … {len(self.layers) - 1}")
        sliced = self.accepts("logits_to_keep")
        rows = {"logits_to_keep": logit_row_R} if sliced else {}
        with self._turn, _caught({tap: self.layers[tap] for tap in taps}) as caught:
            output = self.module(input_ids=token_T[None], use_cache=True, return_dict=True, **rows, **options)
        logits_RV = output.logits[0] if sliced else output.logits[0][logit_row_R]
        feature_TF = torch.cat([caught[tap] for tap in taps], dim=-1) if taps else None
        return Passed(logits_RV.float(), feature_TF, getattr(output, self.cache_name, None))

    @torch.inference_mode()
    def plain(self, token_T: Tensor) -> Tensor:
        """Logits [T, V] of a text as the library alone computes them, without a cache."""
        with self._turn:
            logits: Tensor = self.module(input_ids=token_T[None], use_cache=False, return_dict=True).logits[0]
        return logits.float()

    @torch.inference_mode()
    def embed(self, token_T: Tensor) -> Tensor:
        """Raises: ConfigError where the rows are not the first layer's input."""
        if self.edges.embed is None:
            raise ConfigError("this model adds to its embeddings before its first layer: the drafter cannot share them")
        rows_TD: Tensor = self.module.get_input_embeddings()(token_T)
        return rows_TD if self.edges.embed == 1.0 else rows_TD * self.edges.embed

    @torch.inference_mode()
    def head(self, hidden_TD: Tensor) -> Tensor:
        """Raises: ConfigError where the logits are not a function of the head that is known."""
        if self.edges.head is None:
            raise ConfigError("this model does more behind its head than scale and cap: the drafter cannot share it")
        logits_TV = self._raw_head(hidden_TD) * self.edges.head
        return logits_TV if self.edges.cap is None else torch.tanh(logits_TV / self.edges.cap) * self.edges.cap

    def tables(self) -> dict[str, Tensor]:
        """The embedding and the head as they are stored, those that there are; a head with a bias is none to lend."""
        found = {"embed.weight": self.module.get_input_embeddings()}
        head = self.module.get_output_embeddings()
        if head is not None and getattr(head, "bias", None) is None:
            found["head.weight"] = head
        return {name: module.weight for name, module in found.items()}

    def _raw_head(self, hidden_TD: Tensor) -> Tensor:
        logits_TV: Tensor = self.module.get_output_embeddings()(hidden_TD.to(self.dtype))
        return logits_TV.float()

    @torch.inference_mode()
    def _look(self, sample: Tensor) -> _Seen:
        head = self.module.get_output_embeddings()
        first = [self.layers[0]] if self.layers else []
        with _given([*first, *([] if head is None else [head])]) as given:
            output = self.module(input_ids=sample[None], use_cache=True, output_hidden_states=True, return_dict=True)
        self.cache_name = next((name for name in _CACHES if getattr(output, name, None) is not None), "")
        hidden_TDs = [hidden[0] for hidden in output.hidden_states or ()]
        return _Seen(output.logits[0].float(), hidden_TDs, given[0] if first else None,
                     None if head is None else given[-1])

    def _has_taps(self, sample: Tensor, hidden_TDs: Sequence[Tensor]) -> bool:
        """Whether hooks see what the library reports: the embeddings (not always), then what is behind each layer, of
        the last one only the norm of it.
        """
        if len(hidden_TDs) != len(self.layers) + 1 or not self.layers:
            return False
        found = self.run(sample, sample[:0], range(len(self.layers))).feature_TF
        assert found is not None
        parts = torch.split(found, int(self.config.hidden_size), dim=-1)
        if len(parts) != len(self.layers):
            return False
        return any(all(map(_close, parts, wanted)) for wanted in (hidden_TDs[1:-1], hidden_TDs[:-1]))

    @torch.inference_mode()
    def _edges(self, sample: Tensor, seen: _Seen) -> Edges:
        embed = head = cap = None
        if seen.first_TD is not None:
            embed = _ratio(seen.first_TD, self.module.get_input_embeddings()(sample))
        if seen.last_TD is not None:
            cap = setting(self.config, "final_logit_softcapping")
            logits_TV = seen.logits_TV if cap is None else torch.atanh(seen.logits_TV / cap) * cap
            head = _ratio(logits_TV, self._raw_head(seen.last_TD))
        return Edges(embed, head, cap)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A pass over a few tokens: what went into the first layer and into the head, and what came out."""

    logits_TV: Tensor
    hidden_TDs: Sequence[Tensor]
    first_TD: Tensor | None
    last_TD: Tensor | None


def setting(config: Any, name: str) -> Any:
    """A value of a model's configuration, None where it has none or one for each layer."""
    try:
        return getattr(config, name, None)
    except RuntimeError:  # how the library says "one for each layer"
        return None


def _layers(module: Any, count: int) -> Sequence[nn.Module]:
    """The decoder's layers: the first list of as many modules as the model says it has layers."""
    decoder = module.get_decoder() if hasattr(module, "get_decoder") else module
    lists = (part for part in (decoder or module).modules() if isinstance(part, nn.ModuleList))
    return next((list(part) for part in lists if len(part) == count), [])


@contextmanager
def _caught(layers: Mapping[int, nn.Module]) -> Iterator[dict[int, Tensor]]:
    """What layers put out: the residual stream behind each."""
    caught: dict[int, Tensor] = {}

    def note(tap: int, _module: nn.Module, _inputs: object, output: Any) -> None:
        caught[tap] = (output[0] if isinstance(output, tuple) else output)[0]

    handles = [layer.register_forward_hook(partial(note, tap)) for tap, layer in layers.items()]
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _given(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """What modules are given, in their order."""
    given: list[Tensor] = []

    def note(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        given.append((inputs[0] if inputs else named["hidden_states"])[0])

    handles = [module.register_forward_pre_hook(note, with_kwargs=True) for module in modules]
    try:
        yield given
    finally:
        for handle in handles:
            handle.remove()


def _close(found: Tensor, wanted: Tensor) -> bool:
    return found.shape == wanted.shape and bool((found - wanted).abs().max() <= _CLOSE * wanted.abs().max())


def _ratio(found: Tensor, raw: Tensor) -> float | None:
    """The one factor between two tensors, if there is one."""
    if found.shape != raw.shape:
        return None
    left, right = found.double(), raw.double()
    factor = float((left * right).sum() / right.square().sum())
    # Half precision rounds each value by itself.
    tolerance = 8.0 * torch.finfo(found.dtype if found.dtype.itemsize < raw.dtype.itemsize else raw.dtype).eps
    near = 1.0 if abs(factor - 1.0) < tolerance else factor
    return near if bool((left - right * factor).abs().max() <= max(_CLOSE, tolerance) * left.abs().max()) else None
