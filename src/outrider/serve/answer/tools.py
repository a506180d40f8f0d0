"""Tools as a request offers them, and which of them it wants called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from outrider.constrain.grammar import schema_text
from outrider.errors import RequestError, suggestion

MAX_TOOLS = 128
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ANYTHING: Mapping[str, object] = MappingProxyType({"type": "object"})


@dataclass(frozen=True, slots=True)
class Tool:
    """A function. `given` is the tool as it came, for templates; `schema` the JSON text of its parameters' schema.

    `strict`: keywords of the schema that are not supported are errors, and not disregarded. `place` is where it stood
    in the request.
    """

    name: str
    description: str
    schema: str
    strict: bool
    given: Mapping[str, object] = field(compare=False)
    place: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`name`: this very tool is called (`mode` is then required). `parallel`: more calls than one may be made."""

    mode: Literal["none", "auto", "required"] = "none"
    name: str = ""
    parallel: bool = True


def tools_of(given: object) -> tuple[Tool, ...]:
    """The field `tools`; none of them for None. Raises: RequestError naming the field."""
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > MAX_TOOLS:
        raise RequestError(f"tools: expected a list of at most {MAX_TOOLS} tools")
    tools = tuple(_tool(item, f"tools[{index}]") for index, item in enumerate(given))
    for index, tool in enumerate(tools):
        if any(tool.name == other.name for other in tools[:index]):
            raise RequestError(f"tools[{index}].function.name: '{tool.name}' is there twice, expected different names")
    return tools


def choice_of(given: object, tools: Sequence[Tool], parallel: object = True) -> ToolChoice:
    """The fields `tool_choice` and `parallel_tool_calls`; None is auto where there are tools, and none elsewhere.

    Raises: RequestError naming the field.
    """
    if parallel is not None and not isinstance(parallel, bool):
        raise RequestError(f"parallel_tool_calls: got {parallel!r:.80}, expected true or false")
    several = parallel is not False
    if given is None or given == "none":
        return ToolChoice("auto" if tools and given is None else "none", "", several)
    if not tools:
        raise RequestError("tool_choice: there are no tools to choose from, expected some in 'tools'")
    if given == "auto" or given == "required":
        return ToolChoice("auto" if given == "auto" else "required", "", several)
    return ToolChoice("required", _chosen(given, [tool.name for tool in tools]), parallel=False)


def _tool(given: object, place: str) -> Tool:
    if not isinstance(given, Mapping) or given.get("type") != "function":
        raise RequestError(f"{place}.type: expected 'function'; other kinds of tools are not supported")
    function = given.get("function")
    if not isinstance(function, Mapping):
        raise RequestError(f"{place}.function: expected an object with a name")
    name, description = function.get("name"), function.get("description")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RequestError(f"{place}.function.name: got {name!r:.80}, expected up to 64 letters, digits and _ - .")
    if description is not None and not isinstance(description, str):
        raise RequestError(f"{place}.function.description: got {description!r:.80}, expected a text")
    strict = function.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise RequestError(f"{place}.function.strict: got {strict!r:.80}, expected true or false")
    schema = _schema(function.get("parameters"), bool(strict), f"{place}.function.parameters")
    return Tool(name, description or "", schema, bool(strict), given, place)


def _schema(given: object, strict: bool, place: str) -> str:
    parameters = _ANYTHING if given is None or given == {} else given
    if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
        raise RequestError(f"{place}: got {given!r:.80}, expected a JSON schema of an object")
    return schema_text({"type": "object", **parameters}, lenient=not strict, field=place)


def _chosen(given: object, names: list[str]) -> str:
    function = given.get("function") if isinstance(given, Mapping) and given.get("type") == "function" else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise RequestError(f"tool_choice: got {given!r:.80}, expected 'none', 'auto', 'required' or a function")
    if name not in names:
        raise RequestError(f"tool_choice: no tool is called '{name:.64}'{suggestion(name, names)}; "
                           f"there are: {', '.join(names)}")
    return name
