"""Workloads: lists of prompts, shipped with the package by name or read from a file of the user's.

A prompts file has one JSON object a line: `{"prompt": "…"}` for text that is continued as it stands, or
`{"messages": [{"role": "user", "content": "…"}, …]}` for a conversation put through the model's chat template.
The shipped files are frozen: changing one would make figures measured before and after incomparable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from outrider.errors import ConfigError, UnknownReferenceError, suggestion

NAMES = ("edit", "code", "chat", "math", "summary")
ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Either `text`, continued as it stands, or `messages`, which the chat template turns into text."""

    text: str | None = None
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Workload:
    """Named prompts; `name` is the shipped name or the file's name without its suffix."""

    name: str
    prompts: tuple[Prompt, ...]


def load(reference: str | Path) -> Workload:
    """The shipped workload of that name, or the prompts file at that path.

    Raises:
        UnknownReferenceError: neither a shipped name nor an existing file.
        ConfigError: a line that is not a prompt; the message gives file and line number.
    """
    if reference in NAMES:
        source = files("outrider.bench").joinpath("prompts", f"{reference}.jsonl")
        return Workload(str(reference), tuple(parse(source.read_text(encoding="utf-8"), str(reference))))
    path = Path(reference).expanduser()
    if not path.is_file():
        raise UnknownReferenceError(
            f"no workload or prompts file '{reference}'{suggestion(str(reference), NAMES)}: "
            f"give a .jsonl file or one of {', '.join(NAMES)}"
        )
    try:
        source_text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path} as UTF-8 text ({error}): give a .jsonl file of prompts") from None
    prompts = tuple(parse(source_text, str(path)))
    if not prompts:
        raise ConfigError(f"{path} holds no prompts: give one JSON object a line")
    return Workload(path.stem, prompts)


def parse(source_text: str, origin: str) -> Iterator[Prompt]:
    """The prompts of a file's text, blank lines skipped; `origin` names the file in errors."""
    # Not splitlines(): JSON strings may hold U+2028 and other characters that it would break at.
    for number, line in enumerate(source_text.split("\n"), start=1):
        if line.strip():
            yield parse_line(line, f"{origin}, line {number}")


def parse_line(line: str, place: str) -> Prompt:
    try:
        row: object = json.loads(line)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{place}: not JSON ({error.msg} at column {error.colno})") from None
    if not isinstance(row, dict) or len(row) != 1 or not row.keys() <= {"prompt", "messages"}:
        found = ", ".join(map(repr, row)) if isinstance(row, dict) else type(row).__name__
        raise ConfigError(f'{place}: found {found or "nothing"}, expected {{"prompt": …}} or {{"messages": […]}}')
    if "prompt" in row:
        return Prompt(text=nonempty(row["prompt"], f"{place}: 'prompt'"))
    turns = row["messages"]
    if not isinstance(turns, list) or not turns:
        raise ConfigError(f"{place}: 'messages' must be a list of at least one message")
    return Prompt(messages=tuple(parse_message(turn, place) for turn in turns))


def parse_message(turn: object, place: str) -> Message:
    if not isinstance(turn, dict) or turn.keys() != {"role", "content"}:
        raise ConfigError(f"{place}: a message must have exactly 'role' and 'content'")
    role = nonempty(turn["role"], f"{place}: 'role'")
    if role not in ROLES:
        expected = f"{suggestion(role, ROLES)}, expected one of {', '.join(ROLES)}"
        raise ConfigError(f"{place}: unknown role '{role}'{expected}")
    return Message(role, nonempty(turn["content"], f"{place}: 'content'"))


def nonempty(value: object, place: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{place} must be a string that is not empty")
    return value
