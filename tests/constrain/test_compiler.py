"""Grammars become constraints: what they allow, what is refused, and what strangers cannot make us pay."""

from __future__ import annotations

import json
import random
from string import ascii_letters

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from json_engine import Schema, is_valid, json_compiler, json_tokenizer, schemas
from outrider.constrain.bounds import MAX_CHARACTERS
from outrider.constrain.compiler import MAX_KEPT, Compiler
from outrider.constrain.grammar import Grammar, choice, json_object, json_schema, lark, regex
from outrider.core.constraint import ConstraintState
from outrider.errors import RequestError
from tiny_engine import EOS, VOCAB


def allowed(state: ConstraintState) -> list[int]:
    bits = np.unpackbits(np.frombuffer(state.mask(), np.uint8), bitorder="little")[:VOCAB]
    return np.flatnonzero(bits).tolist()


def started(grammar: Grammar) -> ConstraintState:
    return json_compiler().compile(grammar).start()


def texts(state: ConstraintState) -> set[str]:
    """What may come next, the end as ''."""
    return {json_tokenizer().decode([token]) for token in allowed(state)}


@settings(max_examples=40)
@given(schemas, st.integers(0, 2**32))
def test_any_way_through_a_schema_is_a_valid_value(schema: Schema, seed: int) -> None:
    """Tokens at random among those allowed, blanks aside, which may be many; going back leads where one came from."""
    state, draw, output = started(json_schema(schema)), random.Random(seed), list[int]()
    while not state.is_over and len(output) < 300:
        options = allowed(state)
        assert options, "there is always a way on"
        token = draw.choice(options)
        assert state.allows(token)
        if not state.advance(token):
            assert token == EOS
            break
        assert state.mask() != b"" and not state.failure
        state.rollback(1)
        assert allowed(state) == options
        state.advance(token)
        output.append(token)
    if state.is_over or state.allows(EOS):
        assert is_valid(json.loads(json_tokenizer().decode(output)), schema)


def test_only_what_is_allowed_goes_on() -> None:
    a, b = (json_tokenizer().encode(letter, special=False)[0] for letter in "ab")
    state = started(regex("a*b"))
    assert texts(state) == {"a", "b", "ab"} and not state.allows(EOS)
    assert not state.advance(EOS) and state.advance(a) and state.advance(b)
    assert state.is_over and allowed(state) == [EOS] and not state.advance(b) and not state.allows(a)
    twin = state.fork()
    state.rollback(2)
    assert twin.is_over and not state.is_over and texts(state) == {"a", "b", "ab"}


def test_an_end_may_come_where_the_text_is_complete() -> None:
    state = started(regex("a+"))
    assert EOS not in allowed(state)
    state.advance(json_tokenizer().encode("a", special=False)[0])
    assert EOS in allowed(state) and not state.is_over


def test_choices_are_taken_as_they_are() -> None:
    state = started(choice(["a/b.*", 'é"\n\\']))
    assert texts(state) == {"a", "é"}
    assert texts(started(json_object())) == {"{", '{"'}
    assert texts(started(lark('start: "x" | %json {"type": "null"}'))) == {"x", "n", "null"}


BAD: list[tuple[Grammar, str]] = [
    (json_schema({"type": "frob"}, field="response_format"), "response_format: Invalid type"),
    (json_schema({"type": "string", "format": "frob"}, field="here"), "here: .*frob"),
    (json_schema({"type": "array", "uniqueItems": True}), "json_schema: .*uniqueItems"),
    (json_schema({"$ref": "#/nowhere"}), "json_schema: "),
    (json_schema({"$ref": "http://example.org/schema"}), "json_schema: "),
    (json_schema({"$ref": "#"}), "nothing can match"),
    (json_schema(False), "json_schema: "),
    (Grammar("json", "{"), "constraint: expected a JSON schema"),
    (Grammar("json", "[" * 5000), "constraint: "),
    (regex("a(b"), "regex: "),
    (regex("(?=a)b"), "regex: "),
    (lark("start: nowhere"), "grammar: "),
    (lark("start: a\na: b\nb: a"), "nothing can match"),
]


