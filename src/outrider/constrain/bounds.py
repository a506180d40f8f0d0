"""What a grammar may cost: bounds on its size, and on the few keywords whose price grows out of all proportion.

llguidance bounds most of its own work (`LIMITS`), but not whether two patterns can both hold of one text, which doubles
with every pattern more, nor divisibility, which takes a state for every remainder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from math import lcm

import llguidance

from outrider.constrain.grammar import Grammar
from outrider.errors import RequestError

MAX_CHARACTERS = 128 * 1024
MAX_PROPERTIES = 400  # of one object
MAX_REMAINDERS = 10_000
MAX_PATTERNS = 6  # that may have to hold of one text
_BESIDE = {"$ref", "$defs", "definitions", "title", "description", "x-guidance"}  # no schemas to join a reference with
_PATTERNS = ("pattern", "format", "patternProperties")


def limits() -> llguidance.LLParserLimits:
    """A few megabytes and about a tenth of a second to begin with, some milliseconds a token."""
    return llguidance.LLParserLimits(initial_lexer_fuel=500_000, max_lexer_states=50_000, max_grammar_size=100_000,
                                     verbose_errors=False)


def check(grammar: Grammar) -> None:
    """Raises: RequestError naming the grammar's field."""
    if len(grammar.text) > MAX_CHARACTERS:
        raise RequestError(f"{grammar.field}: has {len(grammar.text)} characters, expected at most {MAX_CHARACTERS}")
    if grammar.kind == "json":
        try:
            schema = json.loads(grammar.text)
        except (ValueError, RecursionError) as error:
            raise RequestError(f"{grammar.field}: expected a JSON schema: {error}") from None
        _check_schema(schema, grammar.field)


def _check_schema(schema: object, field: str) -> None:
    objects = list(_objects(schema))
    for item in objects:
        for name, most in (("properties", MAX_PROPERTIES), ("patternProperties", MAX_PATTERNS)):
            _check_count(f"{field}: {name}", item.get(name), most)
    # Patterns of different places meet in one text where schemas are joined, by allOf or beside a reference.
    joined = any("allOf" in item or ("$ref" in item and not item.keys() <= _BESIDE) for item in objects)
    patterns = sum(name in item for item in objects for name in _PATTERNS)
    if joined and patterns > MAX_PATTERNS:
        raise RequestError(f"{field}: has {patterns} patterns and formats and joins schemas by allOf or $ref, expected "
                           f"at most {MAX_PATTERNS}: write the joined schemas as one")
    remainders = [_remainders(item["multipleOf"]) for item in objects if "multipleOf" in item]
    if (lcm(*remainders) if joined else max(remainders, default=1)) > MAX_REMAINDERS:
        raise RequestError(f"{field}: multipleOf: expected a number of few digits, at most {MAX_REMAINDERS}")


def _objects(schema: object) -> Iterator[dict[str, object]]:
    """Every JSON object in a schema, whatever it stands for."""
    waiting = [schema]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
        if isinstance(item, dict | list):
            waiting.extend(item.values() if isinstance(item, dict) else item)


def _check_count(what: str, value: object, most: int) -> None:
    if isinstance(value, dict) and len(value) > most:
        raise RequestError(f"{what}: got {len(value)}, expected at most {most} in one object")


def _remainders(value: object) -> int:
    """The states that divisibility by this number takes: 0.25 takes those of 25, 300 takes 300."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return 1  # no valid keyword: the compiler says so
    _, digits, exponent = Decimal(str(value)).normalize().as_tuple()
    assert isinstance(exponent, int), "JSON has finite numbers"
    shift: int = 10 ** max(exponent, 0)
    return int("".join(map(str, digits))) * shift
