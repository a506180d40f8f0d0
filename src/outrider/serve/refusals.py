"""Fields that would change the answer and that are not had here: refused by name, unless they ask for nothing.

Fields that change nothing (`user`, `metadata`, `store` …) and fields that nobody knows are let through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from outrider.serve.errors import refused


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a field is refused; `neutral` are the values that ask for nothing, besides null."""

    why: str
    neutral: tuple[object, ...] = ()


_IN_CHAT = Refusal("only on /v1/chat/completions", ({"type": "text"}, [], "none", "auto"))
_USE_FORMAT = Refusal("not supported; use response_format with a json_schema")
REFUSALS: Mapping[str, Refusal] = {
    "functions": Refusal("the deprecated form is not supported; use tools", ([],)),
    "function_call": Refusal("the deprecated form is not supported; use tool_choice", ("none", "auto")),
    "audio": Refusal("this model answers in text only"),
    "modalities": Refusal("this model answers in text only", (["text"], [])),
    "web_search_options": Refusal("there is no web search here"),
    "reasoning_effort": Refusal("not supported; templates that know thinking take it from chat_template_kwargs"),
    "verbosity": Refusal("not supported; say in the messages how long the answer should be", ("medium",)),
    "use_beam_search": Refusal("beam search is not supported; leave it out", (False,)),
    "num_beams": Refusal("beam search is not supported; leave it out", (1,)),
    "length_penalty": Refusal("belongs to beam search, which is not supported", (1.0,)),
    "response_format": _IN_CHAT,
    "tools": _IN_CHAT,
    "tool_choice": _IN_CHAT,
    "prediction": _IN_CHAT,
    "guided_json": _USE_FORMAT,
    "guided_regex": _USE_FORMAT,
    "guided_choice": _USE_FORMAT,
    "guided_grammar": _USE_FORMAT,
    "structured_outputs": _USE_FORMAT,
    "structural_tag": _USE_FORMAT,
    "grammar": _USE_FORMAT,
    "json_schema": _USE_FORMAT,
    "bad_words": Refusal("not supported; use logit_bias", ([],)),
    "allowed_token_ids": Refusal("not supported; use logit_bias", ([],)),
    "logits_processors": Refusal("code in requests is not run", ([],)),
    "typical_p": Refusal("not supported; use top_p or min_p", (1.0,)),
    "mirostat": Refusal("not supported; use top_p or min_p", (0,)),
    "dry_multiplier": Refusal("not supported; use frequency_penalty", (0.0,)),
    "xtc_probability": Refusal("not supported", (0.0,)),
    "repeat_penalty": Refusal("not known by this name; use repetition_penalty", (1.0,)),
    "n_predict": Refusal("not known by this name; use max_tokens", (-1,)),
    "num_predict": Refusal("not known by this name; use max_tokens", (-1,)),
    "include_stop_str_in_output": Refusal("stop strings are never part of the answer", (False,)),
    "skip_special_tokens": Refusal("control tokens are never part of the text", (True,)),
    "truncate_prompt_tokens": Refusal("prompts are not cut; shorten it"),
    "prompt_logprobs": Refusal("use echo with logprobs on /v1/completions"),
    "prompt_embeds": Refusal("prompts are texts or token ids"),
    "chat_template": Refusal("templates come with the model only"),
    "add_generation_prompt": Refusal("the answer always begins a new turn", (True,)),
    "continue_final_message": Refusal("the answer always begins a new turn", (False,)),
    "documents": Refusal("not supported; put them into the messages", ([],)),
    "lora": Refusal("adapters are not supported", ([],)),
}


def check(extra: Mapping[str, object]) -> None:
    """Raises: ApiError for the first field that is refused."""
    for name, value in extra.items():
        refusal = REFUSALS.get(name)
        if refusal is not None and value is not None and value not in refusal.neutral:
            raise refused(name, refusal.why)
