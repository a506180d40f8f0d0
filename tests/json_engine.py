"""A toy vocabulary that JSON can be written in, small schemas, and by hand what it means to be valid."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from functools import cache

import tokenizers
from hypothesis import strategies as st

from outrider.constrain.compiler import Compiler
from outrider.io.tokenizer import Tokenizer, TokenRoles, TokenTable
from tiny_engine import EOS, VOCAB

_LONGER = ('{"', '":', '"}', '",', ": ", "true", "false", "null", "ab", "abc", "é", "\n", "  ")
_CHARACTERS = string.digits + string.ascii_letters + ' {}[]":,.-+_\\<>/;'
Schema = Mapping[str, object]


@cache
def json_tokenizer() -> Tokenizer:
    """A token for each of 80 characters, some longer ones, padding, and `<eos>` as the last id."""
    pieces: list[str | None] = [*_CHARACTERS, *_LONGER]
    pieces += [None] * (VOCAB - 1 - len(pieces)) + ["<eos>"]
    spelt = [f"<pad{token}>" if piece is None else piece for token, piece in enumerate(pieces)]
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({piece: token for token, piece in enumerate(spelt)}, []))
    special = frozenset({EOS})
    table = TokenTable(pieces=tuple(pieces), added=special, special=special, spell=str.encode)
    return Tokenizer(backend, table, TokenRoles(eos_id=EOS))


@cache
def json_compiler() -> Compiler:
    return Compiler(json_tokenizer(), VOCAB, {EOS})


def is_valid(value: object, schema: Schema) -> bool:
    """For the keywords of `schemas`, written anew from what they mean."""
    if "enum" in schema:
        return any(type(value) is type(item) and value == item for item in _listed(schema["enum"]))
    if "anyOf" in schema:
        return any(isinstance(item, Mapping) and is_valid(value, item) for item in _listed(schema["anyOf"]))
    kind = schema["type"]
    if kind == "object":
        return isinstance(value, dict) and _has_properties(value, schema)
    if kind == "array":
        items = schema["items"]
        return (isinstance(value, list) and isinstance(items, Mapping)
                and _is_between(len(value), schema.get("minItems"), schema.get("maxItems"))
                and all(is_valid(item, items) for item in value))
    if kind == "string":
        return isinstance(value, str) and _is_between(len(value), schema.get("minLength"), schema.get("maxLength"))
    if kind == "integer":
        return type(value) is int and _is_between(value, schema.get("minimum"), schema.get("maximum"))
    return value is None if kind == "null" else type(value) is bool


def _has_properties(value: Mapping[str, object], schema: Schema) -> bool:
    known = schema["properties"]
    assert isinstance(known, Mapping)
    return ({*_listed(schema["required"])} <= value.keys() <= known.keys()
            and all(is_valid(item, known[name]) for name, item in value.items()))


def _is_between(number: int, low: object, high: object) -> bool:
    return (not isinstance(low, int) or low <= number) and (not isinstance(high, int) or number <= high)


def _listed(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[Schema]) -> Schema:
    properties = draw(st.dictionaries(st.sampled_from(["a", "ab", "id", "é"]), inner, min_size=1, max_size=3))
    required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True))
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_LEAVES: st.SearchStrategy[Schema] = st.one_of(
    st.just({"type": "boolean"}), st.just({"type": "null"}),
    st.builds(lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span},
              st.integers(-20, 20), st.integers(0, 100)),
    st.builds(lambda most: {"type": "string", "maxLength": most}, st.integers(0, 4)),
    st.builds(lambda items: {"enum": items},
              st.lists(st.sampled_from(["abc", "abcd", 7, True, None, "é\n"]), min_size=1, max_size=3,
                       unique_by=json.dumps)))
schemas: st.SearchStrategy[Schema] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        _objects(inner),
        st.builds(lambda items, most: {"type": "array", "items": items, "maxItems": most}, inner, st.integers(0, 3)),
        st.builds(lambda several: {"anyOf": several}, st.lists(inner, min_size=1, max_size=2))),
    max_leaves=4)
"""Schemas whose values cannot go on forever."""
