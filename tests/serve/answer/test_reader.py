"""Parts of answers in every syntax, the same however the text is cut."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider.serve.answer.parts import CallDelta, Content, Part, Reasoning
from outrider.serve.answer.reader import AnswerReader
from outrider.serve.answer.spelt_call import Kinds, kinds_of
from outrider.serve.answer.syntax import CODER, HERMES, LLAMA, MISTRAL, CallSyntax

PUT = {"text": {"type": "string"}, "n": {"type": "integer"}, "x": {"type": ["number", "null"]}, "on": {"enum": [True]},
       "tags": {"type": "array"}, "either": {"anyOf": [{"type": "string"}, {"type": "object"}]}, "any": {"$ref": "#/x"}}
KINDS: dict[str, Kinds] = {"get": {}, "put": kinds_of(json.dumps({"type": "object", "properties": PUT}))}


@dataclass(frozen=True, slots=True)
class Read:
    content: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()  # name and arguments


def read(pieces: Iterable[str], syntax: CallSyntax | None = None, thinking: bool = False) -> Read:
    numbers = count()
    reader = AnswerReader(syntax, KINDS, thinking, lambda: f"id{next(numbers)}")
    parts = [part for piece in pieces for part in reader.push(piece)] + reader.finish()
    found = told(parts)
    assert reader.has_calls == bool(found.calls) or syntax is None
    return found


def told(parts: Sequence[Part]) -> Read:
    content = "".join(part.text for part in parts if isinstance(part, Content))
    reasoning = "".join(part.text for part in parts if isinstance(part, Reasoning))
    deltas = [part for part in parts if isinstance(part, CallDelta)]
    calls = []
    for index in sorted({delta.index for delta in deltas}):
        own = [delta for delta in deltas if delta.index == index]
        assert own[0].id == f"id{index}" and own[0].name, "a call begins with its id and its name"
        assert all(not delta.id and not delta.name for delta in own[1:]), "and says them once"
        calls.append((own[0].name, "".join(delta.arguments for delta in own)))
    assert [delta.index for delta in deltas] == sorted(delta.index for delta in deltas)
    return Read(content, reasoning, tuple(calls))


GET = ("get", '{"city": "Łódź \\"}<", "n": [1, {"a": null}]}')
GOLDEN: list[tuple[str, CallSyntax | None, bool, str, Read]] = [
    ("text", None, False, "Hello <tool_call> [x]", Read("Hello <tool_call> [x]")),
    ("blanks stay", HERMES, False, " a\n\nb \n", Read(" a\n\nb \n")),
    ("nothing", HERMES, False, "", Read()),
    ("thoughts", None, False, "<think>\nHm. <b> </b>\n</think>\n\nYes. </think>",
     Read("Yes. </think>", "Hm. <b> </b>")),
    ("opened by the template", None, True, "\nHm.\n</think>\n\nYes.\n", Read("Yes.\n", "Hm.")),
    ("thoughts without end", None, True, "Hm.</thin", Read("", "Hm.</thin")),
    ("no thoughts at all", None, False, "<think></think>Yes", Read("Yes")),
    ("no thought", None, False, "1 <think>2</think>", Read("1 <think>2</think>")),
    ("half a tag", None, False, "<thi", Read("<thi")),
    ("hermes", HERMES, False, f'<tool_call>\n{{"name": "get", "arguments": {GET[1]}}}\n</tool_call>',
     Read(calls=(GET,))),
    ("text before", HERMES, False, f'I see. \n<tool_call>{{"name": "get", "arguments": {GET[1]}}}</tool_call>\n',
     Read("I see.", calls=(GET,))),
    ("two", HERMES, False, '<tool_call>\n{"name": "get", "arguments": {}}\n</tool_call>\n<tool_call>\n'
     '{"arguments": {"a": "}"}, "name": "put"}\n</tool_call>', Read(calls=(("get", "{}"), ("put", '{"a": "}"}')))),
    ("text behind", HERMES, False, '<tool_call>{"name": "get", "arguments": {}}</tool_call>\n Done. ',
     Read("Done. ", calls=(("get", "{}"),))),
    ("thoughts and a call", HERMES, False, "<think>a <tool_call></think>\n\n"
     '<tool_call>\n{"name":"get","arguments":{}}\n</tool_call>', Read("", "a <tool_call>", (("get", "{}"),))),
    ("arguments as text", HERMES, False, '<tool_call>{"name": "get", "arguments": "{\\"a\\": 1}"}</tool_call>',
     Read(calls=(("get", '{"a": 1}'),))),
    ("no arguments", HERMES, False, '<tool_call>{"name": "get"}</tool_call>', Read(calls=(("get", "{}"),))),
    ("no end", HERMES, False, '<tool_call>\n{"name": "get", "arguments": {}}', Read(calls=(("get", "{}"),))),
    ("cut short", HERMES, False, '<tool_call>\n{"name": "get", "arguments": {"a": "b',
     Read(calls=(("get", '{"a": "b'),))),
    ("no call", HERMES, False, "a <tool_call>\nmaybe </tool_call> b", Read("a <tool_call>\nmaybe </tool_call> b")),
    ("no name", HERMES, False, '<tool_call>{"a": 1}</tool_call>', Read('<tool_call>{"a": 1}</tool_call>')),
    ("begun", HERMES, False, 'x\n<tool_call>\n{"na', Read('x\n<tool_call>\n{"na')),
    ("without its tag", HERMES, False, f'\n{{"name": "get", "arguments": {GET[1]}}} Done.',
     Read("Done.", calls=(GET,))),
    ("in a fence", HERMES, False, f'```json\n{{\n  "name": "get",\n  "arguments": {GET[1]}\n}}\n```',
     Read(calls=(GET,))),
    ("a fence that is none", HERMES, False, '```json\n{"name": "gut"}\n```', Read('```json\n{"name": "gut"}\n```')),
    ("mistral", MISTRAL, False, f'[TOOL_CALLS][{{"name": "get", "arguments": {GET[1]}}}, '
     '{"name": "put", "arguments": {}, "id": "abcdefghi"}]', Read(calls=(GET, ("put", "{}")))),
    ("mistral without its control token", MISTRAL, False, f' [{{"name": "get", "arguments": {GET[1]}}}]',
     Read(calls=(GET,))),
    ("a list that is none", MISTRAL, False, '[{"name": "other"}] [1]', Read('[{"name": "other"}] [1]')),
    ("llama", LLAMA, False, f'{{"name": "get", "parameters": {GET[1]}}}', Read(calls=(GET,))),
    ("llama, two", LLAMA, False, '{"name": "get", "parameters": {}}; {"name": "put", "parameters": {"a": 1}}',
     Read(calls=(("get", "{}"), ("put", '{"a": 1}')))),
    ("llama with its tag", LLAMA, False, '<|python_tag|>{"name": "get", "parameters": {}}',
     Read(calls=(("get", "{}"),))),
    ("mistral, newer", MISTRAL, False, f'Well. [TOOL_CALLS]get[ARGS]{GET[1]}[TOOL_CALLS]put[CALL_ID]a1B2[ARGS]{{}}',
     Read("Well.", calls=(GET, ("put", "{}")))),
    ("mistral, newer, without control tokens", MISTRAL, False, f'get{GET[1]}put{{"n": 1}} Done.',
     Read("Done.", calls=(GET, ("put", '{"n": 1}')))),
    ("mistral, a name that is none", MISTRAL, False, "[TOOL_CALLS] I do not [know]",
     Read("[TOOL_CALLS] I do not [know]")),
    ("mistral, a name behind a call", MISTRAL, False, "get[ARGS]{}put", Read("put", calls=(("get", "{}"),))),
    ("mistral, cut short", MISTRAL, False, '[TOOL_CALLS]get[ARGS]{"a": [1', Read(calls=(("get", '{"a": [1'),))),
    ("mistral, only a name", MISTRAL, False, "[TOOL_CALLS]get[AR", Read("[TOOL_CALLS]get[AR")),
    ("coder", CODER, False, "I see.\n\n<tool_call>\n<function=get>\n<parameter=city>\nŁódź \"}<\n</parameter>\n"
     "<parameter=n>\n3\n</parameter>\n</function>\n</tool_call>",
     Read("I see.", calls=(("get", '{"city": "Łódź \\"}<", "n": "3"}'),))),
    ("coder, types", CODER, False, "<tool_call><function=put><parameter=text>1</parameter><parameter=n>1</parameter>"
     "<parameter=x>null</parameter><parameter=on>True</parameter><parameter=tags>[1, {}]</parameter>"
     '<parameter=either>{"a": 1}</parameter><parameter=any>1</parameter></function></tool_call>',
     Read(calls=(("put", '{"text": "1", "n": 1, "x": null, "on": true, "tags": [1, {}], "either": {"a": 1}, '
                         '"any": 1}'),))),
    ("coder, types that are others", CODER, False, "<tool_call><function=put><parameter=n>many</parameter>"
     "<parameter=x>2</parameter><parameter=either>3</parameter><parameter=any>[</parameter></function></tool_call>",
     Read(calls=(("put", '{"n": "many", "x": 2, "either": "3", "any": "["}'),))),
    ("coder, lines", CODER, False, "<tool_call>\n<function=put>\n<parameter=text>\n\ndef f():\n  return '<a>'\n\n"
     "</parameter>\n</function>\n</tool_call>",
     Read(calls=(("put", '{"text": "\\ndef f():\\n  return \'<a>\'\\n"}'),))),
    ("coder, two", CODER, False, "<tool_call>\n<function=get>\n</function>\n</tool_call>\n<tool_call>\n<function=put>\n"
     "<parameter=n>\n1\n</parameter>\n</function>\n</tool_call>\nDone.",
     Read("Done.", calls=(("get", "{}"), ("put", '{"n": 1}')))),
    ("coder without its tag", CODER, False, "<function=get>\n<parameter=a>\nb\n</parameter>\n</function>\n</tool_call>",
     Read(calls=(("get", '{"a": "b"}'),))),
    ("coder without ends", CODER, False, "<tool_call><function=get><parameter=a>b<parameter=c>d</function></tool_call>",
     Read(calls=(("get", '{"a": "b", "c": "d"}'),))),
    ("coder without an end", CODER, False, "<tool_call><function=get><parameter=a>b</parameter> x\n</tool_call>.",
     Read(".", calls=(("get", '{"a": "b"}'),))),
    ("coder as an object", CODER, False, f'<tool_call>\n{{"name": "get", "arguments": {GET[1]}}}\n</tool_call>',
     Read(calls=(GET,))),
    ("coder, cut short", CODER, False, "<tool_call><function=get><parameter=a>b</parameter><parameter=c>d",
     Read(calls=(("get", '{"a": "b"'),))),
    ("coder, no call", CODER, False, "<tool_call> <functional=x> </tool_call>",
     Read("<tool_call> <functional=x> </tool_call>")),
    ("coder, begun", CODER, False, "<tool_call>\n<function=ge", Read("<tool_call>\n<function=ge")),
    ("an object that is none", LLAMA, False, '{"name": "getter", "parameters": {}}',
     Read('{"name": "getter", "parameters": {}}')),
    ("not at the beginning", LLAMA, False, 'So: {"name": "get", "parameters": {}}',
     Read('So: {"name": "get", "parameters": {}}')),
]


@pytest.mark.parametrize(("syntax", "thinking", "text", "wanted"), [row[1:] for row in GOLDEN],
                         ids=[row[0] for row in GOLDEN])
def test_golden(syntax: CallSyntax | None, thinking: bool, text: str, wanted: Read) -> None:
    assert read([text], syntax, thinking) == wanted
    assert read(text, syntax, thinking) == wanted, "a character at a time"
    for at in range(len(text)):
        assert read([text[:at], text[at:]], syntax, thinking) == wanted, f"cut behind {text[:at]!r}"


WORDS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|python_tag|>", '{"name": "get", ',
         '"arguments": ', '"parameters": ', '{"a": 1}', "{}", "}", "[", "]", ", ", "; ", "\n", " ", "é", "x",
         "```", "json", '"', "<", "\\", "get", "put{", "[ARGS]", "[CALL_ID]", "<function=get>", "<function=", ">",
         "<parameter=n>", "<parameter=", "</parameter>", "</function>"]


@settings(max_examples=400)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join),
       st.sampled_from([None, HERMES, CODER, MISTRAL, LLAMA]), st.booleans(), st.data())
def test_cuts_make_no_difference(text: str, syntax: CallSyntax | None, thinking: bool, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read(pieces, syntax, thinking) == read([text], syntax, thinking)


@settings(max_examples=200)
@given(st.text("<>think/tool_cal[]TO{\"nme:ge \n", max_size=30))
def test_content_that_is_no_call_is_kept(text: str) -> None:
    found = read(text, HERMES)
    assert found.calls or found.reasoning or "think>" in text or found.content == text


def test_arguments_come_as_they_are_written() -> None:
    """A client sees them grow; the name comes first."""
    reader = AnswerReader(HERMES, KINDS, False, lambda: "id0")
    assert reader.push('Well <tool') == [Content("Well")]
    assert reader.push('_call>\n{"name": "get", "argum') == []
    assert reader.push('ents": {"city": "Lo') == [CallDelta(0, "id0", "get", '{"city": "Lo')]
    assert reader.push('ng"') == [CallDelta(0, "", "", 'ng"')]
    assert reader.push("}") == [CallDelta(0, "", "", "}")]
    assert reader.push("}\n</tool_call>") == [] and reader.finish() == [] and reader.has_calls


def test_ids_of_mistral_have_the_length_its_template_wants() -> None:
    parts = [part for part in AnswerReader(MISTRAL, KINDS, False).push('[{"name": "get", "arguments": {}}]')
             if isinstance(part, CallDelta)]
    assert len(parts[0].id) == 9 and parts[0].id.isalnum()
