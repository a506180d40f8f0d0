"""Turning tokens into text as they come: whole characters only, cut before a stop string."""

from __future__ import annotations

from outrider.io.detokenizer import IncrementalDetokenizer, StopMatcher
from outrider.io.tokenizer import Tokenizer


class TextStream:
    """The text of one sample. Without a tokenizer there is no text and no stop string."""

    def __init__(self, tokenizer: Tokenizer | None, stops: tuple[str, ...]) -> None:
        self.text = ""
        self.stopped = False
        self._detokenizer = IncrementalDetokenizer(tokenizer, continues=True) if tokenizer else None
        self._matcher = StopMatcher(stops)

    def push(self, token: int) -> bool:
        """One more token; true where its text completes a stop string, and then nothing of it is shown."""
        if self._detokenizer is None:
            return False
        step = self._matcher.push(self._detokenizer.push([token]))
        self.text += step.text
        self.stopped = step.stopped is not None
        return self.stopped

    def would_stop(self, token: int) -> bool:
        """Whether the text of `token` completes a stop string; nothing changes."""
        if self._detokenizer is None:
            return False
        text = self._detokenizer.fork().push([token])  # it may complete a character that earlier tokens began
        return self._matcher.fork().push(text).stopped is not None

    def finish(self) -> None:
        """No more tokens: what was held back is shown, unless a stop string ended the text."""
        if self._detokenizer is None or self.stopped:
            return
        step = self._matcher.push(self._detokenizer.finish())
        self.text += step.text + ("" if step.stopped is not None else self._matcher.flush())
