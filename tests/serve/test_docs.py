"""`docs/server.md` names what there is."""

from __future__ import annotations

import re
from pathlib import Path

from outrider.serve.schema.chat import ChatBody
from outrider.serve.schema.completions import CompletionBody
from outrider.serve.schema.tokens import DetokenizeBody
from tiny_server import TinyServer

TEXT = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([^`]+)`", TEXT))


def test_every_field_is_described() -> None:
    fields = {*ChatBody.model_fields, *CompletionBody.model_fields, *DetokenizeBody.model_fields}
    assert fields - {"model"} <= NAMED | set(re.findall(r"`(\w+)", TEXT))


def test_every_figure_is_there(server: TinyServer) -> None:
    figures = server.get("/metrics").text
    section = TEXT.split("## Figures")[1].split("\n## ")[0]
    names = [name for name in re.findall(r"`([a-z_:]+)`", section) if not name.endswith(":")]
    assert len(names) > 12
    for name in names:
        known = [name] if ":" in name else [f"outrider:{name}", f"vllm:{name}"]
        assert all(f"# TYPE {item.removesuffix('_total')}" in figures for item in known), name


def test_every_route_is_described(server: TinyServer) -> None:
    routes = set(server.get("/openapi.json").json()["paths"])
    assert {"/v1/chat/completions", "/tokenize", "/metrics"} <= routes
    document = server.get("/openapi.json").json()["paths"]["/v1/completions"]["post"]
    assert set(document["responses"]) == {"200", "4XX"}
    assert {"text/event-stream", "application/json"} == set(document["responses"]["200"]["content"])
    figures = server.get("/openapi.json").json()["paths"]["/metrics"]["get"]["responses"]["200"]
    assert list(figures["content"]) == ["text/plain"]
    told = set(re.findall(r"`(?:POST |GET )?(/[^`]*)`", TEXT))
    assert {route for route in routes if route.startswith("/v1") and "{" not in route} <= told
