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
    whole: list[int] = []
    left: list[int] = []
    right: list[int] = []
    token_of = vocab.get
    for piece, token in vocab.items():
        for at in range(1, len(piece)):
            head = token_of(piece[:at])
            if head is not None and (tail := token_of(piece[at:])) is not None:
                whole.append(token)
                left.append(head)
                right.append(tail)
    spelt = [piece or "" for piece in pieces]
    order = _order(np.asarray([whole, left, right], np.int64), spelt, scores)
    return [(spelt[left[row]], spelt[right[row]]) for row in order]


def _order(cuts: npt.NDArray[np.int64], pieces: Sequence[str], scores: npt.NDArray[np.floating]) -> list[int]:
    sizes = np.asarray([len(piece) for piece in pieces])
    whole, left, right = cuts
    order: list[int] = np.lexsort((right, left, whole, -sizes[right], -sizes[left], -scores[whole])).tolist()
    return order  # numpy sorts by the last key first
