"""How much of a prediction was of use: what was drafted out of it, and what of that was accepted.

Drafters look predictions up together with prompt and output, so the trees do not say where a node was found. It counts
as drafted out of the prediction where it stands there too: the node's token right behind the two before it.

    prediction   … the quick brown fox …
    path         … the quick│red│         behind "the quick", "red" is not the prediction's
                            │brown│fox    both are
"""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from outrider.core.tree import ANCHOR, DraftTree
from outrider.engine.sequence import Sequence
from outrider.engine.watch import Seen

_BEFORE = 2  # tokens that have to agree as well; one alone agrees too often by chance
Gram = tuple[int, ...]


@dataclass(slots=True)
class Predicted:
    """Drafted tokens of a prediction, those that became part of the answer and those that did not."""

    accepted: int = 0
    rejected: int = 0
    grams: frozenset[Gram] = field(default=frozenset(), repr=False)


class PredictionCounts:
    """Watches an engine. Written by its thread; read once a sequence has ended."""

    def __init__(self) -> None:
        self._counts: WeakKeyDictionary[Sequence, Predicted] = WeakKeyDictionary()

    def see(self, seen: Seen) -> None:
        """A round is over."""
        if not seen.sequence.request.prediction:
            return
        counts = self._counts.get(seen.sequence)
        if counts is None:
            counts = self._counts[seen.sequence] = Predicted(grams=_grams(seen.sequence.request.prediction))
        before = seen.sequence.tokens[: len(seen.sequence.tokens) - seen.emitted]
        for node in range(len(seen.tree)):
            if _gram(seen.tree, node, before) not in counts.grams:
                continue
            if node in seen.path:
                counts.accepted += 1
            else:
                counts.rejected += 1

    def of(self, sequence: Sequence) -> Predicted:
        return self._counts.get(sequence) or Predicted()


def _grams(token_n: Gram) -> frozenset[Gram]:
    size = min(_BEFORE + 1, len(token_n))
    return frozenset(token_n[at: at + size] for at in range(len(token_n) - size + 1))


def _gram(tree: DraftTree, node: int, before: list[int]) -> Gram:
    """The node's token behind those that lead to it."""
    tokens: list[int] = []
    while node != ANCHOR and len(tokens) <= _BEFORE:
        tokens.append(tree.token_N[node])
        node = tree.parent_N[node]
    missing = _BEFORE + 1 - len(tokens)
    return (*before[len(before) - missing:], *reversed(tokens)) if missing else tuple(reversed(tokens))
