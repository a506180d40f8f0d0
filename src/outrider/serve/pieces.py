"""The text that each token adds to an answer, for those who want to see who drafted what."""

from __future__ import annotations

from collections.abc import Sequence

from outrider.core.request import Delta
from outrider.engine.text import TextStream
from outrider.io.tokenizer import Tokenizer


class PieceSplitter:
    """Cuts the text of one answer's deltas at its tokens. Feed it every delta, in order.

    A token that completes nothing has an empty piece: its text is part of a later token's, or of none.
    """

    def __init__(self, tokenizer: Tokenizer, stops: tuple[str, ...]) -> None:
        self._mirror = TextStream(tokenizer, stops)

    def split(self, delta: Delta) -> list[str]:
        """One piece a token; together they are the delta's text."""
        pieces: list[str] = []
        rest = delta.text
        for token in delta.token_n[:-1]:
            piece = rest[: len(self._grown(token))]
            pieces.append(piece)
            rest = rest[len(piece):]
        if delta.token_n:
            if delta.finish_reason is None:
                self._grown(delta.token_n[-1])
            pieces.append(rest)
        return pieces

    def _grown(self, token: int) -> str:
        before = len(self._mirror.text)
        self._mirror.push(token)
        return self._mirror.text[before:]


def drafted_by(source_n: Sequence[int], names: Sequence[str]) -> list[str | None]:
    """The drafters that guessed each token, joined by `+`; None for the target's own."""
    return ["+".join(name for bit, name in enumerate(names) if source >> bit & 1) or None for source in source_n]
