"""Who gets in, how much, how many, for how long; and who leaves."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from outrider.engine.engine import Flight
from outrider.engine.plan import Plan
from outrider.errors import ConfigError
from outrider.serve.keys import Keys
from outrider.serve.reading import scope_of
from outrider.serve.settings import Settings
from tiny_server import TinyServer, error_of, serving

PATH = "/v1/completions"
LONG = {"prompt": "ab", "max_tokens": 1500, "temperature": 0.9, "ignore_eos": True}
TIGHT = Settings(api_keys=("key one", "two"), max_body_bytes=2000, max_choices=4, max_waiting=1,
                 cors_origins=("https://page.example",))


@pytest.fixture(scope="module")
def tight_server() -> Iterator[TinyServer]:
    with serving(TIGHT, max_sequences=1) as server:
        yield server


@pytest.fixture
def tight(tight_server: TinyServer) -> Iterator[TinyServer]:
    yield tight_server
    tight_server.settle()


def bearer(key: str = "two") -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def wait_for(server: TinyServer, count: int) -> None:
    """Until so many answers are under way."""
    while server.service.num_running != count:
        time.sleep(0.002)


def test_keys_open_and_nothing_else_does(tight: TinyServer) -> None:
    strangers = ({}, bearer("three"), bearer("tw"), bearer("two two"), {"Authorization": "Bearer"},
                 {"Authorization": "two"})
    for headers in strangers:
        error = error_of(tight.post(PATH, {"prompt": "a"}, **headers), 401)
        assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert tight.get("/metrics").status_code == tight.get("/v1/models").status_code == 401
    assert tight.get("/v1/nothing").status_code == 401
    for key in ("two", "key one"):
        assert tight.post(PATH, {"prompt": "a", "max_tokens": 1}, **bearer(key)).status_code == 200
    assert tight.get("/health").status_code == tight.get("/version").status_code == 200


def test_scopes_divide_users_and_salts() -> None:
    keys = Keys(("a", "b"))
    scopes = {keys.scope("Bearer a"), keys.scope("bearer b"), keys.scope("Bearer c")}
    assert len(scopes) == 3 and None in scopes and "" not in scopes
    assert Keys(()).scope("") == Keys(()).scope("Bearer x") == ""
    one = keys.scope("Bearer a") or ""
    assert len({one, scope_of(one, "salt"), scope_of("", "salt"), scope_of("", None), scope_of(one, "other")}) == 5
    with pytest.raises(ConfigError, match="empty"):
        Settings(api_keys=(" ",))


def test_prefixes_are_found_again_within_a_scope_only(tight: TinyServer) -> None:
    def cached(key: str, **body: str) -> int:
        found = tight.post(PATH, {"prompt": "abcd" * 20, "max_tokens": 1, **body}, **bearer(key)).json()
        count = found["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert isinstance(count, int)
        return count

    assert cached("two") == 0
    assert cached("two") > 0
    assert cached("key one") == 0
    assert cached("two", cache_salt="s") == 0
    assert cached("two", cache_salt="s") > 0


def test_bodies_are_bounded_declared_or_not(tight: TinyServer) -> None:
    large = json.dumps({"prompt": "a", "user": "x" * 3000}).encode()
    headers = {**bearer(), "content-type": "application/json"}
    assert error_of(tight.client.post(PATH, content=large, headers=headers), 413)["code"] == "body_too_large"
    parts = (large[at: at + 500] for at in range(0, len(large), 500))
    error_of(tight.client.post(PATH, content=parts, headers=headers), 413)


@pytest.mark.parametrize("content", [b"", b"{", b"[1", b"\xff\xfe", b'"a"', b"null", b"[]", b'{"prompt": NaN}',
                                     b'{"prompt": "\\ud800"}', b'{"prompt": ' + b"[" * 900, b'{"n": 1e999}'])
def test_bodies_that_are_no_requests(tight: TinyServer, content: bytes) -> None:
    headers = {**bearer(), "content-type": "application/json"}
    error_of(tight.client.post(PATH, content=content, headers=headers), 400)


def test_the_type_of_a_body_is_json(tight: TinyServer) -> None:
    found = tight.client.post(PATH, content=b'{"prompt": "a"}', headers={**bearer(), "content-type": "text/plain"})
    assert "content-type: application/json" in error_of(found, 400)["message"]


def test_a_full_queue_says_when_to_come_back(tight: TinyServer) -> None:
    with ThreadPoolExecutor(2) as pool:
        body = LONG | {"max_tokens": 400}
        waiting = [pool.submit(tight.post, PATH, body | {"seed": seed}, **bearer()) for seed in (1, 2)]
        wait_for(tight, 2)
        found = tight.post(PATH, {"prompt": "a"}, **bearer())
        assert error_of(found, 429)["type"] == "rate_limit_error"
        assert int(found.headers["retry-after"]) >= 1
        assert error_of(tight.post(PATH, {"prompt": "a", "n": 5}, **bearer()), 400)["param"] == "n"
        assert [done.result().status_code for done in waiting] == [200, 200]


def test_browsers_of_the_named_page_may_ask(tight: TinyServer) -> None:
    asking = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    found = tight.client.options(PATH, headers=asking)
    assert found.headers["access-control-allow-origin"] == "https://page.example"
    refused = tight.client.post(PATH, json={}, headers={"Origin": "https://page.example"})
    assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == "https://page.example"
    found = tight.client.options(PATH, headers=asking | {"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in found.headers


def test_without_being_told_no_page_may_ask(server: TinyServer) -> None:
    found = server.client.options(PATH, headers={"Origin": "https://page.example",
                                                 "Access-Control-Request-Method": "POST"})
    assert found.status_code == 405 and "access-control-allow-origin" not in found.headers


def test_ids_of_requests_are_kept_if_they_are_sane(server: TinyServer) -> None:
    assert server.get("/health", **{"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert server.get("/health", **{"x-request-id": "two words"}).headers["x-request-id"] != "two words"
    ids = {server.get("/health").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_its_work(server: TinyServer, stream: bool) -> None:
    """Even of several prompts, and while some still wait."""

    async def leave() -> None:
        body = LONG | {"prompt": ["ab"] * 12, "n": 2, "stream": stream}
        async with httpx.AsyncClient(base_url=server.url, timeout=60, verify=False) as client:
            task = asyncio.create_task(client.post(PATH, json=body))
            while server.service.num_running != 24:
                await asyncio.sleep(0.002)
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    before_s = time.monotonic()
    server.settle()
    assert time.monotonic() - before_s < 30
    assert server.answer(PATH, prompt="a", max_tokens=1)


def test_a_stream_left_in_the_middle_ends(server: TinyServer) -> None:
    with server.client.stream("POST", PATH, json=LONG | {"stream": True}) as found:
        lines = found.iter_lines()
        assert next(lines).startswith("data: {")
    server.settle()


def test_time_limits_end_answers() -> None:
    with serving(Settings(request_timeout_s=0.2)) as server:
        found = server.post(PATH, LONG)
        assert error_of(found, 408)["code"] == "request_timeout"
        assert found.headers["x-should-retry"] == "false"
        streamed = server.events(PATH, **LONG)
        assert streamed[-1]["error"]["code"] == "request_timeout"
        server.settle()


def test_waiting_too_long_is_told_apart() -> None:
    with serving(Settings(queue_timeout_s=1.5), max_sequences=1, drafter="none") as server:
        engine = server.service.llm.llm.engine
        launch = engine.launch

        def slow(plan: Plan, ahead: bool = False) -> Flight:
            time.sleep(0.01)
            return launch(plan, ahead)

        engine.launch = slow  # type: ignore[method-assign]
        with server.client.stream("POST", PATH, json=LONG | {"stream": True}) as first:
            lines = first.iter_lines()  # held: letting go of it would close the stream
            next(lines)
            found = server.post(PATH, LONG)
            assert error_of(found, 429)["code"] == "queue_timeout" and found.headers["retry-after"]


def test_a_fault_of_ours_is_told_once_and_the_server_goes_on() -> None:
    with serving() as server:
        engine = server.service.llm.llm.engine
        launch = engine.launch

        def failing(plan: Plan, ahead: bool = False) -> Flight:
            raise RuntimeError("the secret prompt")

        engine.launch = failing  # type: ignore[method-assign]
        error = error_of(server.post(PATH, {"prompt": "ab"}), 500)
        assert error["type"] == "server_error" and "secret" not in error["message"]
        engine.launch = launch  # type: ignore[method-assign]
        assert server.answer(PATH, prompt="ab", max_tokens=2)


def test_logs_hold_no_prompts(server: TinyServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer(PATH, prompt="qqqq", max_tokens=2)
    server.post(PATH, {"prompt": {"qqqq": 1}})
    server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": 5, "qqqq": "qqqq"}]})
    assert PATH in caplog.text and "qqqq" not in caplog.text


def test_a_small_cache_bounds_prompts_and_answers() -> None:
    with serving(cache_tokens=256, max_draft=8) as server:
        longest = server.get("/v1/models").json()["data"][0]["max_model_len"]
        assert longest == 256
        body = {"messages": [{"role": "user", "content": "abc"}], "ignore_eos": True}
        found = server.answer("/v1/chat/completions", **body)
        assert found["usage"]["total_tokens"] == longest and found["choices"][0]["finish_reason"] == "length"
        assert error_of(server.post(PATH, {"prompt": "a" * 257}), 400)["param"] == "prompt"
