"""Neural drafters with random weights on toy targets, told of random tokens and features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from native_targets import native_target, readable_target
from outrider.core.commit import Commit
from outrider.core.step import Step
from outrider.drafting.interface import SequenceContext
from outrider.drafting.neural import NeuralDrafter
from outrider.drafting.syntax import parse
from outrider.nn.network import Outputs
from outrider.target.interface import Target
from outrider.target.network import Network
from outrider.testing.tape import Actor, Stage, Tape
from outrider.testing.tiny_drafts import tiny_draft

DRAFTERS = {
    "dflash": "dflash:checkpoint=dflash",
    "dflash-sliding": "dflash:checkpoint=dflash-sliding;branch=3;nodes=12",
    "dflash2": "dflash:checkpoint=dflash2",
    "dspark": "dflash:checkpoint=dspark;branch=2",
    "dspark-gated": "dflash:checkpoint=dspark-gated",
    "dspark-rnn": "dflash:checkpoint=dspark-rnn;branch=2",
    "eagle3": "eagle3:checkpoint=eagle3",
    "eagle3-reduced": "eagle3:checkpoint=eagle3-reduced",
    "eagle3.1": "eagle3:checkpoint=eagle3.1;branch=1",
    "specblock": "specblock:checkpoint=specblock",
}


@dataclass(slots=True)
class Spy:
    """A network that remembers what its passes gave."""

    inner: Network
    seen: list[Outputs]

    @property
    def read_bytes(self) -> int:
        return self.inner.read_bytes

    def run(self, name: str, step: Step, store: Any, input_TF: Tensor | None = None) -> Outputs:
        outputs = self.inner.run(name, step, store, input_TF)
        self.seen.append(outputs)
        return outputs


def native_toy(name: str) -> NeuralDrafter[Any]:
    return on_target(name, native_target("llama"))


def readable_toy(name: str) -> NeuralDrafter[Any]:
    """The same in float64 torch."""
    return on_target(name, readable_target("llama"))


def on_target(name: str, target: Target) -> NeuralDrafter[Any]:
    """By a name above, or in the drafter syntax."""
    with patch("outrider.drafting.neural.open_drafter", lambda path, **_: tiny_draft(path, target=target.spec)):
        drafter = parse(DRAFTERS.get(name, name)).build(target)
    assert isinstance(drafter, NeuralDrafter)
    return drafter


@dataclass(frozen=True, slots=True)
class Past:
    """Random tokens, and the features before each but the first."""

    token_n: list[int]
    feature_nF: Tensor

    @classmethod
    def of(cls, drafter: NeuralDrafter[Any], count: int, seed: int) -> Past:
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randint(0, drafter.target.vocab_size, (count,), generator=generator).tolist()
        return cls(tokens, torch.randn(count - 1, drafter.spec.feature_size, generator=generator))

    def commit(self, begin: int, end: int, dtype: torch.dtype = torch.float32) -> Commit:
        """Tokens `begin` to `end` - 1, of which none is the first."""
        return Commit(self.token_n[begin:end], self.feature_nF[begin - 1 : end - 1].to(dtype))


def told(drafter: NeuralDrafter[Any], past: Past, cuts: list[int], *, eager: bool) -> tuple[Stage, Actor]:
    """A sequence that was told its past in pieces that end at `cuts`; absorbed at once if `eager`."""
    stage = Stage(drafter, drafter.target.new_cache(512, drafter.payloads))  # type: ignore[attr-defined]
    actor = stage.start(Tape(SequenceContext(past.token_n[0]), []))
    dtype = torch.float32 if drafter.target.info.exact else torch.float64
    begin = 1
    for end in sorted({*cuts, len(past.token_n)}):
        stage.tell([actor], [past.commit(begin, end, dtype)])
        begin = end
        if eager:
            drafter.absorb([actor.state])
    return stage, actor
