"""`POST /v1/chat/completions`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from outrider.serve.chat_form import CHUNK_KIND, KIND, ChatChunks, choices
from outrider.serve.reading import read_chat
from outrider.serve.respond import head_of, streamed, whole
from outrider.serve.schema.chat import ChatBody
from outrider.serve.service import Service
from outrider.serve.stream import STREAMED


def router(service: Service) -> APIRouter:
    found = APIRouter()

    @found.post("/v1/chat/completions", responses=STREAMED)
    async def chat(body: ChatBody, http: Request) -> Response:
        """The assistant's next message."""
        asked = await read_chat(body, service, http.state.scope)
        head = head_of("chatcmpl", CHUNK_KIND if asked.show.stream else KIND, service)
        if asked.show.stream:
            return await streamed(http, service, asked, ChatChunks(head, asked, service))
        return await whole(http, service, asked, head, choices)

    return found
