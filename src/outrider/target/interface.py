"""What the engine needs of a target, and what a target declares it can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from outrider.cache.kv import KVCache
from outrider.cache.payload import Payload
from outrider.core.spec import ModelSpec
from outrider.core.step import Step
from outrider.nn.network import Description
from outrider.target.network import Network


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """`trees`: verifies trees, not only chains; `rollback`: drops rejected entries; `taps`: gives layer outputs;
    `exact`: a row's logits are the same bits whatever other rows are computed with it.
    """

    trees: bool
    rollback: bool
    taps: bool
    exact: bool


@dataclass(frozen=True, slots=True)
class ForwardOutput:
    """Logits of the rows a step asked for, float32 [R, V], and the taps of every row, [T, F], if any were wanted."""

    logits_RV: Tensor
    feature_TF: Tensor | None


class TargetView(Protocol):
    """What a drafter may know of its target."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def fingerprint(self) -> str:
        """Hash of the vocabulary; drafters with tokens of their own compare it."""

    @property
    def threads(self) -> int:
        """Threads of the CPU that a forward pass uses."""

    @property
    def context(self) -> int:
        """Absolute positions that it was built for."""

    @property
    def weight_bytes(self) -> int:
        """What the weights occupy in memory."""

    @property
    def info(self) -> TargetInfo:
        """What it can do."""

    def network(self, describe: Description, weights: Mapping[str, Tensor], spec: ModelSpec, positions: int,
                rounding: str = "") -> Network:
        """A drafter's network, to run beside this target and with the same means.

        `weights` are its parameters by name; `embed.weight` and `head.weight` may be missing: then they are the
        target's, unscaled. `spec` says how it rotates, `positions` how many there are; `rounding` q8 or q4 rounds its
        matrices. Raises: CheckpointError for parameters that are missing; ConfigError for a rounding it cannot do.
        """

    def embed(self, token_T: Tensor) -> Tensor:
        """Embedding rows [T, D], as the target's first layer sees them."""

    def head(self, hidden_TD: Tensor) -> Tensor:
        """Logits [T, V] of final hidden states (after the last norm)."""


class Target(TargetView, Protocol):
    """A model that verifies drafts.

    `context` is at most `spec.max_positions`.
    """

    spec: ModelSpec

    def new_cache(self, num_tokens: int, payloads: Sequence[Payload] = ()) -> KVCache[Any]:
        """A cache for this model and its drafters' payloads with room for `num_tokens`, rounded up to blocks."""

    def forward(self, step: Step, cache: KVCache[Any], taps: Sequence[int] = ()) -> ForwardOutput:
        """Writes the step's keys and values into `cache`; logits of its logit rows, taps (layers) of every row."""
