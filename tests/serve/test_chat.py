"""`/v1/chat/completions` gives what the engine gives, in OpenAI's shapes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from outrider import LLM
from outrider.core.request import Result
from outrider.target.load import LoadedModel
from tiny_engine import target_of
from tiny_server import TinyServer, chatty_tokenizer, error_of, serving, spelling_tokenizer

PATH = "/v1/chat/completions"
MESSAGES = [{"role": "system", "content": "be calm"}, {"role": "user", "content": "abc abc"}]


def offline(**changes: Any) -> Result:
    with LLM(LoadedModel("toy", target_of(), chatty_tokenizer()), drafter="none") as llm:
        return llm.chat(MESSAGES, **changes)


def test_an_answer_is_the_engines(server: TinyServer) -> None:
    found = server.answer(PATH, model="toy", messages=MESSAGES, max_completion_tokens=20, temperature=0.8, seed=7, n=2)
    wanted = offline(max_tokens=20, temperature=0.8, seed=7, n=2)
    assert [choice["message"]["content"] for choice in found["choices"]] == [item.text for item in wanted.samples]
    assert [choice["finish_reason"] for choice in found["choices"]] == [item.finish_reason for item in wanted.samples]
    assert found["object"] == "chat.completion" and found["choices"][0]["message"]["role"] == "assistant"
    assert found["usage"]["prompt_tokens"] == len(wanted.prompt_ids)
    assert "completion_tokens_details" not in found["usage"]


def test_a_stream_begins_with_roles_and_ends_with_reasons(server: TinyServer) -> None:
    body: dict[str, Any] = {"messages": MESSAGES, "max_tokens": 20, "temperature": 0.8, "seed": 7, "n": 2}
    document = server.answer(PATH, **body)
    deltas: dict[int, list[dict[str, Any]]] = {0: [], 1: []}
    for event in server.events(PATH, **body):
        assert event["object"] == "chat.completion.chunk"
        (choice,) = event["choices"]
        deltas[choice["index"]].append(choice)
    for choice in document["choices"]:
        first, *middle, last = deltas[choice["index"]]
        assert first["delta"] == {"role": "assistant", "content": ""}
        assert "".join(item["delta"]["content"] for item in middle) == choice["message"]["content"]
        assert all(item["finish_reason"] is None for item in (first, *middle))
        assert (last["delta"], last["finish_reason"]) == ({}, choice["finish_reason"])


def test_logprobs_have_an_entry_for_every_token(server: TinyServer) -> None:
    body: dict[str, Any] = {"messages": MESSAGES, "max_tokens": 6, "temperature": 0, "logprobs": True,
                            "top_logprobs": 2, "ignore_eos": True}
    entries = server.answer(PATH, **body)["choices"][0]["logprobs"]["content"]
    assert len(entries) == 6
    for entry in entries:
        assert bytes(entry["bytes"]).decode() == entry["token"]
        assert entry["top_logprobs"][0]["logprob"] == entry["logprob"] < 0
        assert len(entry["top_logprobs"]) == 2
    streamed = [event["choices"][0]["logprobs"] for event in server.events(PATH, **body)]
    assert [entry for told in streamed if told for entry in told["content"]] == entries
    plain = server.answer(PATH, **body | {"top_logprobs": None})["choices"][0]["logprobs"]["content"]
    assert all(entry["top_logprobs"] == [] for entry in plain)


def test_contents_come_as_texts_or_parts(server: TinyServer) -> None:
    parts = [{"type": "text", "text": "abc"}, {"type": "text", "text": " abc"}]
    body: dict[str, Any] = {"max_tokens": 8, "temperature": 0}
    whole = server.answer(PATH, messages=MESSAGES, **body)
    messages = [{"role": "developer", "content": "be calm"}, {"role": "user", "content": parts}]
    cut = server.answer(PATH, messages=messages, **body)
    assert whole["choices"] == cut["choices"]


def test_templates_get_their_variables(server: TinyServer) -> None:
    plain = server.answer("/tokenize", messages=MESSAGES)
    excited = server.answer("/tokenize", messages=MESSAGES, chat_template_kwargs={"excited": True})
    calm = server.answer("/tokenize", messages=MESSAGES, chat_template_kwargs={"enable_thinking": False})
    assert excited["count"] == plain["count"] + 2 and calm == plain
    asked = server.answer(PATH, messages=MESSAGES, max_tokens=1, chat_template_kwargs={"excited": True})
    assert asked["usage"]["prompt_tokens"] == excited["count"]
    error = error_of(server.post(PATH, {"messages": MESSAGES, "chat_template_kwargs": {"exited": True}}), 400)
    assert "did you mean 'excited'" in error["message"]


@pytest.mark.parametrize(("body", "param"), [
    ({}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "king", "content": "a"}]}, "messages[0].role"),
    ({"messages": [{"content": "a"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
     "messages[0].content[0].type"),
    ({"messages": [*MESSAGES, {"role": "user", "content": 5}]}, "messages[2].content"),
    ({"messages": [{"role": "user", "content": "a" * 5000}]}, "messages"),
    ({"messages": MESSAGES, "top_logprobs": 2}, "top_logprobs"),
    ({"messages": MESSAGES, "logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"messages": MESSAGES, "max_tokens": 0}, "max_tokens"),
    ({"messages": MESSAGES, "functions": [{"name": "f"}]}, "functions"),
    ({"messages": MESSAGES, "modalities": ["text", "audio"]}, "modalities"),
    ({"messages": MESSAGES, "reasoning_effort": "low"}, "reasoning_effort"),
    ({"messages": MESSAGES, "chat_template": "{{ 1 }}"}, "chat_template"),
    ({"messages": MESSAGES, "continue_final_message": True}, "continue_final_message"),
    ({"messages": MESSAGES, "prediction": {"type": "content"}}, "prediction.content"),
])
def test_mistakes_are_told_by_name(server: TinyServer, body: object, param: str) -> None:
    error = error_of(server.post(PATH, body), 400)
    assert error["param"] == param and param in error["message"]


def test_tokens_and_back(server: TinyServer) -> None:
    told = server.answer("/tokenize", prompt="ab cd", return_token_strs=True)
    assert told["tokens"] == server.answer("/tokenize", content="ab cd")["tokens"]
    assert told["count"] == len(told["tokens"]) == 5 and told["token_strs"][2] == "Ġ"
    assert server.answer("/detokenize", tokens=told["tokens"])["prompt"] == "ab cd"
    assert error_of(server.post("/detokenize", {"tokens": [9999]}), 400)["param"] == "tokens"
    assert error_of(server.post("/tokenize", {}), 400)["param"] == "prompt"
    told = server.get("/tokenizer_info").json()
    assert told["eos_token"] == "<eos>" and told["bos_token"] is None and "assistant" in told["chat_template"]


def test_models_health_and_version(server: TinyServer) -> None:
    listed = server.get("/v1/models").json()["data"]
    assert [model["id"] for model in listed] == ["toy"]
    assert server.get("/v1/models/toy").json() == listed[0]
    assert error_of(server.get("/v1/models/a/b"), 404)["code"] == "model_not_found"
    assert server.get("/health").status_code == 200
    assert server.get("/version").json()["version"]
    assert error_of(server.get("/v1/nothing"), 404)["type"] == "not_found_error"
    assert error_of(server.get(PATH), 405)["message"].startswith(f"GET {PATH}")


def test_predictions_are_counted_where_they_are_given(server: TinyServer) -> None:
    body: dict[str, Any] = {"messages": MESSAGES, "max_tokens": 80, "temperature": 1.2, "seed": 3, "ignore_eos": True}
    plain = server.answer(PATH, **body)
    text = plain["choices"][0]["message"]["content"]
    assert "completion_tokens_details" not in plain["usage"]
    told = server.answer(PATH, **body, prediction={"type": "content", "content": text})
    assert told["choices"] == plain["choices"]
    right = told["usage"]["completion_tokens_details"]
    assert 20 < right["accepted_prediction_tokens"] < 80
    wrong_parts = [{"type": "text", "text": "qrst"}, {"type": "text", "text": "uv uv uv"}]
    wrong = server.answer(PATH, **body, prediction={"type": "content", "content": wrong_parts})
    assert wrong["choices"] == plain["choices"]
    assert wrong["usage"]["completion_tokens_details"]["accepted_prediction_tokens"] == 0
    body["speculation"] = {"enabled": False}
    none = server.answer(PATH, **body, prediction={"type": "content", "content": text})
    assert set(none["usage"]["completion_tokens_details"].values()) == {0}
    last = server.events(PATH, **body, prediction={"content": text}, stream_options={"include_usage": True})[-1]
    assert set(last["usage"]["completion_tokens_details"].values()) == {0}


SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA, "strict": True}}


@pytest.fixture(scope="module")
def spelling() -> Iterator[TinyServer]:
    """A toy that can spell JSON."""
    with serving(None, LoadedModel("toy", target_of(), spelling_tokenizer())) as server:
        yield server


def joined(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What a client makes of the deltas of a stream with one choice."""
    message: dict[str, Any] = {"content": "", "calls": {}, "finish_reason": None}
    for event in events:
        (choice,) = event["choices"]
        message["content"] += choice["delta"].get("content", "")
        message["finish_reason"] = choice["finish_reason"] or message["finish_reason"]
        for call in choice["delta"].get("tool_calls", ()):
            known = message["calls"].setdefault(call["index"], {"arguments": ""})
            known["arguments"] += call["function"].pop("arguments")
            known.update(call.get("function", {}), **{key: call[key] for key in ("id", "type") if key in call})
    return message


