"""Merges for a SentencePiece vocabulary, which stores a score for each piece instead.

SentencePiece joins whichever neighbours form the piece with the best score; a merge list that orders every way to cut
every piece by that score does the same. Among equal scores the longer left part goes first, then the longer right
part, then the lower ids: the order in which the published tokenizer.json files were converted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def merges_by_score(pieces: Sequence[str | None], scores: npt.NDArray[np.floating]) -> list[tuple[str, str]]:
    """`scores` has one number a piece, 0 for those that users defined. About a second for 262,144 pieces."""
    vocab = {piece: token for token, piece in enumerate(pieces) if piece is not None}
    pairs: list[tuple[str, str]] = []
    cuts: list[tuple[int, int, int, int, int]] = []
    for piece, token in vocab.items():
        for at in range(1, len(piece)):
            left = vocab.get(piece[:at])
            if left is None:
                continue
            right = vocab.get(piece[at:])
            if right is not None:
                pairs.append((piece[:at], piece[at:]))
                cuts.append((token, at, len(piece) - at, left, right))
    return [pairs[row] for row in _order(cuts, scores)]


def _order(cuts: list[tuple[int, int, int, int, int]], scores: npt.NDArray[np.floating]) -> list[int]:
    token, left_size, right_size, left, right = np.asarray(cuts, np.int64).reshape(-1, 5).T
    keys = (right, left, token, -right_size, -left_size, -scores[token])  # the last key counts most
    order: list[int] = np.lexsort(keys).tolist()
    return order
