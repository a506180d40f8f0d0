"""Recordings written by hand, and a price whose sums are easy."""

from __future__ import annotations

from collections.abc import Sequence

from outrider.bench.recording import Answer, Proposal, Recording, Seat, Setting
from outrider.core.tree import EMPTY_TREE, DraftTree
from outrider.policy.pass_price import Curve

ROW_S = 0.001  # of a pass with so many rows: 10 ms and 1 ms for each
CURVE = Curve((1, 33), (0.011, 0.043), (1, 2), (1e-6, 1e-6))
LOOKUP, NETWORK = Seat("suffix", ("suffix",), 0), Seat("model", ("model",), 250)
HOST_S = 0.0005


def setting(*seats: Seat) -> Setting:
    return Setting("toy", "+".join(seat.name for seat in seats), seats, 1000, 16, CURVE, "by hand")


def answer(token_n: Sequence[int], *by_seat: Sequence[Proposal], num_prompt: int = 20, workload: str = "edit",
           more: int = 1) -> Answer:
    """Of a prompt of 20 tokens; after the first token `more` could be emitted than there are."""
    return Answer(workload, num_prompt, tuple(token_n), tuple(map(tuple, by_seat)), len(token_n) - 1 + more, 0.1,
                  0.011, HOST_S)


def chain(*token_n: int, score: float = 0.5, seconds: float = 1e-4, debt: int = 0) -> Proposal:
    """Each node survives with `score` of its parent's chance."""
    scores = [score ** (depth + 1) for depth in range(len(token_n))]
    tree = DraftTree(list(token_n), range(-1, len(token_n) - 1), [1] * len(token_n), scores)
    return Proposal(tree if token_n else EMPTY_TREE, seconds, debt)


def copied(token_n: Sequence[int], depth: int, **facts: float) -> list[Proposal]:
    """At every position the next tokens of the answer itself."""
    return [chain(*token_n[at + 1 : at + 1 + depth], **facts) for at in range(len(token_n) - 1)]  # type: ignore[arg-type]


def recording(*answers: Answer, seats: Sequence[Seat] = (LOOKUP,)) -> Recording:
    return Recording(setting(*seats), answers)
