"""What a round settles: verdicts on the device, commits for drafters and for the sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from outrider.core.tree import EMPTY_TREE, DraftTree


@dataclass(frozen=True, slots=True)
class VerdictBatch:
    """What became of B drafts, padded; W = deepest draft + 1.

    Shapes: token_BW int64, the accepted tokens and then the correction or bonus, -1 behind it; node_BW int64, the node
    whose row gave each token's successor: column 0 is -1 (the anchor), column j the j-th accepted node, -2 behind;
    count_B int64, tokens emitted, so accepted + 1.
    """

    token_BW: Tensor
    node_BW: Tensor
    count_B: Tensor


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sequence's part: accepted nodes root to leaf, then the target's own next token.

    `accepted` never counts that last token, the correction or the bonus.
    """

    path: tuple[int, ...]
    token: int

    @property
    def accepted(self) -> int:
        return len(self.path)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The target's best next tokens after each row of a round, rejected nodes included.

    Shapes: row_token_M the tokens the rows stand for; top_MK their K best successors, best first.
    """

    row_token_M: Sequence[int]
    top_MK: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Commit:
    """Tokens that a sequence has gained: from prefill, from a verified round, or from a prefix hit.

    Shapes: feature_nF row i holds the target's taps at the position before token i; None where nothing was computed
    (a prefix hit) or nothing was tapped. `tree` and `verdict` say what became of the draft, if there was one.
    """

    token_n: Sequence[int]
    feature_nF: Tensor | None = None
    tree: DraftTree = EMPTY_TREE
    verdict: Verdict | None = None
    candidates: Candidates | None = None
