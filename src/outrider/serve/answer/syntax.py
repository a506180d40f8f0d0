"""How models write tool calls, and how to tell from a chat template which way it is.

    hermes     <tool_call>\\n{"name": …, "arguments": {…}}\\n</tool_call>     Qwen, Hermes; templates without tools
    mistral    [TOOL_CALLS][{"name": …, "arguments": {…}}, …]                 Mistral
    llama      {"name": …, "parameters": {…}}                              Llama 3, whose whole answer it is
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallSyntax:
    """`begin` and `end` are around a call, or a list of calls; `separator` between two calls.

    Where `begin` is a control token, it is no part of the text; but under all syntaxes a call of a known tool may stand
    at the beginning of the answer without it, within a fence or not: small models forget it.
    """

    name: str
    begin: str
    end: str
    separator: str
    key: str = "arguments"
    opener: str = ""
    closer: str = ""
    id_length: int = 24


HERMES = CallSyntax("hermes", "<tool_call>", "</tool_call>", "\n")
MISTRAL = CallSyntax("mistral", "[TOOL_CALLS]", "", ", ", opener="[", closer="]", id_length=9)
LLAMA = CallSyntax("llama", "<|python_tag|>", "", "; ", key="parameters")


def syntax_of(template: str | None) -> CallSyntax:
    """Hermes is what we ask for where the template says nothing."""
    if template is None or "<tool_call>" in template:
        return HERMES
    if "[TOOL_CALLS]" in template:
        return MISTRAL
    if "<|python_tag|>" in template or ("ipython" in template and '"parameters"' in template):
        return LLAMA
    return HERMES
