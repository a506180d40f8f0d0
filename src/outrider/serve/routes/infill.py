"""`POST /infill`, as llama.cpp's server has it for editors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import ExitStack

from fastapi import APIRouter, Request
from starlette.responses import Response

from outrider.serve.infill_form import InfillAnswer, chosen
from outrider.serve.infill_reading import read_infill
from outrider.serve.infill_turns import Client, Turns
from outrider.serve.reading import scope_of
from outrider.serve.schema.infill import InfillBody
from outrider.serve.service import Service
from outrider.serve.stream import STREAMED, EventStream, while_connected


def router(service: Service) -> APIRouter:
    found = APIRouter()
    turns = Turns()

    @found.post("/infill", responses=STREAMED)
    async def infill(body: InfillBody, http: Request) -> Response:
        """Code for a gap, from what stands around it. A newer one with the same `id_slot`, or the same header
        `x-session-id`, ends an older one, which then answers with what it has."""
        asked = await read_infill(body, service, http.state.scope)
        running = service.start((asked.request,))
        with ExitStack() as stack:
            stack.callback(running.stop)
            turn = stack.enter_context(turns.taken(_client(body, http), running, asked.is_warm))
            answer = InfillAnswer(asked, running, turn, service)
            pieces = answer.pieces()
            fields = body.response_fields or ()
            if not body.stream:
                await while_connected(http.receive, _read(pieces))
                return Response(json.dumps(chosen(answer.document(), fields)), media_type="application/json")
            first = await while_connected(http.receive, _first(pieces))
            events = answer.events(first, pieces, fields)
            return EventStream(_kept(events, stack.pop_all()), done=b"")

    return found


def _client(body: InfillBody, http: Request) -> Client | None:
    """None where nothing says that infills replace each other."""
    session = http.headers.get("x-session-id", "")
    if body.id_slot is not None and body.id_slot >= 0:
        session = f"{session}/{body.id_slot}"
    if not session:
        return None
    address = http.client.host if http.client else ""
    return Client(scope_of(http.state.scope, body.cache_salt), address, session)


async def _read(pieces: AsyncIterator[str]) -> None:
    async for _ in pieces:
        pass


async def _first(pieces: AsyncIterator[str]) -> str:
    """Nothing where there is no text at all."""
    return await anext(pieces, "")


async def _kept(events: AsyncIterator[bytes], stack: ExitStack) -> AsyncIterator[bytes]:
    """The turn lasts as long as the stream does."""
    with stack:
        async for data in events:
            yield data
