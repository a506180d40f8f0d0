"""`Dialect`: how a model thinks aloud and calls tools, told from its chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outrider.constrain.grammar import Grammar
from outrider.io.chat_template import Message
from outrider.serve.answer.reader import AnswerReader
from outrider.serve.answer.tools import Tool, ToolChoice

Messages = Sequence[Message | Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What to render: messages as templates want them, and the variables that hold the tools."""

    messages: Messages
    variables: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Dialect:
    """Made once a model."""

    @classmethod
    def of(cls, template: str | None) -> Dialect:
        """From the source of the chat template."""
        raise NotImplementedError

    def conversation(self, messages: Messages, tools: Sequence[Tool], choice: ToolChoice) -> Conversation:
        """Tools go where the template reads them, and else into the system's message; earlier calls are put into the
        shape that templates read. Raises: RequestError for malformed calls.
        """
        raise NotImplementedError

    def grammar(self, wanted: Grammar | None, tools: Sequence[Tool], choice: ToolChoice, prompt: str) -> Grammar | None:
        """What the answer to the rendered `prompt` must look like; None: it is free.

        Thoughts come before what is `wanted`, in a model that has any. Raises: RequestError where a response format
        and tools that must be called exclude each other.
        """
        raise NotImplementedError

    def reader(self, tools: Sequence[Tool], choice: ToolChoice, prompt: str) -> AnswerReader:
        """One a sample; the end of the rendered `prompt` says whether the answer begins within thoughts."""
        raise NotImplementedError
