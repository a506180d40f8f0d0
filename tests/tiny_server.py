"""The server around a toy, on a free port of this machine, in a thread of its own."""

from __future__ import annotations

import copy
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from json_engine import json_tokenizer
from outrider.engine.async_llm import AsyncLLM
from outrider.io.tokenizer import Tokenizer
from outrider.serve.app import create_app
from outrider.serve.run import address_of, listen, serve
from outrider.serve.service import Service
from outrider.serve.settings import Settings
from outrider.target.load import LoadedModel
from tiny_engine import target_of, tiny_tokenizer

TEMPLATE = "{% if excited %}w1{% endif %}{% for m in messages %}{{ m.role }} {{ m.content }}\n{% endfor %}assistant "


@dataclass(frozen=True, slots=True)
class TinyServer:
    url: str
    service: Service
    client: httpx.Client

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        return self.client.post(path, json=body, headers=headers)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(path, headers=headers)

    def answer(self, path: str, **body: object) -> dict[str, Any]:
        """The document, which must be one."""
        found = self.post(path, body)
        assert found.status_code == 200, found.text
        document = found.json()
        assert isinstance(document, dict)
        return document

    def events(self, path: str, **body: object) -> list[dict[str, Any]]:
        """All events of a stream, which must end with `[DONE]`."""
        found = self.post(path, {**body, "stream": True})
        assert found.status_code == 200, found.text
        lines = [line.removeprefix("data: ") for line in found.text.split("\n") if line]
        assert lines.pop() == "[DONE]"
        return [json.loads(line) for line in lines]

    def settle(self) -> None:
        """Until nothing runs and nothing is left behind. The engine's thread may just be clearing up."""
        engine = self.service.llm.llm.engine
        limit_s = time.monotonic() + 30
        while True:
            try:
                assert not engine.has_work and not self.service.num_running
                engine.check_integrity()
                return
            except AssertionError:
                if time.monotonic() > limit_s:
                    raise
            time.sleep(0.005)


def error_of(found: httpx.Response, status: int) -> Mapping[str, Any]:
    """The error object of a response with this status."""
    assert found.status_code == status, found.text
    assert found.headers["x-request-id"]
    error = found.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error, dict)
    return error


def chatty_tokenizer() -> Tokenizer:
    """The toy tokenizer with a chat template."""
    found = copy.copy(tiny_tokenizer())
    found.template = TEMPLATE
    return found


def spelling_tokenizer() -> Tokenizer:
    """One that JSON can be written in, with a template that has tools called as Llama does."""
    found = copy.copy(json_tokenizer())
    found.template = "{# <|python_tag|> #}{% if tools %}t{% endif %}" + TEMPLATE
    return found


@contextmanager
def serving(settings: Settings | None = None, model: LoadedModel | None = None, **options: Any) -> Iterator[TinyServer]:
    """A server, which is idle and whole at the end. Prices are left alone: toys are drafted for at a fixed length."""
    toy = LoadedModel("toy", target_of(), chatty_tokenizer())
    llm = AsyncLLM(model or toy, **{"drafter": "suffix", "draft_policy": "fixed:8", **options})
    service = Service(llm, settings or Settings())
    found = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(create_app(service), log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [found]})
    url = address_of(found)
    tiny = TinyServer(url, service, httpx.Client(base_url=url, timeout=60, verify=False, trust_env=False))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield tiny
        tiny.settle()
    finally:
        tiny.client.close()
        server.should_exit = True
        thread.join()


def main(drain_s: float) -> None:
    """A server as the command line runs it, until a signal; the first line of output is its address."""
    llm = AsyncLLM(LoadedModel("toy", target_of(), chatty_tokenizer()), drafter="none", draft_policy="fixed:0")
    service = Service(llm, Settings(drain_s=drain_s))
    found = listen("127.0.0.1", 0)
    print(address_of(found), flush=True)
    serve(create_app(service), service, found)


if __name__ == "__main__":
    main(float(sys.argv[1]))
