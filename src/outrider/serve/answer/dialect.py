"""`Dialect`: how a model thinks aloud and calls tools, told from its chat template."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outrider.constrain.grammar import Grammar
from outrider.io.chat_template import Message
from outrider.serve.answer.call_grammar import Thinking, answer_grammar
from outrider.serve.answer.history import plain_calls, with_parsed_arguments, with_tools
from outrider.serve.answer.reader import AnswerReader
from outrider.serve.answer.spelt_call import kinds_of
from outrider.serve.answer.syntax import CallSyntax, syntax_of
from outrider.serve.answer.thoughts import CLOSE, OPEN, is_open
from outrider.serve.answer.tools import Tool, ToolChoice

Messages = Sequence[Message | Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What to render: messages as templates want them, and the variables that hold the tools."""

    messages: Messages
    variables: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Dialect:
    """Made once a model. `reads_tools`: its template has a place for them. `thinks`: it has one for thoughts."""

    syntax: CallSyntax
    reads_tools: bool
    thinks: bool

    @classmethod
    def of(cls, template: str | None) -> Dialect:
        """From the source of the chat template."""
        source = template or ""
        return cls(syntax_of(template), bool(re.search(r"\btools\b", source)), OPEN in source or CLOSE in source)

    def conversation(self, messages: Messages, tools: Sequence[Tool], choice: ToolChoice) -> Conversation:
        """Tools go where the template reads them, and else into the system's message; earlier calls are put into the
        shape that templates read. Tools that must not be called are not shown. Raises: RequestError for malformed
        calls.
        """
        shown = [] if choice.mode == "none" else list(tools)
        parsed = with_parsed_arguments(messages)
        if self.reads_tools:
            return Conversation(parsed, {"tools": [tool.given for tool in shown]} if shown else {})
        plain = plain_calls(parsed)
        return Conversation(with_tools(plain, shown) if shown else plain, {})

    def grammar(self, wanted: Grammar | None, tools: Sequence[Tool], choice: ToolChoice, prompt: str) -> Grammar | None:
        """What the answer to the rendered `prompt` must look like; None: it is free.

        Thoughts come before what is `wanted`, in a model that has any. Raises: RequestError where a response format
        and tools that must be called exclude each other.
        """
        closed = prompt.rstrip().endswith(CLOSE)
        thinking = Thinking(is_open(prompt) or (self.thinks and not closed), is_open(prompt))
        return answer_grammar(wanted, tools, choice, self.syntax, thinking)

    def reader(self, tools: Sequence[Tool], choice: ToolChoice, prompt: str) -> AnswerReader:
        """One a sample; the end of the rendered `prompt` says whether the answer begins within thoughts."""
        reads_calls = choice.mode != "none" and bool(tools)
        kinds = {tool.name: kinds_of(tool.schema) for tool in tools}
        return AnswerReader(self.syntax if reads_calls else None, kinds, is_open(prompt))
