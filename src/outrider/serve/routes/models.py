"""`GET /v1/models` and `/v1/models/{id}`."""

from __future__ import annotations

from fastapi import APIRouter

from outrider.serve.service import Service


def router(service: Service) -> APIRouter:
    found = APIRouter()

    @found.get("/v1/models")
    async def models() -> dict[str, object]:
        """The one model, under all its names."""
        return {"object": "list", "data": [_model(name, service) for name in service.names]}

    @found.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, object]:
        """One of them."""
        service.check_model(name)
        return _model(name, service)

    return found


def _model(name: str, service: Service) -> dict[str, object]:
    return {"id": name, "object": "model", "created": service.created, "owned_by": "outrider",
            "root": service.names[0], "parent": None, "max_model_len": service.context}
