"""How models write tool calls, and how to tell from a chat template which way it is.

    hermes     <tool_call>\\n{"name": …, "arguments": {…}}\\n</tool_call>     Qwen, Hermes; templates without tools
    coder      <tool_call>\\n<function=…>\\n<parameter=…>\\n…\\n</parameter>\\n</function>\\n</tool_call>    Qwen3-Coder
    mistral    [TOOL_CALLS][{"name": …, "arguments": {…}}, …]                 Mistral
               [TOOL_CALLS]name[ARGS]{…}[TOOL_CALLS]name[ARGS]{…}             the same, newer
    llama      {"name": …, "parameters": {…}}                              Llama 3, whose whole answer it is
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallSyntax:
    """`begin` and `end` are around a call, or a list of calls; `separator` between two calls.

    Where `begin` is a control token, it is no part of the text; but under all syntaxes a call of a known tool may stand
    at the beginning of the answer without it, within a fence or not: small models forget it. `functions`: a call may
    be `<function=…>`, which is held to nothing, since its values are no JSON; and `named`: the name may stand before
    the arguments.
    """

    name: str
    begin: str
    end: str
    separator: str
    key: str = "arguments"
    opener: str = ""
    closer: str = ""
    id_length: int = 24
    functions: bool = False
    named: bool = False


HERMES = CallSyntax("hermes", "<tool_call>", "</tool_call>", "\n")
CODER = CallSyntax("coder", "<tool_call>", "</tool_call>", "\n", functions=True)
MISTRAL = CallSyntax("mistral", "[TOOL_CALLS]", "", ", ", opener="[", closer="]", id_length=9, named=True)
LLAMA = CallSyntax("llama", "<|python_tag|>", "", "; ", key="parameters")


def syntax_of(template: str | None) -> CallSyntax:
    """Hermes is what we ask for where the template says nothing."""
    if template is None or "<tool_call>" in template:
        return CODER if template and "<function=" in template else HERMES
    if "[TOOL_CALLS]" in template:
        return MISTRAL
    if "<|python_tag|>" in template or ("ipython" in template and '"parameters"' in template):
        return LLAMA
    return HERMES
