"""`AnswerReader`: parts of an answer from its text, however that is cut into pieces."""

from __future__ import annotations

from outrider.serve.answer.parts import Part


class AnswerReader:
    """Reads one sample. Nothing of a tag is ever shown as content; what may yet become one is held back."""

    @property
    def has_calls(self) -> bool:
        """Whether a tool was called: the finish reason of a text that ended by itself is then `tool_calls`."""
        raise NotImplementedError

    def push(self, text: str) -> list[Part]:
        """More text; the parts that it completes or goes on with."""
        raise NotImplementedError

    def finish(self) -> list[Part]:
        """No more text: what was held back."""
        raise NotImplementedError
