"""What an answer must look like, as a grammar: thoughts, calls of given tools, a response format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from outrider.constrain.bounds import check
from outrider.constrain.grammar import Grammar
from outrider.errors import RequestError
from outrider.serve.answer.syntax import CallSyntax
from outrider.serve.answer.thoughts import CLOSE, OPEN
from outrider.serve.answer.tools import Tool, ToolChoice

MAX_CALLS = 16  # of one answer
_TEXT = 'TEXT: /(.|\\n)*/\n'


@dataclass(frozen=True, slots=True)
class Thinking:
    """Whether an answer may begin with thoughts (`possible`), and whether the prompt has begun them (`is_open`)."""

    possible: bool = False
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class _Rules:
    """Lark rules, and the expression that they define."""

    expression: str
    rules: str


def answer_grammar(wanted: Grammar | None, tools: Sequence[Tool], choice: ToolChoice, syntax: CallSyntax,
                   thinking: Thinking) -> Grammar | None:
    """None where the answer is free, but for calls of models whose beginnings are control tokens: they are only read.

    Raises: RequestError where a grammar cannot stand beside tools or thoughts.
    """
    if choice.mode == "required":
        chosen = [tool for tool in tools if choice.name in ("", tool.name)]
        return _grammar(_calls(chosen, choice.parallel, syntax), thinking, "tools")
    may_call = choice.mode == "auto" and bool(tools)
    if wanted is None:
        lazy = may_call and bool(syntax.end) and not syntax.functions
        return _grammar(_free(tools, choice.parallel, syntax), thinking, "tools", free=True) if lazy else None
    if not may_call and not thinking.possible:
        return wanted
    body = _embedded(wanted)
    if may_call:
        calls = _calls(tools, choice.parallel, syntax)
        body = _Rules(f"({calls.expression} | {body.expression})", calls.rules + body.rules)
    return _grammar(body, thinking, wanted.field)


def _grammar(body: _Rules, thinking: Thinking, field: str, free: bool = False) -> Grammar:
    """Behind thoughts. Text that is free anyway may hold them too, unless they have begun."""
    start, rules = body.expression, body.rules
    if thinking.is_open or (thinking.possible and not free):
        start = f"thoughts {start}" if thinking.is_open else f"({_quoted(OPEN)} thoughts)? {start}"
        rules += f'thoughts: thought BLANKS?\nthought[lazy]: TEXT {_quoted(CLOSE)}\nBLANKS: /[ \\n]{{1,4}}/\n'
    if "TEXT" in rules:
        rules += _TEXT
    return Grammar("lark", f"start: {start}\n{rules}", field)


def _calls(tools: Sequence[Tool], parallel: bool, syntax: CallSyntax) -> _Rules:
    """One call or several, and nothing beside them."""
    rules = _objects(tools, syntax) + f"call: {_quoted(_before(syntax))} object {_quoted(_behind(syntax))}\n"
    more = f"({_quoted(syntax.separator)} call){{0,{MAX_CALLS - 1}}}" if parallel else ""
    parts = (_quoted(syntax.opener), "call", more, _quoted(syntax.closer))
    return _Rules(" ".join(part for part in parts if part), rules)


def _free(tools: Sequence[Tool], parallel: bool, syntax: CallSyntax) -> _Rules:
    """Any text; where it begins a call, a call it is."""
    rules = (_objects(tools, syntax) + f"begun[lazy]: TEXT {_quoted(syntax.begin)}\n"
             f'call: begun "\\n" object {_quoted(_behind(syntax))}\nrest: TEXT\n')
    return _Rules("call* rest" if parallel else "(call | rest)", rules)


def _objects(tools: Sequence[Tool], syntax: CallSyntax) -> str:
    """`object`, a call of one of the tools. Each schema stands alone, so that its references lead into itself.

    What schemas may cost is checked here: within a grammar nobody would find them any more.
    """
    rules = ["object: " + " | ".join(f"tool_{index}" for index in range(len(tools)))]
    for index, tool in enumerate(tools):
        check(Grammar("json", tool.schema, f"{tool.place}.function.parameters"))
        head = f'{{"name": "{tool.name}", "{syntax.key}": '
        rules.append(f"tool_{index}: {_quoted(head)} arguments_{index} {_quoted('}')}")
        rules.append(f"arguments_{index}: %json {tool.schema}")
    return "\n".join(rules) + "\n"


def _before(syntax: CallSyntax) -> str:
    """What a call is written behind. A control token is no text; the call is understood without."""
    return f"{syntax.begin}\n" if syntax.end else ""


def _behind(syntax: CallSyntax) -> str:
    return f"\n{syntax.end}" if syntax.end else ""


def _embedded(wanted: Grammar) -> _Rules:
    check(wanted)
    if wanted.kind == "json":
        return _Rules("wanted", f"wanted: %json {wanted.text}\n")
    if wanted.kind == "regex":
        pattern = wanted.text.replace("/", "\\/")
        return _Rules("WANTED", f"WANTED: /{pattern}/\n")
    raise RequestError(f"{wanted.field}: a grammar cannot stand beside tools or thoughts: leave the tools out, or "
                       "turn thinking off")


def _quoted(text: str) -> str:
    return json.dumps(text) if text else ""
