"""`outrider chat`: talk to a model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outrider.cli.flags import parse
from outrider.cli.options import AnswerOptions, Words, read_variables
from outrider.errors import ConfigError, OutriderError, suggestion

if TYPE_CHECKING:
    from outrider.core.sampling import Sampling
    from outrider.engine.llm import LLM

SUMMARY = "talk to a model"
COMMANDS = {"/exit": "end the chat (Ctrl-D too)", "/clear": "forget what was said", "/help": "list these"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat(AnswerOptions):
    """Talk to a model. What is said before stays known; standard input that is no terminal is read line by line."""

    message: str | None = None
    """Say this, print the answer and end."""
    system: str = ""
    """Instructions that stand before the conversation."""
    template: Words = ()
    """NAME=VALUE, a variable of the model's chat template such as enable_thinking=false; may be repeated."""
    max_tokens: int = 1024
    """Length of an answer in tokens, at most."""


@dataclass(slots=True)
class Conversation:
    """The messages so far; they begin with the system's, if there is one."""

    llm: LLM
    sampling: Sampling
    system: str
    variables: dict[str, object]
    messages: list[dict[str, str]]
    explain: bool = False

    def clear(self) -> None:
        self.messages = [{"role": "system", "content": self.system}] if self.system else []

    def answer(self, text: str) -> None:
        """Prints the answer as it comes and remembers both sides; an answer cut short is kept as far as it came."""
        from outrider.cli.session import explained, report, stream, write

        asked: list[dict[str, str]] = [*self.messages, {"role": "user", "content": text}]
        prompt = self.llm.prompts.render(asked, self.variables)
        sequences = self.llm.engine.add(self.llm.prompts.request(prompt, self.sampling))
        with explained(self.llm, self.explain) as journal:
            try:
                stream(self.llm, sequences, lambda delta: write(delta.text))
            finally:
                write("\n")
                report(self.llm, sequences, journal)
                self.messages = [*asked, {"role": "assistant", "content": sequences[0].text.text}]


def run(argv: list[str]) -> int:
    options = parse(Chat, argv, "outrider chat")
    sampling, variables = options.sampling(), read_variables(options.template)
    if options.message == "":
        raise ConfigError("--message is empty: give some text")
    from outrider.cli.session import open_llm

    with open_llm(options) as llm:
        conversation = Conversation(llm, sampling, options.system, variables, [], options.explain)
        conversation.clear()
        if options.message is not None:
            conversation.answer(options.message)
        elif sys.stdin.isatty():
            _talk(conversation)
        else:
            for line in _lines():
                conversation.answer(line)
    return 0


def _lines() -> Iterator[str]:
    return (line.strip() for line in sys.stdin if line.strip())


def _talk(conversation: Conversation) -> None:
    """Until /exit or the end of input. Ctrl-C ends an answer, and at the prompt the program."""
    import readline  # noqa: F401  (editing and history of the input line)

    print(f"{conversation.llm.model.name}, drafter {'+'.join(conversation.llm.engine.drafter.sources)}. "
          f"{', '.join(f'{name} {what}' for name, what in COMMANDS.items())}.")
    while (text := _ask()) != "/exit":
        if text == "/clear":
            conversation.clear()
        elif text.startswith("/"):
            print(_explain(text))
        elif text:
            _reply(conversation, text)


def _reply(conversation: Conversation, text: str) -> None:
    try:
        conversation.answer(text)
    except KeyboardInterrupt:
        print("(stopped)")
    except OutriderError as error:  # a message that is too long must not end the conversation
        print(f"outrider: {error}", file=sys.stderr)


def _ask() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        print()
        return "/exit"


def _explain(command: str) -> str:
    listed = "\n".join(f"{name:<8}{what}" for name, what in COMMANDS.items())
    return listed if command == "/help" else f"unknown command '{command}'{suggestion(command, COMMANDS)}\n{listed}"
