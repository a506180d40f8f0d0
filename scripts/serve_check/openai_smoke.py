"""The official client against a server: everything that its users do. Usage: openai_smoke.py URL MODEL (key: secret).

The server has to allow few answers at once (`--max-sequences 4 --max-waiting 4`) and small bodies (`--max-body-mib 1`),
so that its refusals can be seen too.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import time
import urllib.request
from typing import Literal

import openai
from openai.lib.streaming.chat import ChunkEvent
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, Field

KEY = "secret"
QUESTION = {"role": "user", "content": "What is the weather in Rome?"}
RESULT = '{"sky": "clear", "degrees": 21}'


class Weather(BaseModel):
    """The weather of a city."""

    city: str = Field(max_length=20)
    unit: Literal["celsius", "fahrenheit"]


class Clock(BaseModel):
    """The time of a zone."""

    zone: Literal["utc", "cet"]


class Person(BaseModel):
    name: str = Field(max_length=12)
    age: int = Field(ge=0, le=120)


class Team(BaseModel):
    people: list[Person] = Field(min_length=1, max_length=2)
    kind: Literal["work", "play"]
    place: str | None = Field(max_length=12)


TOOLS = [openai.pydantic_function_tool(Weather), openai.pydantic_function_tool(Clock)]


class Check:
    """One server as its clients see it."""

    def __init__(self, url: str, model: str) -> None:
        self.url, self.model = url, model
        self.client = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)
        self.asked = {"model": model, "messages": [QUESTION], "max_completion_tokens": 64, "seed": 3,
                      "temperature": 0.7}

    def answers(self) -> None:
        """Whole and streamed the same; usage, log-probabilities, several choices, the older route, models, ids."""
        whole = self.client.chat.completions.create(**self.asked, n=2, logprobs=True, top_logprobs=3)
        told, usage = ["", ""], None
        with self.client.chat.completions.create(**self.asked, n=2, stream=True,
                                                 stream_options={"include_usage": True}) as stream:
            for chunk in stream:
                for choice in chunk.choices:
                    told[choice.index] += choice.delta.content or ""
                usage = chunk.usage
        assert told == [choice.message.content for choice in whole.choices] and all(told), (told, whole)
        assert usage and whole.usage and usage.completion_tokens == whole.usage.completion_tokens > 2
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        entries = whole.choices[0].logprobs.content
        assert all(len(entry.top_logprobs) == 3 and entry.logprob <= 0 for entry in entries)
        assert b"".join(bytes(entry.bytes) for entry in entries).decode().startswith(told[0])
        text = self.client.completions.create(model=self.model, prompt=["One two", "Red"], max_tokens=4, logprobs=2,
                                              echo=True, temperature=0)
        assert [choice.text[:3] for choice in text.choices] == ["One", "Red"]
        assert text.choices[0].logprobs.token_logprobs[0] is None and text.usage.completion_tokens == 8
        raw = self.client.models.with_raw_response.list()
        assert raw.headers["x-request-id"] and [item.id for item in raw.parse()] == [self.model]
        assert self.client.models.retrieve(self.model).id == self.model

    def tools(self) -> None:
        """Required, named, parallel, auto, none; whole and in deltas; and the turn behind the tool's result."""
        called = self.client.chat.completions.create(**self.asked, tools=TOOLS, tool_choice="required",
                                                     parallel_tool_calls=False)
        assert len(_calls(called)) == 1
        named = {"type": "function", "function": {"name": "Clock"}}
        (clock,) = _calls(self.client.chat.completions.create(**self.asked, tools=TOOLS, tool_choice=named))
        assert clock.function.name == "Clock" and json.loads(clock.function.arguments)["zone"] in ("utc", "cet")
        pieces, reasons = {}, set()
        plain = {"speculation": {"enabled": False}}  # the same call is drafted as a whole by now, and comes as a whole
        for chunk in self.client.chat.completions.create(**self.asked, tools=TOOLS, tool_choice="required",
                                                         parallel_tool_calls=False, stream=True, extra_body=plain):
            reasons.add(chunk.choices[0].finish_reason)
            for call in chunk.choices[0].delta.tool_calls or ():
                entry = pieces.setdefault(call.index, {"id": call.id, "name": call.function.name, "arguments": []})
                entry["arguments"].append(call.function.arguments)
        (first,) = _calls(called)
        assert list(pieces) == [0] and pieces[0]["id"] and reasons == {None, "tool_calls"}, (pieces, reasons)
        assert (pieces[0]["name"], "".join(pieces[0]["arguments"])) == (first.function.name, first.function.arguments)
        assert len(pieces[0]["arguments"]) > 2, "arguments come as they are written"
        self._second_turn(called)
        several = self.client.chat.completions.create(**{**self.asked, "max_completion_tokens": 400}, tools=TOOLS,
                                                      tool_choice="required")
        assert len({call.id for call in _calls(several)}) == len(_calls(several)) >= 1
        for choice in ("auto", "none"):
            free = self.client.chat.completions.create(**self.asked, tools=TOOLS, tool_choice=choice).choices[0]
            assert bool(free.message.tool_calls) == (free.finish_reason == "tool_calls")
            assert free.message.content or choice == "auto"

    def _second_turn(self, called: ChatCompletion) -> None:
        message = called.choices[0].message
        talk = [QUESTION, message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": RESULT}]
        answer = self.client.chat.completions.create(**{**self.asked, "messages": talk}, tools=TOOLS)
        assert answer.choices[0].message.content or answer.choices[0].message.tool_calls
        longer = self.client.chat.completions.create(**self.asked, tools=TOOLS).usage.prompt_tokens
        assert answer.usage.prompt_tokens > longer, "the call and its result are read"

    def forms(self) -> None:
        """Structured output: by schema, by pydantic model, streamed, an object of any kind, tools parsed."""
        asked = {**self.asked, "max_completion_tokens": 300, "messages": [{"role": "user", "content": "Name a team."}]}
        parsed = self.client.chat.completions.parse(**asked, response_format=Team)
        team = parsed.choices[0].message.parsed
        assert isinstance(team, Team) and parsed.choices[0].finish_reason == "stop"
        with self.client.chat.completions.stream(**asked, response_format=Team) as stream:
            num_chunks = sum(isinstance(event, ChunkEvent) for event in stream)
            assert stream.get_final_completion().choices[0].message.parsed == team and num_chunks > 3
        form = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": {
            "type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}, "required": ["name"],
            "additionalProperties": False}}}
        plain = self.client.chat.completions.create(**asked, response_format=form)
        assert json.loads(plain.choices[0].message.content).keys() == {"name"}
        loose = self.client.chat.completions.create(**asked, response_format={"type": "json_object"}).choices[0]
        assert loose.finish_reason == "length" or isinstance(json.loads(loose.message.content), dict)
        called = self.client.chat.completions.parse(**asked, tools=TOOLS, tool_choice={
            "type": "function", "function": {"name": "Weather"}})
        assert isinstance(called.choices[0].message.tool_calls[0].function.parsed_arguments, Weather)
        try:
            self.client.chat.completions.parse(**{**asked, "max_completion_tokens": 3}, response_format=Team)
            raise AssertionError("an answer that is cut off was taken for whole")
        except openai.LengthFinishReasonError as error:
            assert error.completion.usage.completion_tokens == 3

    def errors(self) -> None:
        """Each status as the class that the client has for it, with the field at fault."""
        wrong = openai.OpenAI(base_url=self.url, api_key="wrong", max_retries=0)
        schema = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "magic"}}}
        endless = {"model": self.model, "prompt": "Once", "max_tokens": 1500, "stream": True, "n": 4,
                   "extra_body": {"ignore_eos": True}}
        long = {**QUESTION, "content": "a b " * 3000}
        refused = [
            (openai.BadRequestError, 400, "temperature", self.client, {"temperature": -1}),
            (openai.BadRequestError, 400, "messages", self.client, {"messages": []}),
            (openai.BadRequestError, 400, "messages", self.client, {"messages": [long]}),
            (openai.BadRequestError, 400, "response_format", self.client, {"response_format": schema}),
            (openai.BadRequestError, 400, "tool_choice", self.client, {"tool_choice": "required"}),
            (openai.BadRequestError, 400, "modalities", self.client, {"modalities": ["audio"]}),
            (openai.AuthenticationError, 401, None, wrong, {}),
            (openai.NotFoundError, 404, "model", self.client, {"model": "gpt-5"}),
            (openai.APIStatusError, 413, None, self.client, {"messages": [{**QUESTION, "content": "a" * 2**20}]})]
        for kind, status, param, client, change in refused:
            _expect(kind, status, param, client, {**self.asked, **change})
        with self.client.completions.create(**endless) as stream:
            next(iter(stream))
            _expect(openai.RateLimitError, 429, None, self.client, {**self.asked, "n": 5})
        self.settle()
        try:
            self.client.with_options(timeout=0.2).completions.create(**{**endless, "stream": False})
            raise AssertionError("the client's own limit did not end the request")
        except openai.APITimeoutError:
            self.settle()

    def cancelled(self) -> None:
        """A stream that is closed frees its place at once."""
        stream = self.client.completions.create(model=self.model, prompt="Once upon a time", max_tokens=1500,
                                                stream=True, extra_body={"ignore_eos": True})
        assert len(list(itertools.islice(stream, 3))) == 3 and self._num_running() == 1
        stream.close()
        self.settle()

    async def together(self) -> None:
        """The asynchronous client: many at once as each alone, structured, tools; tasks that are cancelled."""
        async with openai.AsyncOpenAI(base_url=self.url, api_key=KEY, max_retries=0) as client:
            async def told(seed: int) -> str:
                stream = await client.chat.completions.create(**{**self.asked, "seed": seed}, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            alone = [await told(seed) for seed in range(4)]
            assert list(await asyncio.gather(*map(told, range(4)))) == alone and len({*alone}) > 1
            endless = asyncio.create_task(client.completions.create(
                model=self.model, prompt="Once", max_tokens=1500, extra_body={"ignore_eos": True}))
            while not self._num_running():
                await asyncio.sleep(0.02)
            endless.cancel()
            team, called = await asyncio.gather(
                client.chat.completions.parse(**{**self.asked, "max_completion_tokens": 300}, response_format=Team),
                client.chat.completions.create(**self.asked, tools=TOOLS, tool_choice="required",
                                               parallel_tool_calls=False))
            assert isinstance(team.choices[0].message.parsed, Team) and len(_calls(called)) == 1
            try:
                await client.chat.completions.create(**{**self.asked, "top_p": 7})
                raise AssertionError("top_p 7 was taken")
            except openai.BadRequestError as error:
                assert error.param == "top_p"
        self.settle()

    def settle(self) -> None:
        """Until the server counts nothing that runs or waits."""
        end_s = time.monotonic() + 60
        while self._num_running():
            assert time.monotonic() < end_s, "an answer that nobody reads goes on"
            time.sleep(0.05)

    def _num_running(self) -> int:
        request = urllib.request.Request(f"{self.url.removesuffix('/v1')}/metrics",
                                         headers={"authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
        found = re.findall(r"^vllm:num_requests_(?:running|waiting)\S* (\S+)$", text, re.MULTILINE)
        assert len(found) == 2, text
        return round(sum(map(float, found)))


def _calls(answer: ChatCompletion) -> list:
    """The calls of an answer that must consist of them, each of them well-formed."""
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls" and not choice.message.content, choice
    for call in choice.message.tool_calls:
        {"Weather": Weather, "Clock": Clock}[call.function.name].model_validate_json(call.function.arguments)
        assert call.id and call.type == "function"
    return choice.message.tool_calls


def _expect(kind: type[openai.APIStatusError], status: int, param: str | None, client: openai.OpenAI,
            asked: dict[str, object]) -> None:
    try:
        client.chat.completions.create(**asked)
    except openai.APIStatusError as error:
        assert type(error) is kind and error.status_code == status, f"{error!r}, expected {kind.__name__}"
        assert error.request_id and (error.param or "").split(".")[0].split("[")[0] == (param or ""), error.body
        return
    raise AssertionError(f"expected {kind.__name__} for {param}")


def main(url: str, model: str) -> None:
    check = Check(url, model)
    for part in (check.answers, check.tools, check.forms, check.errors, check.cancelled):
        begin_s = time.monotonic()
        part()
        print(f"openai: {part.__name__} as they should be ({time.monotonic() - begin_s:.1f} s)", flush=True)
    asyncio.run(check.together())
    print("openai: the asynchronous client too; nothing is left running")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
