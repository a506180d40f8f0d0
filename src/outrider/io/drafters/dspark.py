"""The heads that DSpark adds to DFlash, as all its formats write them down."""

from __future__ import annotations

from typing import Literal

from outrider.errors import CheckpointError
from outrider.io.drafters.store import TensorStore
from outrider.io.fields import Fields

Confidence = Literal["none", "hidden", "hidden_markov"]
MarkovKind = Literal["vanilla", "gated", "rnn"]
_KINDS: tuple[MarkovKind, ...] = ("vanilla", "gated", "rnn")
_RANK = 256
_HEAD = "confidence_head."


def read_markov_rank(fields: Fields) -> int:
    """0 without a head."""
    return fields.integer("markov_rank", _RANK)


def read_markov_kind(fields: Fields) -> MarkovKind:
    """Raises: CheckpointError for a head of another kind."""
    kind = fields.text("markov_head_type", "vanilla")
    for known in _KINDS:
        if kind == known:
            return known
    raise fields.unsupported("markov_head_type", kind, ", ".join(_KINDS))


def read_confidence(fields: Fields, rank: int, store: TensorStore) -> Confidence:
    """What the confidence head looks at; where the file does not say whether there is one, its tensors do."""
    there = any(name.removeprefix("model.").startswith(_HEAD) for name in store.shapes)
    if not fields.flag("enable_confidence_head", there):
        return "none"
    if not fields.flag("confidence_head_with_markov", rank > 0):
        return "hidden"
    if not rank:
        raise CheckpointError(f"{fields.where}: 'confidence_head_with_markov' needs a 'markov_rank' above 0")
    return "hidden_markov"