def test_a_schema_is_kept_whatever_is_drafted(spelling: TinyServer) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "f", "strict": True, "schema": SCHEMA}}
    body: dict[str, Any] = {"messages": MESSAGES, "max_tokens": 200, "temperature": 1, "seed": 4,
                            "response_format": form}
    found = spelling.answer(PATH, **body)["choices"][0]
    assert json.loads(found["message"]["content"])["a"] in ("x", "y") and found["finish_reason"] == "stop"
    plain = spelling.answer(PATH, **body, speculation={"enabled": False})["choices"][0]
    assert plain == found
    assert joined(spelling.events(PATH, **body))["content"] == found["message"]["content"]


def test_tools_are_called_as_they_are_declared(spelling: TinyServer) -> None:
    body: dict[str, Any] = {"messages": MESSAGES, "max_tokens": 400, "temperature": 1, "seed": 4, "tools": [TOOL],
                            "tool_choice": {"type": "function", "function": {"name": "look"}}}
    found = spelling.answer(PATH, **body)["choices"][0]
    (call,) = found["message"]["tool_calls"]
    assert found["finish_reason"] == "tool_calls" and found["message"]["content"] is None
    assert (call["type"], call["function"]["name"]) == ("function", "look") and call["id"]
    assert json.loads(call["function"]["arguments"])["a"] in ("x", "y")
    told = joined(spelling.events(PATH, **body))
    assert told["calls"][0]["arguments"] == call["function"]["arguments"] and told["calls"][0]["name"] == "look"
    assert told["finish_reason"] == "tool_calls" and told["content"] == ""


@pytest.mark.parametrize(("body", "param"), [
    ({"response_format": {"type": "xml"}}, "response_format"),
    ({"response_format": {"type": "json_schema"}}, "response_format"),
    ({"tools": [{"type": "magic"}]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "lok"}}}, "tool_choice"),
    ({"tools": [TOOL], "parallel_tool_calls": "yes"}, "parallel_tool_calls"),
])
def test_malformed_forms_and_tools_are_told_by_name(server: TinyServer, body: dict[str, Any], param: str) -> None:
    error = error_of(server.post(PATH, {"messages": MESSAGES, **body}), 400)
    assert str(error["param"]).startswith(param)
