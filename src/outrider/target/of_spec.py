"""What targets of our own decoder have in common: all that the spec says of them."""

from __future__ import annotations

from outrider.core.spec import ModelSpec
from outrider.target.interface import TargetInfo


class TargetOfSpec:
    """The part of `interface.Target` that needs no weights. `context` bounds absolute positions."""

    def __init__(self, spec: ModelSpec, context: int, fingerprint: str, *, exact: bool) -> None:
        self.spec, self.context, self.fingerprint = spec, context, fingerprint
        self.info = TargetInfo(trees=True, rollback=True, taps=True, exact=exact)

    @property
    def vocab_size(self) -> int:
        return self.spec.vocab_size

    @property
    def num_layers(self) -> int:
        return self.spec.num_layers

    @property
    def hidden_size(self) -> int:
        return self.spec.hidden_size
