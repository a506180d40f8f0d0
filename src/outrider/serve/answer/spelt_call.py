"""Tool calls whose name stands outside of JSON, as they come in pieces.

    ArgumentsReader    get[ARGS]{"city": "Oslo"}                                       Mistral, with [CALL_ID]… or not
    FunctionReader     <function=get><parameter=city>Oslo</parameter></function>       Qwen3-Coder
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from outrider.serve.answer.call import CallReader
from outrider.serve.answer.held import cut_at
from outrider.serve.answer.json_scan import JsonScan

_NAME = r"[A-Za-z0-9_.-]{1,64}"
_HEAD = re.compile(rf"\s*({_NAME})\s*(?:\[CALL_ID\]\s*[A-Za-z0-9]{{1,64}}\s*)?(?:\[ARGS\])?\s*")
_HEAD_BEGUN = re.compile(r"\s*[A-Za-z0-9_.-]{0,64}\s*(?:\[[A-Z_]{0,8}(?:\]\s*[A-Za-z0-9]{0,64}\s*)?){0,2}")
_FUNCTION = re.compile(rf"\s*<function=({_NAME})>")
_PARAMETER = re.compile(r"<parameter=([^<>\n]{1,256})>")
_OPEN, _CLOSE, _END, _LAST = "<parameter=", "</parameter>", "</function>", "</tool_call>"
Kinds = Mapping[str, frozenset[str]]


class ArgumentsReader(CallReader):
    """The name, then the arguments' object; the control tokens between may be missing from the text."""

    def __init__(self) -> None:
        super().__init__()
        self._value = JsonScan()

    def feed(self, text: str) -> str:
        at = 0
        while at < len(text) and not self.name:
            self._read_head(text[at])
            if self.is_broken:
                return text[at + 1 :]
            at += not self.name  # the bracket is the value's
        size = self._value.feed(text[at:]) if self.name else 0
        self._ready += text[at : at + size]
        self.is_done = self._value.is_done
        return text[at + size :]

    def _read_head(self, char: str) -> None:
        found = _HEAD.fullmatch(self.raw) if char == "{" else None
        if found is not None:
            self.name = found[1]
            return
        self.raw += char
        self.is_broken = _HEAD_BEGUN.fullmatch(self.raw) is None


class FunctionReader(CallReader):
    """Each parameter comes when it is whole. `kinds` says of every function's parameters what types they may have:
    a value is a text unless it is JSON of another type that it may have.
    """

    def __init__(self, kinds: Mapping[str, Kinds]) -> None:
        super().__init__()
        self._kinds = kinds
        self._held = ""
        self._key: str | None = None
        self._count = 0

    def feed(self, text: str) -> str:
        at = 0
        while at < len(text) and not self.name:
            self._read_head(text[at])
            at += 1
            if self.is_broken:
                return text[at:]
        self._held += text[at:]
        while self.name and not self.is_done and (self._read_between() if self._key is None else self._read_value()):
            pass
        behind, self._held = (self._held, "") if self.is_done else ("", self._held)
        return behind

    def _read_head(self, char: str) -> None:
        self.raw += char
        begun = self.raw.lstrip()
        found = _FUNCTION.fullmatch(self.raw)
        if found is not None:
            self.name = found[1]
        else:
            tag = "<function="
            self.is_broken = not (tag.startswith(begun) or (begun.startswith(tag) and _could_be_name(begun, tag)))

    def _read_between(self) -> bool:
        """Up to the next parameter or the end; false where more text is needed. What is neither is left out."""
        held = self._held = self._held.lstrip()
        if held.startswith((_END, _LAST)):
            self._held = held.removeprefix(_END)
            self._ready += "}" if self._count else "{}"
            self.is_done = True
            return True
        found = _PARAMETER.match(held)
        if found is not None:
            self._key, self._held = found[1].strip(), held[found.end() :]
            return True
        if not held or any(tag.startswith(held) for tag in (_END, _LAST, _OPEN)) or _is_opening(held):
            return False
        following = held.find("<", 1)
        self._held = held[following:] if following > 0 else ""
        return True

    def _read_value(self) -> bool:
        cut = cut_at(self._held, (_CLOSE, _END, _OPEN))
        if not cut.tag or self._key is None:
            return False
        value = _typed(cut.before.removeprefix("\n").removesuffix("\n"), self._kinds.get(self.name, {}).get(self._key))
        pair = f"{json.dumps(self._key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
        self._ready += (", " if self._count else "{") + pair
        self._count += 1
        self._key, self._held = None, ("" if cut.tag == _CLOSE else cut.tag) + cut.after
        return True


def kinds_of(schema: str) -> Kinds:
    """The JSON types of each parameter in the JSON text of a function's schema; those that are not told are missing."""
    properties = json.loads(schema).get("properties")
    if not isinstance(properties, Mapping):
        return {}
    return {name: _types(item) for name, item in properties.items()}


def _types(schema: object) -> frozenset[str]:
    """Empty where there is no telling."""
    if not isinstance(schema, Mapping):
        return frozenset()
    given = schema.get("type")
    if isinstance(given, str | list):
        return frozenset([given] if isinstance(given, str) else (item for item in given if isinstance(item, str)))
    several = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(several, list):
        found = [_types(item) for item in several]
        return frozenset[str]().union(*found) if all(found) else frozenset()
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    return frozenset(_type_of(value) for value in values) if isinstance(values, list) else frozenset()


def _typed(text: str, types: frozenset[str] | None) -> object:
    if types is None or types == {"string"}:
        return text
    stripped = text.strip()
    try:
        value: object = json.loads(stripped.lower() if stripped in ("True", "False", "None") else stripped)
    except (ValueError, RecursionError):
        return text
    kind = _type_of(value)
    fits = not types or kind in types or (kind == "integer" and "number" in types)
    return value if fits or "string" not in types else text


def _type_of(value: object) -> str:
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "object"


def _could_be_name(begun: str, tag: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_.-]{0,64}", begun[len(tag) :]) is not None


def _is_opening(held: str) -> bool:
    """Whether it is a parameter's tag that is not closed yet."""
    return re.fullmatch(r"<parameter=[^<>\n]{0,256}", held) is not None
