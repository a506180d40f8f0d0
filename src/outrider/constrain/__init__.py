"""Constraints on what is generated, from JSON schemas, regular expressions and grammars.

    from outrider import LLM, constrain

    llm.generate("…", constraint=constrain.json_schema({"type": "object", …}))
"""

from outrider.constrain.grammar import Grammar, choice, json_object, json_schema, lark, regex

__all__ = ["Grammar", "choice", "json_object", "json_schema", "lark", "regex"]
