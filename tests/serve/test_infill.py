"""`/infill` and `suffix`: a gap filled as the engine fills it, in llama.cpp's names."""

from __future__ import annotations

import copy
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from outrider import LLM
from outrider.io.infill_tokens import InfillTokens
from outrider.target.load import LoadedModel
from tiny_engine import VOCAB, target_of, tiny_tokenizer
from tiny_server import TinyServer, error_of, serving

MARKS = InfillTokens(VOCAB - 4, VOCAB - 3, VOCAB - 2, VOCAB - 6, VOCAB - 5,
                     frozenset(range(VOCAB - 6, VOCAB - 1)))
PATH = "/infill"
FIELDS = ["content", "timings/prompt_n", "timings/prompt_ms", "timings/prompt_per_token_ms",
          "timings/prompt_per_second", "timings/predicted_n", "timings/predicted_ms",
          "timings/predicted_per_token_ms", "timings/predicted_per_second", "truncated", "tokens_cached"]


def coder() -> LoadedModel:
    tokenizer = copy.copy(tiny_tokenizer())
    tokenizer.infill = MARKS
    return LoadedModel("coder", target_of(), tokenizer)


@pytest.fixture(scope="module")
def shared_coder() -> Iterator[TinyServer]:
    with serving(model=coder()) as server:
        yield server


@pytest.fixture
def coding(shared_coder: TinyServer) -> Iterator[TinyServer]:
    yield shared_coder
    shared_coder.settle()


def body(**changes: Any) -> dict[str, Any]:
    """What llama.vim sends when a cursor moves."""
    return {"input_prefix": "ab cd\n", "input_suffix": "\nef\n", "input_extra": [], "prompt": "  xy", "n_predict": 16,
            "n_indent": 0, "top_k": 40, "top_p": 0.99, "stream": False, "samplers": ["top_k", "top_p", "temperature"],
            "temperature": 0.0, "cache_prompt": True, "t_max_prompt_ms": 500, "t_max_predict_ms": 60000, **changes}


def filled(before: str, behind: str, most: int) -> str:
    """The same by the library, plainly decoded."""
    encode = tiny_tokenizer().encode
    token_n = [MARKS.prefix, *encode(before, special=False), MARKS.suffix, *encode(behind, special=False), MARKS.middle]
    with LLM(coder(), drafter="none") as llm:
        return llm.generate([token_n], max_tokens=most, stop_ids=tuple(sorted(MARKS.ends)))[0].text


def test_an_infill_is_the_engines_answer(coding: TinyServer) -> None:
    found = coding.answer(PATH, **body())
    assert found["content"] == filled("ab cd\n  xy", "\nef\n", 16)
    assert found["stop"] and found["model"] == "coder" and not found["truncated"]
    assert found["tokens_evaluated"] == 3 + 10 + 4 and found["tokens_predicted"] == len(found["tokens"])
    assert found["tokens_cached"] == found["tokens_evaluated"] + found["tokens_predicted"]
    assert found["generation_settings"]["n_ctx"] == coding.service.context
    timings = found["timings"]
    assert timings["prompt_n"] + timings["cache_n"] == found["tokens_evaluated"]
    assert timings["prompt_ms"] > 0 and timings["predicted_n"] == found["tokens_predicted"]


def test_only_the_fields_that_are_asked_for(coding: TinyServer) -> None:
    found = coding.answer(PATH, **body(response_fields=[*FIELDS, "timings/nothing", "content/x"]))
    assert sorted(found) == sorted(FIELDS)
    assert coding.answer(PATH, **body(response_fields=[""])) == {}


def test_reading_only_warms_what_others_need(coding: TinyServer) -> None:
    extra = [{"text": "abcdefgh " * 12, "filename": "a.py", "time": [1, 2]}, {"text": "xyz " * 8}]
    cold = body(input_prefix="", input_suffix="", prompt="", n_predict=0, samplers=[], input_extra=extra)
    warm = coding.answer(PATH, **cold)
    assert warm["content"] == "" and warm["tokens_predicted"] == 0 and warm["timings"]["cache_n"] == 0
    found = coding.answer(PATH, **body(input_extra=extra))
    assert found["timings"]["cache_n"] > 100
    again = coding.answer(PATH, **body(input_extra=extra, prompt="  xyz"))
    assert again["timings"]["cache_n"] >= found["timings"]["cache_n"]
    shown = coding.post("/detokenize", {"tokens": [1, 2]})
    assert shown.status_code == 200


