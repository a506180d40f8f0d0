"""`GET /health`, `/version` and `/metrics`."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, PlainTextResponse, Response

import outrider
from outrider.serve.service import Service


def router(service: Service) -> APIRouter:
    found = APIRouter()

    @found.get("/health")
    async def health() -> Response:
        """200 while requests are taken, 503 once the server is stopping."""
        if service.is_stopping:
            return JSONResponse({"status": "stopping"}, 503)
        return JSONResponse({"status": "ok"})

    @found.get("/version")
    async def version() -> dict[str, str]:
        """The version of this program."""
        return {"version": outrider.__version__}

    @found.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Figures in Prometheus' text format."""
        return Response(service.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return found
