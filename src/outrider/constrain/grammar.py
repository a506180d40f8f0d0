"""`Grammar`: what a text must look like, as it was asked for; `compiler` makes a constraint of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from outrider.errors import RequestError

Kind = Literal["json", "regex", "lark"]


@dataclass(frozen=True, slots=True)
class Grammar:
    """`text` is a JSON schema, a regular expression or a grammar in llguidance's kind of Lark.

    `field` names the part of a request that it came from, for errors.
    """

    kind: Kind
    text: str
    field: str = field(default="constraint", compare=False)


# Models that are made to go on with JSON like to go on with blanks. A blank, or a line break with its indentation.
_OPTIONS: Mapping[str, object] = MappingProxyType({"whitespace_pattern": " |\\r?\\n[ \\t]{0,40}"})


def json_object(field: str = "response_format") -> Grammar:
    """Any JSON object."""
    return json_schema({"type": "object"}, field=field)


def json_schema(schema: Mapping[str, object] | bool, *, lenient: bool = False, field: str = "json_schema") -> Grammar:
    """Whatever a JSON schema describes; `lenient` disregards keywords that are not supported.

    Raises: RequestError where it is no JSON.
    """
    return Grammar("json", schema_text(schema, lenient=lenient, field=field), field)


def schema_text(schema: Mapping[str, object] | bool, *, lenient: bool = False, field: str = "json_schema") -> str:
    """A schema with our options, as it may stand behind %json in a Lark grammar. Raises: RequestError."""
    if not isinstance(schema, Mapping | bool):
        raise RequestError(f"{field}: got {schema!r:.80}, expected a JSON schema")
    keywords = {} if schema is True else {"enum": []} if schema is False else schema
    try:
        return json.dumps({**keywords, "x-guidance": {**_OPTIONS, "lenient": lenient}}, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(f"{field}: expected a JSON schema: {error}") from None


def regex(pattern: str, field: str = "regex") -> Grammar:
    """What a regular expression matches, from beginning to end; the syntax is that of Rust's regex."""
    return Grammar("regex", pattern, field)


def lark(grammar: str, field: str = "grammar") -> Grammar:
    """What a Lark grammar's `start` derives; %json {…} stands for a schema's values."""
    return Grammar("lark", grammar, field)


def choice(texts: Sequence[str], field: str = "choice") -> Grammar:
    """One of several texts. Raises: RequestError where there is none."""
    if isinstance(texts, str) or not texts or any(not isinstance(text, str) or not text for text in texts):
        raise RequestError(f"{field}: got {texts!r:.80}, expected a list of texts that are not empty")
    return Grammar("lark", "start: " + " | ".join(json.dumps(text) for text in texts), field)
