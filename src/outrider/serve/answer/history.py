"""Earlier calls and their results, as chat templates read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from outrider.errors import RequestError
from outrider.io.chat_template import Message
from outrider.serve.answer.tools import Tool

Given = Message | Mapping[str, object]
_ASKED = """# Tools

You may call functions. These are their signatures:
<tools>
{tools}
</tools>

To call one, write its name and its arguments as a JSON object within these tags:
<tool_call>
{{"name": "…", "arguments": {{…}}}}
</tool_call>"""


def with_parsed_arguments(messages: Sequence[Given]) -> list[Given]:
    """Clients send arguments as JSON text, templates want objects; and a text where there is none.

    Raises: RequestError naming the call.
    """
    return [_parsed(message, f"messages[{index}]") for index, message in enumerate(messages)]


def plain_calls(messages: Sequence[Given]) -> list[Given]:
    """For templates that know no tools: calls in the text of the assistant, results in that of the user."""
    return [_plain(message) for message in messages]


def with_tools(messages: Sequence[Given], tools: Sequence[Tool]) -> list[Given]:
    """For templates that know no tools: in the system's message, which is added where there is none."""
    listed = "\n".join(json.dumps(tool.given, ensure_ascii=False) for tool in tools)
    asked = _ASKED.format(tools=listed)
    first = messages[0] if messages else None
    if first is None or _field(first, "role") != "system":
        return [{"role": "system", "content": asked}, *messages]
    return [{"role": "system", "content": f"{_field(first, 'content')}\n\n{asked}"}, *messages[1:]]


def _field(message: Given, name: str) -> object:
    return getattr(message, name, None) if isinstance(message, Message) else message.get(name)


def _parsed(message: Given, place: str) -> Given:
    if isinstance(message, Message) or message.get("tool_calls") is None:
        return message
    calls = message["tool_calls"]
    if not isinstance(calls, list):
        raise RequestError(f"{place}.tool_calls: expected a list of calls")
    made = [_call(call, f"{place}.tool_calls[{index}]") for index, call in enumerate(calls)]
    rest = {name: value for name, value in message.items() if name != "tool_calls"}
    return {**rest, "content": message.get("content") or "", **({"tool_calls": made} if made else {})}


def _call(call: object, place: str) -> dict[str, object]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise RequestError(f"{place}.function: expected an object with a name and arguments")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            arguments = None
    if not isinstance(arguments, Mapping):
        raise RequestError(f"{place}.function.arguments: expected the JSON text of an object")
    return {**call, "function": {**function, "arguments": arguments}}


def _plain(message: Given) -> Given:
    if isinstance(message, Message):
        return message
    if message.get("role") == "tool":
        return {"role": "user", "content": f"<tool_response>\n{message.get('content')}\n</tool_response>"}
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    written = [f"<tool_call>\n{json.dumps(_asked(call), ensure_ascii=False)}\n</tool_call>" for call in calls]
    text = "\n".join([*([str(message["content"])] if message.get("content") else []), *written])
    return {"role": message["role"], "content": text}


def _asked(call: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    return {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
