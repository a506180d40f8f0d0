"""What a drafter's network is to the engine: passes with names, described over `Ops` as the decoder is.

A network is a module whose passes are methods `name(run, input_TF) -> Outputs`. Whoever runs it (`target`) may call
them with tensors, or once with a recorder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from outrider.ops.interface import Ops


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a pass gives: float32 logits [R, V] and hidden states [R, D], either of them or none."""

    logits_RV: Tensor | None = None
    hidden_RD: Tensor | None = None


Description = Callable[[Ops], nn.Module]
