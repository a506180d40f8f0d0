"""The field `response_format` as a grammar."""

from __future__ import annotations

from collections.abc import Mapping

from outrider.constrain.grammar import Grammar, json_object, json_schema
from outrider.errors import RequestError

_KINDS = ("text", "json_object", "json_schema")
_FIELD = "response_format"


def format_of(given: object) -> Grammar | None:
    """None for text. Without `strict`, keywords of the schema that are not supported are disregarded.

    Raises: RequestError naming the field.
    """
    if given is None:
        return None
    kind = given.get("type") if isinstance(given, Mapping) else None
    if not isinstance(given, Mapping) or kind not in _KINDS:
        raise RequestError(f"{_FIELD}: got {given!r:.80}, expected an object with a type of {', '.join(_KINDS)}")
    if kind == "text":
        return None
    if kind == "json_object":
        return json_object(_FIELD)
    inner = given.get("json_schema")
    if not isinstance(inner, Mapping):
        raise RequestError(f"{_FIELD}.json_schema: got {inner!r:.80}, expected an object with a name and a schema")
    schema, strict = inner.get("schema"), inner.get("strict")
    place = f"{_FIELD}.json_schema.schema"
    if not isinstance(schema, Mapping | bool):
        raise RequestError(f"{place}: got {schema!r:.80}, expected a JSON schema")
    if strict is not None and not isinstance(strict, bool):
        raise RequestError(f"{_FIELD}.json_schema.strict: got {strict!r:.80}, expected true or false")
    return json_schema(schema, lenient=not strict, field=place)
