"""OpenAI's own client, sync and async, against a real model."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

import real_models
from outrider.serve.settings import Settings
from outrider.target.load import load_model
from tiny_server import TinyServer, serving

pytestmark = pytest.mark.real_model
MODEL = "smollm2"
QUESTION = {"role": "user", "content": "List the first ten prime numbers, separated by commas."}
WEATHER = {"role": "user", "content": "What is the weather in Rome?"}


class Weather(BaseModel):
    city: str = Field(max_length=20)
    unit: Literal["celsius", "fahrenheit"]


class Clock(BaseModel):
    zone: Literal["utc", "cet"]


TOOLS = [openai.pydantic_function_tool(Weather), openai.pydantic_function_tool(Clock)]
SETTINGS = Settings(model_names=(MODEL,), api_keys=("secret",))


@pytest.fixture(scope="module")
def real() -> Iterator[TinyServer]:
    model = load_model(real_models.path("smollm2-135m-instruct"), context=2048)
    with serving(SETTINGS, model, drafter="auto", draft_policy="") as server:
        yield server


@pytest.fixture
def client(real: TinyServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{real.url}/v1", api_key="secret", max_retries=0) as client:
        yield client
    real.settle()


def test_answers_and_their_streams_agree(client: openai.OpenAI) -> None:
    asked = {"model": MODEL, "messages": [QUESTION], "max_completion_tokens": 48, "seed": 5, "temperature": 0.7}
    whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2, n=2)
    assert whole.usage is not None and whole.usage.prompt_tokens > 10 and whole.usage.prompt_tokens_details is not None
    told = ["", ""]
    with client.chat.completions.create(**asked, n=2, stream=True, stream_options={"include_usage": True}) as stream:
        for chunk in stream:
            for choice in chunk.choices:
                told[choice.index] += choice.delta.content or ""
            usage = chunk.usage
    assert told == [choice.message.content for choice in whole.choices]
    assert usage is not None and usage.completion_tokens == whole.usage.completion_tokens
    entries = whole.choices[0].logprobs
    assert entries is not None and entries.content is not None
    spoken = b"".join(bytes(entry.bytes or []) for entry in entries.content).decode()
    assert spoken.removesuffix("<|im_end|>") == whole.choices[0].message.content
    assert told[0] != told[1]


def test_speculation_changes_nothing_and_is_reported(client: openai.OpenAI) -> None:
    text = "def add(a, b):\n    return a + b\n\n" * 3
    asked = {"model": MODEL, "prompt": text, "max_tokens": 64, "temperature": 0.3, "seed": 11}
    fast = client.completions.create(**asked)
    plain = client.completions.create(**asked, extra_body={"speculation": {"enabled": False}})
    assert fast.choices[0].text == plain.choices[0].text
    counts = [answer.model_extra["metrics"]["speculative_decoding"] for answer in (fast, plain) if answer.model_extra]
    assert counts[1]["num_draft_tokens"] == 0 and counts[0]["num_spec_steps"] <= counts[1]["num_spec_steps"]


def test_predictions_are_accepted_and_counted(client: openai.OpenAI) -> None:
    asked = {"model": MODEL, "messages": [QUESTION], "max_tokens": 64, "temperature": 0,
             "extra_body": {"speculation": {"drafter": "suffix"}}}
    plain = client.chat.completions.create(**asked)
    text = plain.choices[0].message.content or ""
    told = client.chat.completions.create(**asked, prediction={"type": "content", "content": text})
    assert told.choices[0].message.content == text
    assert told.usage is not None and told.usage.completion_tokens_details is not None
    assert told.usage.completion_tokens_details.accepted_prediction_tokens is not None
    assert plain.usage is not None and plain.usage.completion_tokens_details is None


@pytest.mark.parametrize("choice, names", [
    ("required", {"Weather", "Clock"}), ({"type": "function", "function": {"name": "Clock"}}, {"Clock"})])
def test_tools_that_must_be_called_are(client: openai.OpenAI, choice: Any, names: set[str]) -> None:
    asked = {"model": MODEL, "messages": [WEATHER], "max_tokens": 96, "temperature": 1.0, "seed": 4, "tools": TOOLS,
             "tool_choice": choice, "parallel_tool_calls": False}
    whole = client.chat.completions.create(**asked)
    assert whole.choices[0].finish_reason == "tool_calls" and whole.choices[0].message.content is None
    (call,) = whole.choices[0].message.tool_calls or ()
    assert call.type == "function" and call.function.name in names and call.id
    {"Weather": Weather, "Clock": Clock}[call.function.name].model_validate_json(call.function.arguments)
    with client.chat.completions.create(**asked, stream=True) as stream:
        deltas = [item for chunk in stream for item in chunk.choices[0].delta.tool_calls or ()]
    assert [item.id for item in deltas if item.id] and {item.index for item in deltas} == {0}
    assert "".join((item.function and item.function.arguments) or "" for item in deltas) == call.function.arguments
    result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
    talk = {**asked, "messages": [WEATHER, whole.choices[0].message, result], "tool_choice": "none"}
    told = client.chat.completions.create(**talk).choices[0].message
    assert told.content and not told.tool_calls


def test_answers_are_parsed_into_the_model_that_was_given(client: openai.OpenAI) -> None:
    asked = {"model": MODEL, "messages": [WEATHER], "max_tokens": 96, "seed": 4, "response_format": Weather}
    found = client.chat.completions.parse(**asked).choices[0].message
    assert isinstance(found.parsed, Weather) and json.loads(found.content or "") == found.parsed.model_dump()
    plain = client.chat.completions.parse(**asked, extra_body={"speculation": {"enabled": False}})
    assert plain.choices[0].message.content == found.content


def test_errors_are_those_that_the_client_knows(client: openai.OpenAI, real: TinyServer) -> None:
    with pytest.raises(openai.NotFoundError, match="smollm2") as missing:
        client.chat.completions.create(model="gpt-5", messages=[QUESTION])
    assert missing.value.code == "model_not_found" and missing.value.param == "model"
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model=MODEL, messages=[QUESTION], temperature=-3)
    assert bad.value.param == "temperature" and bad.value.request_id
    with pytest.raises(openai.BadRequestError, match="allowed"):
        client.completions.create(model=MODEL, prompt="word " * 4000)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{real.url}/v1", api_key="wrong", max_retries=0).models.list()
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def test_a_stream_that_is_closed_ends(client: openai.OpenAI, real: TinyServer) -> None:
    asked = {"model": MODEL, "prompt": "Once upon a time", "max_tokens": 1500, "stream": True,
             "extra_body": {"ignore_eos": True}}
    with client.completions.create(**asked) as stream:
        assert len(list(itertools.islice(stream, 3))) == 3
    real.settle()


def test_many_at_once_get_what_each_gets_alone(real: TinyServer) -> None:
    async def ask(client: openai.AsyncOpenAI, seed: int) -> str:
        answer = await client.chat.completions.create(model=MODEL, messages=[QUESTION], max_tokens=24, seed=seed)
        return answer.choices[0].message.content or ""

    async def told(client: openai.AsyncOpenAI, seed: int) -> str:
        stream = await client.chat.completions.create(model=MODEL, messages=[QUESTION], max_tokens=24, seed=seed,
                                                      stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=f"{real.url}/v1", api_key="secret", max_retries=0) as client:
            alone = [await ask(client, seed) for seed in range(6)]
            cancelled = asyncio.create_task(ask(client, 99))
            together = asyncio.gather(*(told(client, seed) for seed in range(6)))
            await asyncio.sleep(0.05)
            cancelled.cancel()
            assert await together == alone

    asyncio.run(main())
    real.settle()
