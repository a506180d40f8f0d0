"""What a round settles: verdicts on the device, commits for drafters and for the sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from outrider.core.ids import ids
from outrider.core.tree import EMPTY_TREE, DraftTree, width_bucket


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


@dataclass(frozen=True)
class CommitBatch:
    """The commits of B sequences: a list for drafters on the host, padded tensors for those on the device.

    Shapes: token_BW int64, -1 behind the last; count_B int64; feature_BWF None where nothing was tapped. W is a width
    bucket, so that shapes repeat from round to round. Tensors are made when first asked for.
    """

    commits: tuple[Commit, ...]
    device: torch.device

    def __iter__(self) -> Iterator[Commit]:
        return iter(self.commits)

    def __len__(self) -> int:
        return len(self.commits)

    @cached_property
    def width(self) -> int:
        return width_bucket(max((len(commit.token_n) for commit in self.commits), default=0))

    @cached_property
    def count_B(self) -> Tensor:
        return ids([len(commit.token_n) for commit in self.commits], self.device)

    @cached_property
    def token_BW(self) -> Tensor:
        token_BW = torch.full((len(self.commits), self.width), -1, dtype=torch.int64, device=self.device)
        for row, commit in enumerate(self.commits):
            token_BW[row, : len(commit.token_n)] = torch.tensor(commit.token_n, dtype=torch.int64)
        return token_BW

    @cached_property
    def feature_BWF(self) -> Tensor | None:
        tapped = [commit.feature_nF for commit in self.commits if commit.feature_nF is not None]
        if not tapped:
            return None
        feature_BWF = tapped[0].new_zeros(len(self.commits), self.width, tapped[0].shape[1])
        for row, commit in enumerate(self.commits):
            if commit.feature_nF is not None:
                feature_BWF[row, : len(commit.feature_nF)] = commit.feature_nF
        return feature_BWF
