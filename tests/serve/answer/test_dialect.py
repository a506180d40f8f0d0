"""What a model is asked and held to, by its template: tools shown, calls constrained, thoughts let through."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping

import numpy as np
import pytest

from json_engine import json_compiler, json_tokenizer
from outrider.constrain.grammar import Grammar, json_schema, lark, regex
from outrider.errors import RequestError
from outrider.serve.answer.dialect import Dialect
from outrider.serve.answer.parts import CallDelta, Content, Reasoning
from outrider.serve.answer.response_format import format_of
from outrider.serve.answer.syntax import CODER, HERMES, LLAMA, MISTRAL
from outrider.serve.answer.tools import ToolChoice, choice_of, tools_of
from tiny_engine import EOS, VOCAB

QWEN = "{% if tools %}<tools>{{ tools }} write <tool_call> around it{% endif %}{{ messages }}"
THINKER = QWEN + "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
PLAIN = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
MISTRALS = "{% if tools %}[AVAILABLE_TOOLS]{% endif %}[TOOL_CALLS]"
CODERS = "{% if tools %}<tools>{{ tools }}</tools> <tool_call> <function=name> <parameter=name>{% endif %}"
LLAMAS = "{% if tools %}<|python_tag|>{% endif %}"


def tool(name: str, **properties: object) -> dict[str, object]:
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


TOOLS = tools_of([tool("get", a={"type": "boolean"}), tool("put", b={"enum": [1, 2]}, c={"$ref": "#/properties/b"})])
DEFAULT = ToolChoice("auto")


def test_syntaxes_are_told_from_templates() -> None:
    found = [Dialect.of(template) for template in (QWEN, THINKER, PLAIN, CODERS, MISTRALS, LLAMAS, None)]
    assert [item.syntax for item in found] == [HERMES, HERMES, HERMES, CODER, MISTRAL, LLAMA, HERMES]
    assert [item.reads_tools for item in found] == [True, True, False, True, True, True, False]
    assert [item.thinks for item in found] == [False, True, False, False, False, False, False]


def written(grammar: Grammar, seed: int, most: int = 400) -> str:
    """A text at random out of those that a grammar allows."""
    state, draw, output = json_compiler().compile(grammar).start(), random.Random(seed), list[int]()
    while not state.is_over and len(output) < most:
        bits = np.unpackbits(np.frombuffer(state.mask(), np.uint8), bitorder="little")[:VOCAB]
        token = draw.choice(np.flatnonzero(bits).tolist())
        if token == EOS:
            break
        assert state.advance(token)
        output.append(token)
    return json_tokenizer().decode(output)


def calls_in(dialect: Dialect, text: str, choice: ToolChoice, prompt: str = "") -> list[tuple[str, object]]:
    reader = dialect.reader(TOOLS, choice, prompt)
    parts = reader.push(text) + reader.finish()
    found: dict[int, list[str]] = {}
    names: dict[int, str] = {}
    for part in parts:
        if isinstance(part, CallDelta):
            names.setdefault(part.index, part.name)
            found.setdefault(part.index, []).append(part.arguments)
    assert not any(isinstance(part, Content) for part in parts), parts
    return [(names[index], json.loads("".join(found[index]))) for index in found]


@pytest.mark.parametrize("template", [QWEN, CODERS, MISTRALS, LLAMAS, PLAIN])
@pytest.mark.parametrize("seed", range(4))
def test_required_calls_are_made_and_read(template: str, seed: int) -> None:
    dialect = Dialect.of(template)
    choice = ToolChoice("required")
    grammar = dialect.grammar(None, TOOLS, choice, "…")
    assert grammar is not None
    calls = calls_in(dialect, written(grammar, seed), choice)
    assert calls
    for name, arguments in calls:
        assert isinstance(arguments, Mapping)
        if name == "get":
            assert arguments.keys() == {"a"} and type(arguments["a"]) is bool
        else:
            assert name == "put" and arguments["b"] in (1, 2) and arguments["c"] in (1, 2)


@pytest.mark.parametrize("seed", range(3))
def test_a_named_tool_is_the_one_that_is_called(seed: int) -> None:
    choice = choice_of({"type": "function", "function": {"name": "put"}}, TOOLS)
    dialect = Dialect.of(MISTRALS)
    grammar = dialect.grammar(None, TOOLS, choice, "")
    assert grammar is not None
    assert [name for name, _ in calls_in(dialect, written(grammar, seed), choice)] == ["put"]


def test_what_is_free_has_no_grammar() -> None:
    for template in (QWEN, MISTRALS, THINKER, PLAIN):
        dialect = Dialect.of(template)
        assert dialect.grammar(None, (), ToolChoice(), "") is None
        assert dialect.grammar(None, TOOLS, ToolChoice("none"), "") is None
    assert Dialect.of(MISTRALS).grammar(None, TOOLS, DEFAULT, "") is None, "its trigger is a control token"
    assert Dialect.of(CODERS).grammar(None, TOOLS, DEFAULT, "") is None, "its values are no JSON"
    assert Dialect.of(QWEN).grammar(None, TOOLS, DEFAULT, "") is not None


def test_a_format_stands_alone_behind_thoughts_or_beside_calls() -> None:
    wanted = json_schema({"type": "boolean"})
    assert Dialect.of(QWEN).grammar(wanted, (), ToolChoice(), "") is wanted
    assert Dialect.of(THINKER).grammar(wanted, (), ToolChoice(), "x<think>\n\n</think>\n\n") is wanted
    behind = Dialect.of(THINKER).grammar(wanted, (), ToolChoice(), "x<think>\n")
    assert behind is not None and behind.kind == "lark"
    beside = Dialect.of(LLAMAS).grammar(wanted, TOOLS, DEFAULT, "")
    assert beside is not None
    found = {written(beside, seed)[:4] for seed in range(12)}
    assert found & {"true", "fals"} and '{"na' in found
    assert Dialect.of(LLAMAS).grammar(regex("a/b"), TOOLS, DEFAULT, "") is not None
    with pytest.raises(RequestError, match="cannot stand beside"):
        Dialect.of(QWEN).grammar(lark('start: "a"'), TOOLS, DEFAULT, "")


def test_thoughts_that_the_template_opens_are_read() -> None:
    reader = Dialect.of(THINKER).reader((), ToolChoice(), "…<think>\n")
    assert reader.push("Hm.\n</think>\n\nYes.") == [Reasoning("Hm."), Content("Yes.")]
    closed = Dialect.of(THINKER).reader((), ToolChoice(), "…<think>\n\n</think>\n\n")
    assert closed.push("Yes.") == [Content("Yes.")]


CALL = {"id": "1", "type": "function", "function": {"name": "get", "arguments": '{"a": true}'}}
HISTORY: list[Mapping[str, object]] = [
    {"role": "user", "content": "Get it."}, {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "got"}]


def test_a_template_that_reads_tools_gets_them() -> None:
    talk = Dialect.of(QWEN).conversation(HISTORY, TOOLS, DEFAULT)
    assert talk.variables == {"tools": [item.given for item in TOOLS]}
    made = talk.messages[1]
    assert isinstance(made, dict) and made["content"] == ""
    assert made["tool_calls"][0]["function"]["arguments"] == {"a": True}
    assert not Dialect.of(QWEN).conversation(HISTORY, TOOLS, ToolChoice("none")).variables
    again = Dialect.of(QWEN).conversation(talk.messages, TOOLS, DEFAULT)
    assert again.messages == talk.messages, "objects are fine too"


def test_a_template_that_does_not_is_told_in_words() -> None:
    talk = Dialect.of(PLAIN).conversation([{"role": "system", "content": "Be kind."}, *HISTORY], TOOLS, DEFAULT)
    system, _, called, result = (dict(message) for message in talk.messages if isinstance(message, Mapping))
    assert str(system["content"]).startswith("Be kind.") and '"name": "get"' in str(system["content"])
    written_call = '<tool_call>\n{"name": "get", "arguments": {"a": true}}\n</tool_call>'
    assert called == {"role": "assistant", "content": written_call}
    assert result == {"role": "user", "content": "<tool_response>\ngot\n</tool_response>"}
    added = Dialect.of(PLAIN).conversation([{"role": "user", "content": "Hi"}], TOOLS, DEFAULT).messages
    assert isinstance(added[0], Mapping) and added[0]["role"] == "system" and not talk.variables


BAD_TOOLS: list[tuple[object, str]] = [
    ({}, "tools: "), ([{"type": "web"}], r"tools\[0\].type"), ([{"type": "function"}], r"tools\[0\].function"),
    ([tool("a b")], r"tools\[0\].function.name"), ([tool("get"), tool("get")], r"tools\[1\].function.name"),
    ([{"type": "function", "function": {"name": "x", "parameters": []}}], r"tools\[0\].function.parameters"),
    ([{"type": "function", "function": {"name": "x", "parameters": {"type": "array"}}}], "parameters"),
    ([{"type": "function", "function": {"name": "x", "strict": 1}}], "strict"),
    ([{"type": "function", "function": {"name": "x", "description": 1}}], "description"),
]


@pytest.mark.parametrize(("given", "message"), BAD_TOOLS)
def test_malformed_tools_are_named(given: object, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        tools_of(given)


@pytest.mark.parametrize("given", ["maybe", 1, {}, {"type": "function", "function": {"name": "gett"}}])
def test_malformed_choices_are_named(given: object) -> None:
    with pytest.raises(RequestError, match="tool_choice: "):
        choice_of(given, TOOLS)


def test_choices() -> None:
    assert choice_of(None, ()) == ToolChoice() and choice_of(None, TOOLS) == DEFAULT
    assert choice_of("required", TOOLS, False) == ToolChoice("required", "", False)
    assert choice_of("none", ()).mode == "none" and tools_of(None) == ()
    with pytest.raises(RequestError, match="tool_choice"):
        choice_of("required", ())
    with pytest.raises(RequestError, match="parallel_tool_calls"):
        choice_of("auto", TOOLS, 1)


@pytest.mark.parametrize(("given", "message"), [
    ("json", "response_format: "), ({"type": "xml"}, "response_format: "),
    ({"type": "json_schema"}, "response_format.json_schema: "),
    ({"type": "json_schema", "json_schema": {"name": "x"}}, "response_format.json_schema.schema: "),
    ({"type": "json_schema", "json_schema": {"schema": {}, "strict": "yes"}}, "response_format.json_schema.strict: ")])
def test_malformed_formats_are_named(given: object, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        format_of(given)


def test_formats() -> None:
    assert format_of(None) is None and format_of({"type": "text"}) is None
    found = format_of({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "null"}}})
    assert found is not None and written(found, 0) == "null"
    strict = {"name": "x", "schema": {"type": "array", "uniqueItems": True}, "strict": True}
    wanted = format_of({"type": "json_schema", "json_schema": strict})
    assert wanted is not None
    with pytest.raises(RequestError, match=r"schema: .*uniqueItems"):
        json_compiler().compile(wanted)


@pytest.mark.parametrize("content", ["", "x"])
@pytest.mark.parametrize("calls", ["x", [{}], [{"function": {"name": "get", "arguments": "{"}}]])
def test_malformed_calls_are_named(content: str, calls: object) -> None:
    message = {"role": "assistant", "content": content, "tool_calls": calls}
    with pytest.raises(RequestError, match=r"messages\[1\].tool_calls"):
        Dialect.of(QWEN).conversation([HISTORY[0], message], TOOLS, DEFAULT)


def follows(grammar: Grammar, text: str) -> set[str]:
    """The first characters of what may follow a text; '' for an end. Fails where the text itself is forbidden."""
    state = json_compiler().compile(grammar).start()
    for token in json_tokenizer().encode(text, special=False):
        assert state.advance(token), text
    bits = np.unpackbits(np.frombuffer(state.mask(), np.uint8), bitorder="little")[:VOCAB]
    return {json_tokenizer().decode([token])[:1] for token in np.flatnonzero(bits).tolist()}


HEAD = '<tool_call>\n{"name": "get", "arguments": '


@pytest.mark.parametrize("parallel", [True, False])
def test_text_is_free_until_it_begins_a_call(parallel: bool) -> None:
    grammar = Dialect.of(QWEN).grammar(None, TOOLS, ToolChoice("auto", "", parallel), "")
    assert grammar is not None
    assert {"", "a", "<", "{", "\n"} <= follows(grammar, "Well <tool") and "" in follows(grammar, "")
    assert follows(grammar, "Well <tool_call>") == {"\n"}
    assert follows(grammar, "Well <tool_call>\n{\"name\": \"") == {"g", "p"}
    assert follows(grammar, HEAD) == {"{"}
    assert {*"tf"} <= follows(grammar, HEAD + '{"a":') <= {*"tf \n"}
    whole = HEAD + '{"a": true}}\n</tool_call>'
    assert "" in follows(grammar, whole)
    assert ("a" in follows(grammar, whole + "\n")) if parallel else follows(grammar, whole) == {""}


def test_schemas_of_tools_are_bounded_like_any_other() -> None:
    tools = tools_of([tool("get"), tool("put", a={"multipleOf": 999_983})])
    for choice in (DEFAULT, ToolChoice("required")):
        with pytest.raises(RequestError, match=r"tools\[1\].function.parameters: multipleOf"):
            Dialect.of(QWEN).grammar(None, tools, choice, "")
    wanted = json_schema({"type": "integer", "multipleOf": 999_983}, field="response_format")
    with pytest.raises(RequestError, match="response_format: multipleOf"):
        Dialect.of(THINKER).grammar(wanted, (), ToolChoice(), "<think>")


def test_thoughts_come_before_a_format_and_before_calls() -> None:
    wanted = json_schema({"type": "null"})
    may = Dialect.of(THINKER).grammar(wanted, (), ToolChoice(), "…")
    must = Dialect.of(THINKER).grammar(wanted, (), ToolChoice(), "…<think>\n")
    calls = Dialect.of(THINKER).grammar(None, TOOLS, ToolChoice("required"), "…<think>\n")
    free = Dialect.of(THINKER).grammar(None, TOOLS, DEFAULT, "…<think>\n")
    assert may is not None and must is not None and calls is not None and free is not None
    assert follows(may, "") == {"<", "n"} and follows(may, "<think>a</think>\n\n") == {"n", " ", "\n"}
    assert {"a", "n", "{"} <= follows(must, "") and "" not in follows(must, "null")
    assert "n" in follows(must, "Hm. <tool_call></think>\n\n") and follows(must, "x</think>null") == {""}
    assert "<" in follows(calls, "x</think>\n") and "a" not in follows(calls, "x</think>\n")
    assert "a" in follows(free, "x <tool_call>"), "within thoughts nothing begins a call"
    assert follows(free, "x</think> y <tool_call>") == {"\n"}


def test_values_without_quotes_get_the_types_of_the_schema() -> None:
    text = "<tool_call>\n<function=get>\n<parameter=a>\ntrue\n</parameter>\n</function>\n</tool_call>"
    assert calls_in(Dialect.of(CODERS), text, DEFAULT) == [("get", {"a": True})]
