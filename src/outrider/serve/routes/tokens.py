"""`POST /tokenize` and `/detokenize`, `GET /tokenizer_info`."""

from __future__ import annotations

from fastapi import APIRouter

from outrider.serve.errors import ApiError
from outrider.serve.messages import plain_messages, template_variables
from outrider.serve.schema.tokens import DetokenizeBody, TokenizeBody
from outrider.serve.service import Service


def router(service: Service) -> APIRouter:
    found = APIRouter()

    @found.post("/tokenize")
    async def tokenize(body: TokenizeBody) -> dict[str, object]:
        """The ids of a text, as a prompt of that text would have them, or of messages."""
        service.check_model(body.model)
        token_n = await service.encode(_text(body, service), special=True)
        if body.add_special_tokens is not False:
            token_n = service.tokenizer.with_bos(token_n)
        told: dict[str, object] = {"count": len(token_n), "max_model_len": service.context, "tokens": token_n}
        if body.return_token_strs:
            told["token_strs"] = [service.tokenizer.piece(token) for token in token_n]
        return told

    @found.post("/detokenize")
    async def detokenize(body: DetokenizeBody) -> dict[str, object]:
        """The text of ids, control tokens included."""
        service.check_model(body.model)
        service.check_ids(body.tokens, "tokens")
        text = service.tokenizer.decode(body.tokens, skip_special=False)
        return {"prompt": text, "content": text}

    @found.get("/tokenizer_info")
    async def info() -> dict[str, object]:
        """What clients need that take our tokenizer for theirs: the control tokens and the chat template."""
        tokenizer = service.tokenizer
        end = _piece(tokenizer.eos_id, service)
        return {"bos_token": _piece(tokenizer.bos_id, service), "eos_token": end, "pad_token": end,
                "chat_template": tokenizer.template,
                "vocab_size": tokenizer.vocab_size, "max_model_len": service.context}

    return found


def _piece(token: int | None, service: Service) -> str | None:
    return None if token is None else service.tokenizer.piece(token)


def _text(body: TokenizeBody, service: Service) -> str:
    given = [item for item in (body.prompt, body.content, body.messages) if item is not None]
    if len(given) != 1:
        raise ApiError(400, "prompt: expected one of prompt, content and messages", param="prompt",
                       code="invalid_value")
    if body.messages is None:
        return str(given[0])
    variables = template_variables(body.chat_template_kwargs, service)
    return service.prompts.render(plain_messages(body.messages), variables)