@pytest.mark.parametrize(("grammar", "message"), BAD)
def test_what_cannot_be_compiled_is_one_line_that_names_the_field(grammar: Grammar, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        json_compiler().compile(grammar)
    assert "\n" not in str(caught.value)


def nested(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


HOSTILE: list[tuple[Grammar, str]] = [
    (regex("(a|b)" * MAX_CHARACTERS), "characters"),
    (json_schema({"enum": ["x" * 100] * 2000}), "characters"),
    (json_schema({"type": "object", "properties": {f"p{index}": {} for index in range(401)}}), "properties"),
    (json_schema({"allOf": [{"type": "string", "pattern": f"(.*{letter}.*){{3}}"} for letter in ascii_letters]}),
     "patterns"),
    (json_schema({"$defs": {"p": {"pattern": "a"}}, "type": "string", "anyOf": [
        {"$ref": "#/$defs/p", "pattern": letter} for letter in "abcdefg"]}), "patterns"),
    (json_schema({"type": "object", "patternProperties": {f"{letter}.*{letter}": {} for letter in "abcdefg"}}),
     "patternProperties"),
    (json_schema({"type": "integer", "multipleOf": 999_983}), "multipleOf"),
    (json_schema({"type": "number", "multipleOf": 1e-7}), ""),
    (json_schema({"type": "number", "multipleOf": 1e300}), "multipleOf"),
    (json_schema({"allOf": [{"type": "integer", "multipleOf": number} for number in (97, 101, 103)]}), "multipleOf"),
    (json_schema(nested(400)), "recursion"),
    (json_schema({"type": "string", "pattern": "(a{1,100}){1,100}" * 60, "maxLength": 7_000, "minLength": 6_000}), ""),
    (regex("(" * 3000 + "a" + ")" * 3000), "regex"),
    (lark("start: " + "(" * 3000 + '"a"' + ")" * 3000), "nested"),
    (lark("start: a0\n" + "".join(f"a{n}: a{n + 1} a{n + 1}\n" for n in range(40)) + 'a40: "x"'), ""),
]


@pytest.mark.parametrize(("grammar", "message"), HOSTILE, ids=[f"{row[0].kind}-{row[1]}" for row in HOSTILE])
def test_hostile_grammars_are_refused_or_cheap(grammar: Grammar, message: str) -> None:
    """The test's own time limit is what would fail; without our bounds some take minutes and gigabytes."""
    compiler = Compiler(json_tokenizer(), VOCAB, {EOS})
    if message:
        with pytest.raises(RequestError, match=message):
            compiler.compile(grammar)
        return
    try:
        state = compiler.compile(grammar).start()
    except RequestError:
        return
    assert allowed(state)


def test_what_is_not_supported_may_be_disregarded() -> None:
    json_compiler().compile(json_schema({"type": "array", "uniqueItems": True}, lenient=True))
    with pytest.raises(RequestError, match="expected a JSON schema"):
        json_schema({"enum": [float("nan")]})
    with pytest.raises(RequestError, match="expected a JSON schema"):
        json_schema("text")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="list of texts"):
        choice([])


def test_the_last_grammars_are_kept() -> None:
    compiler = Compiler(json_tokenizer(), VOCAB, {EOS})
    first = compiler.compile(regex("a", field="one"))
    assert compiler.compile(regex("a", field="two")) is first, "where it came from makes no other grammar"
    for index in range(MAX_KEPT):
        compiler.compile(regex(f"a{{{index + 2}}}"))
    assert compiler.compile(regex("a")) is not first


def test_models_that_cannot_be_constrained_say_so() -> None:
    with pytest.raises(RequestError, match="without a tokenizer"):
        Compiler(None, VOCAB, {EOS}).compile(regex("a"))
    with pytest.raises(RequestError, match="no end token"):
        Compiler(json_tokenizer(), VOCAB, ()).compile(regex("a"))
