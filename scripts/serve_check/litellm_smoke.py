"""litellm as a client: an answer, a stream, a tool, an error. Usage: litellm_smoke.py URL MODEL (key: secret)."""

from __future__ import annotations

import asyncio
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would fetch one

import litellm

TOOL = {"type": "function", "function": {
    "name": "weather", "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"],
                   "additionalProperties": False}}}
MESSAGES = [{"role": "user", "content": "What is the weather in Rome?"}]


def main(url: str, model: str) -> None:
    given = {"model": f"openai/{model}", "api_base": url, "api_key": "secret", "messages": MESSAGES,
             "max_tokens": 64, "temperature": 0}
    whole = litellm.completion(**given)
    told = "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(**given, stream=True))
    assert told == whole.choices[0].message.content and whole.usage.completion_tokens > 0
    called = litellm.completion(**given, tools=[TOOL], tool_choice="required")
    assert called.choices[0].message.tool_calls[0].function.name == "weather", called
    again = asyncio.run(litellm.acompletion(**given))
    assert again.choices[0].message.content == told
    for change, kind in (({"api_key": "wrong"}, litellm.AuthenticationError),
                         ({"model": "openai/other"}, litellm.NotFoundError),
                         ({"temperature": -1}, litellm.BadRequestError)):
        try:
            litellm.completion(**{**given, **change, "num_retries": 0})
        except kind:
            continue
        raise AssertionError(f"{change}: expected {kind.__name__}")
    bare = {key: value for key, value in given.items() if key != "messages"}
    text = litellm.text_completion(**bare, prompt="One two")
    assert text.choices[0].text
    print("litellm: answers, streams, tools and errors are as they should be")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
