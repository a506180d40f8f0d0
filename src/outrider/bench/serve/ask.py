"""What a server is asked: a prompt as the body of a request, with settings that not every server takes."""

from __future__ import annotations

import json
from dataclasses import dataclass

from outrider.bench.workload import Prompt

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"
# Settings that are left out where a server refuses them; the first ones go first.
OPTIONAL = ("cache_prompt", "cache_salt", "ignore_eos", "seed", "stream_options")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How answers are to be. `is_fresh`: prompts are not to be found in a cache of prefixes, nor answers in what a
    drafter remembers.
    """

    max_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0
    is_fresh: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a server's model is called, the optional settings that it takes, and what it is told of speculation: None
    leaves that to the server.
    """

    model: str
    taken: frozenset[str]
    speculation: bool | None


def path_of(prompt: Prompt) -> str:
    return COMPLETIONS if prompt.text is not None else CHAT


def body_of(prompt: Prompt, wish: Wish, terms: Terms, salt: str) -> bytes:
    """`salt` keeps apart what the server remembers."""
    optional: dict[str, object] = {"stream_options": {"include_usage": True}, "ignore_eos": True, "seed": wish.seed}
    if wish.is_fresh:
        optional |= {"cache_salt": salt, "cache_prompt": False}
    asked: dict[str, object] = {"model": terms.model, "stream": True, "max_tokens": wish.max_tokens,
                                "temperature": wish.temperature}
    asked |= {name: optional[name] for name in OPTIONAL if name in terms.taken and name in optional}
    if terms.speculation is not None:
        asked["speculation"] = {"enabled": terms.speculation}
    if prompt.text is not None:
        asked["prompt"] = prompt.text
    else:
        asked["messages"] = [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
    return json.dumps(asked).encode()
