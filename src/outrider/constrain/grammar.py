"""`Grammar`: what a text must look like, as it was asked for; `compiler` makes a constraint of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


def json_object(field: str = "response_format") -> Grammar:
    """Any JSON object."""
    return Grammar("json", '{"type": "object"}', field)


def json_schema(schema: Mapping[str, object] | bool, field: str = "json_schema") -> Grammar:
    """Whatever a JSON schema describes. Raises: RequestError where it is no JSON."""
    try:
        return Grammar("json", json.dumps(schema), field)
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
