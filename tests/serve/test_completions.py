"""`/v1/completions` gives what the engine gives, in OpenAI's shapes."""

from __future__ import annotations

from typing import Any

import pytest

from outrider import LLM
from outrider.core.request import Result
from outrider.target.load import LoadedModel
from tiny_engine import target_of
from tiny_server import TinyServer, chatty_tokenizer, error_of

PATH = "/v1/completions"


def offline(prompts: list[Any], **changes: Any) -> list[Result]:
    """The same by the library, plainly decoded."""
    with LLM(LoadedModel("toy", target_of(), chatty_tokenizer()), drafter="none") as llm:
        return llm.generate(prompts, **changes)


def test_a_completion_is_the_engines_answer(server: TinyServer) -> None:
    found = server.answer(PATH, model="toy", prompt="ab cd", max_tokens=20, temperature=0.8, seed=7, top_p=0.9)
    wanted = offline(["ab cd"], max_tokens=20, temperature=0.8, seed=7, top_p=0.9)[0]
    choice = found["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == (wanted.text, wanted.finish_reason)
    assert found["object"] == "text_completion" and found["id"].startswith("cmpl-") and found["model"] == "toy"
    assert found["usage"] == {"prompt_tokens": 5, "completion_tokens": len(wanted.ids),
                              "total_tokens": 5 + len(wanted.ids), "prompt_tokens_details": {"cached_tokens": 0}}


def test_all_forms_of_prompts(server: TinyServer) -> None:
    tokenizer = server.service.tokenizer
    one, two = tokenizer.encode("ab", special=True), tokenizer.encode("cde", special=True)
    settings = {"max_tokens": 8, "temperature": 0.9, "seed": 3, "n": 2}
    wanted = [sample.text for result in offline(["ab", "cde"], **settings) for sample in result.samples]
    for prompt in (["ab", "cde"], [one, two]):
        found = server.answer(PATH, prompt=prompt, **settings)
        assert [choice["text"] for choice in found["choices"]] == wanted
        assert [choice["index"] for choice in found["choices"]] == [0, 1, 2, 3]
    for single in ("ab", one):
        found = server.answer(PATH, prompt=single, **settings)
        assert [choice["text"] for choice in found["choices"]] == wanted[:2]
    assert found["usage"]["prompt_tokens"] == 2


def test_a_stream_joined_is_the_document(server: TinyServer) -> None:
    body = {"prompt": ["ab ab ab", "xy"], "n": 2, "max_tokens": 24, "temperature": 0.9, "seed": 5, "echo": True}
    document = server.answer(PATH, **body)
    told = {choice["index"]: "" for choice in document["choices"]}
    reasons = {}
    for event in server.events(PATH, **body):
        (choice,) = event["choices"]
        told[choice["index"]] += choice["text"]
        if choice["finish_reason"]:
            reasons[choice["index"]] = choice["finish_reason"]
    assert told == {choice["index"]: choice["text"] for choice in document["choices"]}
    assert reasons == {choice["index"]: choice["finish_reason"] for choice in document["choices"]}


def test_echo_and_logprobs_tell_of_prompt_and_answer(server: TinyServer) -> None:
    found = server.answer(PATH, prompt="abcd", max_tokens=3, temperature=0, echo=True, logprobs=2)
    choice = found["choices"][0]
    told = choice["logprobs"]
    assert choice["text"].startswith("abcd")
    assert len(told["tokens"]) == len(told["token_logprobs"]) == len(told["top_logprobs"]) == 4 + 3
    assert told["token_logprobs"][0] is None and told["top_logprobs"][0] is None
    assert all(value < 0 for value in told["token_logprobs"][1:])
    columns = (told["tokens"][4:], told["token_logprobs"][4:], told["top_logprobs"][4:])
    for token, value, best in zip(*columns, strict=True):
        assert best[token] == value == max(best.values()) and 2 <= len(best) <= 3
    assert told["text_offset"][:5] == [0, 1, 2, 3, 4]
    streamed = server.events(PATH, prompt="abcd", max_tokens=3, temperature=0, logprobs=2)
    tokens = [token for event in streamed for token in event["choices"][0]["logprobs"]["tokens"]]
    assert tokens == told["tokens"][4:]


def test_no_tokens_can_be_asked_for(server: TinyServer) -> None:
    found = server.answer(PATH, prompt="abcd", max_tokens=0, echo=True, logprobs=0)
    choice = found["choices"][0]
    assert choice["text"] == "abcd" and choice["finish_reason"] == "length"
    assert len(choice["logprobs"]["tokens"]) == 4 and found["usage"]["completion_tokens"] == 0


def test_sixteen_tokens_unless_more_are_asked_for(server: TinyServer) -> None:
    assert server.answer(PATH, prompt="a", ignore_eos=True)["usage"]["completion_tokens"] == 16


def test_usage_in_streams(server: TinyServer) -> None:
    body = {"prompt": "abab", "max_tokens": 12, "temperature": 0, "ignore_eos": True}
    assert all("usage" not in event for event in server.events(PATH, **body))
    *events, last = server.events(PATH, **body, stream_options={"include_usage": True})
    assert all(event["usage"] is None for event in events)
    assert last["choices"] == [] and last["usage"]["completion_tokens"] == 12
    assert last["metrics"]["speculative_decoding"]["num_spec_steps"] > 0
    options = {"include_usage": True, "continuous_usage_stats": True}
    counts = [event["usage"]["completion_tokens"] for event in server.events(PATH, **body, stream_options=options)]
    assert counts == sorted(counts) and counts[-1] == 12


def test_stops_and_biases_reach_the_sampling(server: TinyServer) -> None:
    whole = server.answer(PATH, prompt="ab", max_tokens=30, temperature=0, ignore_eos=True)["choices"][0]["text"]
    stop = whole[6:8]
    found = server.answer(PATH, prompt="ab", max_tokens=30, temperature=0, ignore_eos=True, stop=[stop, "zzzzzz"])
    assert found["choices"][0] | {"logprobs": None} == {
        "index": 0, "text": whole[: whole.index(stop)], "finish_reason": "stop", "logprobs": None}
    biased = server.answer(PATH, prompt="ab", max_tokens=5, logit_bias={"3": 100}, seed=-1, min_tokens=5)
    assert biased["choices"][0]["text"] == server.service.tokenizer.decode([3]) * 5


def test_speculation_changes_nothing_but_the_rounds(server: TinyServer) -> None:
    body = {"prompt": "ab ab ab ab ab", "max_tokens": 60, "temperature": 0.5, "seed": 2, "ignore_eos": True}
    fast = server.answer(PATH, **body)
    plain = server.answer(PATH, **body, speculation={"enabled": False})
    assert fast["choices"] == plain["choices"]
    counted = plain["metrics"]["speculative_decoding"]
    assert counted["num_draft_tokens"] == 0 and counted["acceptance_histogram"] == [counted["num_spec_steps"]]
    counted = fast["metrics"]["speculative_decoding"]
    assert counted["num_draft_tokens"] > 0
    assert sum(counted["acceptance_histogram"]) == counted["num_spec_steps"]
    weighted = sum(size * rounds for size, rounds in enumerate(counted["acceptance_histogram"]))
    assert weighted == counted["num_accepted_draft_tokens"]
    error = error_of(server.post(PATH, {**body, "speculation": {"drafter": "sufix"}}), 400)
    assert error["param"] == "speculation" and "did you mean 'suffix'" in error["message"]


def test_drafters_are_told_when_asked(server: TinyServer) -> None:
    body = {"prompt": "ab ab ab ab", "max_tokens": 60, "temperature": 0.3, "seed": 1, "ignore_eos": True}
    pieces, names = [], set()
    for event in server.events(PATH, **body, return_drafters=True):
        told = event["choices"][0]["outrider"]
        assert "".join(told["texts"]) == event["choices"][0]["text"]
        assert len(told["texts"]) == len(told["token_ids"]) == len(told["drafted_by"])
        pieces += told["texts"]
        names |= set(told["drafted_by"])
    assert "".join(pieces) == server.answer(PATH, **body)["choices"][0]["text"]
    assert names == {None, "suffix"}


@pytest.mark.parametrize(("path", "body", "status", "param"), [
    (PATH, {"prompt": ""}, 400, "prompt"),
    (PATH, {"prompt": []}, 400, "prompt"),
    (PATH, {"prompt": [[]]}, 400, "prompt[0]"),
    (PATH, {"prompt": [1, "a"]}, 400, "prompt[1]"),
    (PATH, {"prompt": [[1, 2], [1, -2]]}, 400, "prompt[1][1]"),
    (PATH, {"prompt": {}}, 400, "prompt"),
    (PATH, {"prompt": [9999]}, 400, "prompt"),
    (PATH, {}, 400, "prompt"),
    (PATH, {"prompt": "a", "model": "gpt-4"}, 404, "model"),
    (PATH, {"prompt": "a" * 5000}, 400, "prompt"),
    (PATH, {"prompt": "a", "temperature": -1}, 400, "temperature"),
    (PATH, {"prompt": "a", "temperature": "hot"}, 400, "temperature"),
    (PATH, {"prompt": "a", "top_p": 1e-12}, 400, "top_p"),
    (PATH, {"prompt": "a", "max_tokens": -5}, 400, "max_tokens"),
    (PATH, {"prompt": "a", "logit_bias": {"x" * 99: 1}}, 400, "logit_bias"),
    (PATH, {"prompt": "a", "logit_bias": {"9999": 1}}, 400, "logit_bias"),
    (PATH, {"prompt": "a", "n": 65}, 400, "n"),
    (PATH, {"prompt": "a", "best_of": 3}, 400, "best_of"),
    (PATH, {"prompt": "a", "stop": ""}, 400, "stop"),
    (PATH, {"prompt": "a", "stop": ["b", ""]}, 400, "stop[1]"),
    (PATH, {"prompt": "a", "use_beam_search": True}, 400, "use_beam_search"),
    (PATH, {"prompt": "a", "guided_regex": "a+"}, 400, "guided_regex"),
    (PATH, {"prompt": "a", "speculation": {"drafts": 3}}, 400, "speculation"),
    (PATH, {"prompt": "a", "stream_options": {"include_usage": True}}, 400, "stream_options"),
    (PATH, {"prompt": "a", "stream": True, "echo": True, "logprobs": 1}, 400, "echo"),
])
def test_mistakes_are_told_by_name(server: TinyServer, path: str, body: object, status: int, param: str) -> None:
    error = error_of(server.post(path, body), status)
    assert error["param"] == param and param in error["message"]


def test_fields_that_change_nothing_are_let_through(server: TinyServer) -> None:
    server.answer(PATH, prompt="a", user="anna", metadata={"a": 1}, whatever=[1], suffix=None, best_of=1,
                  use_beam_search=False, stop=None, seed=None, temperature=None)
