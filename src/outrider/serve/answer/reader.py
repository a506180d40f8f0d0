"""`AnswerReader`: parts of an answer from its text, however that is cut into pieces."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

from outrider.serve.answer.calls import CallSplitter
from outrider.serve.answer.parts import Content, Part, Reasoning
from outrider.serve.answer.spelt_call import Kinds
from outrider.serve.answer.syntax import CallSyntax
from outrider.serve.answer.thoughts import ThoughtSplitter


class AnswerReader:
    """Reads one sample. Nothing of a tag is ever shown as content; what may yet become one is held back.

    `syntax` None: no calls are looked for. `kinds` are the tools' names and the types of their parameters. `thinking`:
    the prompt has opened the thoughts already.
    """

    def __init__(self, syntax: CallSyntax | None, kinds: Mapping[str, Kinds], thinking: bool,
                 new_id: Callable[[], str] | None = None) -> None:
        self._thoughts = ThoughtSplitter(thinking)
        length = 0 if syntax is None else syntax.id_length
        self._calls = None if syntax is None else CallSplitter(syntax, kinds, new_id or (lambda: fresh_id(length)))

    @property
    def has_calls(self) -> bool:
        """Whether a tool was called: the finish reason of a text that ended by itself is then `tool_calls`."""
        return self._calls is not None and self._calls.has_calls

    def push(self, text: str) -> list[Part]:
        """More text; the parts that it completes or goes on with."""
        return [part for found in self._thoughts.push(text) for part in self._told(found)]

    def finish(self) -> list[Part]:
        """No more text: what was held back."""
        parts = [part for found in self._thoughts.finish() for part in self._told(found)]
        return parts if self._calls is None else [*parts, *self._calls.finish()]

    def _told(self, found: Content | Reasoning) -> Sequence[Part]:
        if self._calls is None or isinstance(found, Reasoning):
            return [found]
        return self._calls.push(found.text)


def fresh_id(length: int) -> str:
    """Letters and digits only: some templates accept nothing else."""
    return "".join(secrets.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(length))
