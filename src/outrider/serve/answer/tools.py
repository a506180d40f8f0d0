"""Tools as a request offers them, and which of them it wants called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Tool:
    """A function. `given` is the tool as it came, for templates; `parameters` the JSON text of its schema."""

    name: str
    description: str
    parameters: str
    strict: bool
    given: dict[str, object]


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`name`: this very tool is called (`mode` is then required). `parallel`: more calls than one may be made."""

    mode: Literal["none", "auto", "required"] = "none"
    name: str = ""
    parallel: bool = True


def tools_of(given: object) -> tuple[Tool, ...]:
    """The field `tools`; none of them for None. Raises: RequestError naming the field."""
    raise NotImplementedError


def choice_of(given: object, tools: Sequence[Tool], parallel: object = True) -> ToolChoice:
    """The fields `tool_choice` and `parallel_tool_calls`; None is auto where there are tools, and none elsewhere.

    Raises: RequestError naming the field.
    """
    raise NotImplementedError
