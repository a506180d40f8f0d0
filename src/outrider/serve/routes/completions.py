"""`POST /v1/completions`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from outrider.serve.completion_form import KIND, CompletionChunks, choices
from outrider.serve.reading import read_completion
from outrider.serve.respond import head_of, streamed, whole
from outrider.serve.schema.completions import CompletionBody
from outrider.serve.service import Service
from outrider.serve.stream import STREAMED


def router(service: Service) -> APIRouter:
    found = APIRouter()

    @found.post("/v1/completions", responses=STREAMED)
    async def complete(body: CompletionBody, http: Request) -> Response:
        """Prompts continued as they stand."""
        asked = await read_completion(body, service, http.state.scope)
        head = head_of("cmpl", KIND, service)
        if asked.show.stream:
            return await streamed(http, service, asked, CompletionChunks(head, asked, service))
        return await whole(http, service, asked, head, choices)

    return found