def test_a_stream_joined_is_the_document(coding: TinyServer) -> None:
    wanted = coding.answer(PATH, **body(n_predict=40))
    found = coding.post(PATH, body(n_predict=40, stream=True))
    assert found.status_code == 200 and found.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in found.text.split("\n") if line]
    assert "".join(event["content"] for event in events) == wanted["content"]
    assert [event["stop"] for event in events] == [False] * (len(events) - 1) + [True]
    assert events[-1]["timings"]["predicted_n"] == wanted["tokens_predicted"]


def test_stops_and_the_infill_sampler(coding: TinyServer) -> None:
    text = coding.answer(PATH, **body(n_predict=40))["content"]
    stop = text[3:5]
    found = coding.answer(PATH, **body(n_predict=40, stop=[stop]))
    assert found["content"] == text[: text.index(stop)] and found["stop_type"] == "word"
    weighed = coding.answer(PATH, **body(n_predict=40, samplers=["top_k", "top_p", "infill"]))
    assert text.startswith(weighed["content"])
    assert text.startswith(coding.answer(PATH, **body(n_predict=40, top_k=-1, samplers=["infill"]))["content"])


def test_an_older_infill_of_the_same_slot_answers_with_what_it_has(coding: TinyServer) -> None:
    answers: list[httpx.Response] = []
    slow = body(n_predict=1500, id_slot=0, ignore_eos=True, samplers=["temperature"], temperature=1.0)
    older = threading.Thread(target=lambda: answers.append(coding.post(PATH, slow)))
    older.start()
    while not coding.service.llm.llm.engine.has_work:
        time.sleep(0.001)
    assert coding.answer(PATH, **body(id_slot=0))["stop_type"] != "superseded"
    older.join()
    assert answers[0].status_code == 200 and answers[0].json()["stop_type"] == "superseded"
    assert answers[0].json()["tokens_predicted"] < 1500


def test_infills_of_others_go_on(coding: TinyServer) -> None:
    answers: list[httpx.Response] = []
    slow = body(n_predict=300, ignore_eos=True)
    threads = [threading.Thread(target=lambda extra=extra: answers.append(coding.post(PATH, {**slow, **extra})))
               for extra in ({}, {}, {"id_slot": 1}, {"id_slot": 2}, {"id_slot": -1}, {"id_slot": -1})]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = coding.answer(PATH, **slow)["content"]
    assert [answer.json()["content"] for answer in answers] == [wanted] * len(threads)


def test_a_suffix_of_a_completion(coding: TinyServer) -> None:
    for prompt in ("ab cd\n  xy", tiny_tokenizer().encode("ab cd\n  xy", special=False)):
        found = coding.answer("/v1/completions", prompt=prompt, suffix="\nef\n", max_tokens=16, temperature=0)
        assert found["choices"][0]["text"] == filled("ab cd\n  xy", "\nef\n", 16)
    echoed = coding.answer("/v1/completions", prompt="ab", suffix="c", max_tokens=4, temperature=0, echo=True)
    assert echoed["choices"][0]["text"].startswith("ab")


@pytest.mark.parametrize(("path", "given", "param"), [
    (PATH, {"input_suffix": ""}, "input_prefix"),
    (PATH, body(samplers=["tempreature"]), "samplers"),
    (PATH, body(n=2), "n"),
    (PATH, body(n_predict=-2), "n_predict"),
    (PATH, body(input_extra=[{"filename": "a"}]), "input_extra[0].text"),
    (PATH, body(dry_multiplier=0.8), "dry_multiplier"),
    ("/v1/completions", {"prompt": "a", "suffix": "b", "echo": True, "logprobs": 1}, "suffix"),
    ("/v1/completions", {"prompt": [9999], "suffix": "b"}, "prompt"),
])
def test_mistakes_are_told_by_name(coding: TinyServer, path: str, given: dict[str, Any], param: str) -> None:
    assert error_of(coding.post(path, given), 400)["param"] == param


def test_a_model_without_such_tokens_says_so(server: TinyServer) -> None:
    assert error_of(server.post(PATH, body()), 400)["param"] == "input_prefix"
    error = error_of(server.post("/v1/completions", {"prompt": "a", "suffix": "b"}), 400)
    assert error["param"] == "suffix" and "filling in the middle" in error["message"]
