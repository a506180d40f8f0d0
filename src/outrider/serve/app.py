"""`create_app`: the application, put together from one router a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

import outrider
from outrider.serve import errors
from outrider.serve.gate import PUBLIC_PATHS, Gate
from outrider.serve.hosts import KnownHosts
from outrider.serve.page import files as page
from outrider.serve.routes import chat, completions, infill, models, status, tokens
from outrider.serve.service import Service

ROUTERS = (chat.router, completions.router, infill.router, models.router, status.router, tokens.router, page.router)


def create_app(service: Service) -> FastAPI:
    """Routes around one service. When the application ends, what runs is awaited for a while, then the engine ends."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        await service.stop()

    app = FastAPI(title="Outrider", version=outrider.__version__, lifespan=life, docs_url=None, redoc_url=None,
                  responses={"4XX": {"description": "What is wrong with the request, as OpenAI words errors"}})
    for router in ROUTERS:
        app.include_router(router(service))
    errors.install(app)
    settings = service.settings
    if settings.hosts:
        app.add_middleware(KnownHosts, names=settings.hosts)
    app.add_middleware(Gate, settings=settings, metrics=service.metrics, public_paths=PUBLIC_PATHS | page.PATHS)
    if settings.cors_origins:  # around the gate: a page may read why it was refused
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"],
                           allow_headers=["*"], expose_headers=["x-request-id"])
    return app
