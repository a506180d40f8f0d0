"""Structured output on a real model: valid, and the same with drafts as without."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from outrider import LLM, constrain
from outrider.core.request import Result
from real_models import path

pytestmark = pytest.mark.real_model
BOOK = constrain.json_schema({
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 40}, "year": {"type": "integer", "minimum": 1900, "maximum": 2030},
        "genres": {"type": "array", "items": {"enum": ["novel", "poetry", "essay"]}, "minItems": 1, "maxItems": 2},
        "author": {"$ref": "#/$defs/person"}},
    "required": ["title", "year", "genres", "author"],
    "additionalProperties": False,
    "$defs": {"person": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}},
                         "required": ["name"], "additionalProperties": False}},
})
MESSAGES = [{"role": "user", "content": "Describe a book as JSON with title, year, genres and author."}]


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(path("smollm2-135m-instruct"), drafter="auto", context=1024) as made:
        yield made


def ask(llm: LLM, temperature: float, **options: object) -> Result:
    return llm.chat(MESSAGES, constraint=BOOK, temperature=temperature, seed=5, max_tokens=200, **options)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_are_valid_and_identical(llm: LLM, temperature: float) -> None:
    plain = ask(llm, temperature, speculation={"enabled": False})
    found = ask(llm, temperature)
    assert found.ids == plain.ids and found.finish_reason == "stop"
    book = json.loads(found.text)
    assert book.keys() == {"title", "year", "genres", "author"} and 1900 <= book["year"] <= 2030
    assert {*book["genres"]} <= {"novel", "poetry", "essay"} and len(book["author"]["name"]) <= 20


def test_choices_and_expressions_are_met(llm: LLM) -> None:
    assert llm.generate("The sky is", constraint=constrain.choice([" blue", " red"])).text in (" blue", " red")
    date = llm.generate("Today is ", constraint=constrain.regex(r"20\d\d-[01]\d-[0-3]\d"), temperature=1.0, seed=2)
    assert len(date.text) == 10 and date.finish_reason == "stop"
