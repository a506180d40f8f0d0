"""Load on a server in this process: who is asked what, how many at once, and what comes of servers that fail."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_openai import (
    DONE,
    Request,
    chunked,
    document,
    event,
    head,
    plain_answer,
    refusal,
    serving,
    stream,
    text_event,
    usage,
)
from outrider.bench.serve.answer import Drafts, read_answer
from outrider.bench.serve.ask import OPTIONAL, Terms, Wish
from outrider.bench.serve.contender import Contender, introduce, model_at, read_counters, since
from outrider.bench.serve.load import Level, arrivals, put_load
from outrider.bench.serve.trial import Plan, Server, hold, ratio_of
from outrider.bench.serve.wire import Site, site_of
from outrider.bench.workload import Message, Prompt
from outrider.errors import ConfigError, PeerError

TEXT = Prompt(text="def")
CHAT = Prompt(messages=(Message("user", "hi"),))
WISH = Wish(max_tokens=4)


def contender_at(url: str, speculation: bool | None = None, name: str = "toy") -> Contender:
    return Contender(name=name, site=site_of(url), terms=Terms(model="toy", taken=frozenset(OPTIONAL),
                                                               speculation=speculation))


@given(st.floats(0.1, 1e3), st.integers(1, 50), st.integers(0, 9))
def test_arrivals_rise_from_nothing_and_come_again(rate: float, count: int, seed: int) -> None:
    times_s = arrivals(rate, count, seed)
    assert len(times_s) == count and times_s[0] == 0.0
    assert all(before <= after for before, after in pairwise(times_s))
    assert times_s == arrivals(rate, count, seed)


def test_arrivals_are_as_many_a_second_as_asked() -> None:
    assert arrivals(5.0, 20_001, 3)[-1] == pytest.approx(4000.0, rel=0.03)


def test_the_closed_loop_keeps_so_many_in_flight_and_no_more() -> None:
    barrier = threading.Barrier(3)

    def answer(request: Request) -> Sequence[bytes]:
        barrier.wait(20)  # only three at once get past it
        return plain_answer(request)

    with serving(answer) as fake:
        messages = contender_at(fake.url).messages([TEXT], 9, WISH, "x")
        load = put_load(site_of(fake.url), messages, Level(at_once=3), 0, 30.0)
    answers = [read_answer(one) for one in load.exchanges]
    assert fake.most_at_once == 3
    assert [(one.error, one.tokens) for one in answers] == [("", 4)] * 9
    assert load.end_s >= max(one.last_s for one in answers) and load.cpu_s >= 0.0


def test_the_open_loop_waits_for_nobody() -> None:
    barrier = threading.Barrier(6)

    def answer(request: Request) -> Sequence[bytes]:
        barrier.wait(20)  # all six must be here before one is answered
        return plain_answer(request)

    with serving(answer) as fake:
        messages = contender_at(fake.url).messages([TEXT], 6, WISH, "x")
        load = put_load(site_of(fake.url), messages, Level(rate=500.0), 1, 30.0)
    due_s = [one.begin_s - load.exchanges[0].begin_s for one in load.exchanges]
    assert due_s == pytest.approx(arrivals(500.0, 6, 1))
    assert not [one for one in load.exchanges if one.fault]


def test_what_a_server_is_asked() -> None:
    with serving(plain_answer) as fake:
        contender = contender_at(fake.url, speculation=False)
        put_load(contender.site, contender.messages([TEXT, CHAT], 4, WISH, "s"), Level(at_once=1), 0, 30.0)
    texts, chats = fake.bodies("/v1/completions"), fake.bodies("/v1/chat/completions")
    assert [body["cache_salt"] for body in (*texts, *chats)] == ["s-0", "s-1", "s-0", "s-1"]
    assert texts[0]["prompt"] == "def" and chats[0]["messages"] == [{"role": "user", "content": "hi"}]
    asked = {key: value for key, value in texts[0].items() if key not in ("prompt", "cache_salt")}
    assert asked == {"model": "toy", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 4,
                     "temperature": 0.0, "seed": 0, "ignore_eos": True, "cache_prompt": False,
                     "speculation": {"enabled": False}}


def test_warm_requests_leave_the_caches_alone() -> None:
    body = contender_at("http://h").messages([TEXT], 1, Wish(is_fresh=False), "s")[0]
    assert b"cache" not in body and b"speculation" not in body


def test_a_key_goes_along() -> None:
    with serving(plain_answer) as fake:
        assert model_at(site_of(fake.url, "secret")) == "toy"
    assert "Authorization: Bearer secret" in fake.asked[0].head


def test_settings_that_a_server_refuses_are_left_out() -> None:
    def answer(request: Request) -> Sequence[bytes]:
        if "ignore_eos" in request.body or "seed" in request.body:
            return refusal("Unrecognized request arguments: ignore_eos, seed", 400)
        if "cache_salt" in request.body:
            return refusal("one thing too many", 422)
        return plain_answer(request)

    with serving(answer) as fake:
        found = introduce("toy", site_of(fake.url), Terms(model="toy", taken=frozenset(OPTIONAL), speculation=None),
                          TEXT, WISH)
    assert found.refused == ("cache_prompt", "cache_salt", "ignore_eos", "seed")
    assert len(fake.asked) == 4 and fake.asked[-1].body["max_tokens"] == 2


@pytest.mark.parametrize("status", [400, 401, 500])
def test_a_server_that_answers_nothing_is_told_in_one_line(status: int) -> None:
    terms = Terms(model="toy", taken=frozenset(OPTIONAL), speculation=None)
    with serving(lambda _: refusal("no such luck", status)) as fake:
        with pytest.raises(PeerError, match=rf"^toy: HTTP {status}: no such luck$"):
            introduce("toy", site_of(fake.url), terms, TEXT, WISH)
        with pytest.raises(PeerError, match=f"/v1/models answered HTTP {status}"):
            model_at(site_of(fake.url))


def test_nobody_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        site = Site("127.0.0.1", probe.getsockname()[1], is_secure=False)
    with pytest.raises(PeerError, match="cannot connect"):
        model_at(site)


@pytest.mark.parametrize("last", [[], [b"data: {\"cho"], [b"\x00\x01\x02"]])
def test_a_server_that_dies_in_a_stream(last: list[bytes]) -> None:
    """Its chunks never come to their end."""
    begun = [head(more="Transfer-Encoding: chunked\r\n"), chunked(text_event("a"))[:-5]]
    with serving(lambda _: [*begun, *last]) as fake:
        contender = contender_at(fake.url)
        load = put_load(contender.site, contender.messages([TEXT], 2, WISH, "x"), Level(at_once=2), 0, 30.0)
    assert [read_answer(one).error for one in load.exchanges] == ["stream cut short"] * 2


def test_a_body_shorter_than_announced() -> None:
    with serving(lambda _: [head(more="Content-Length: 500\r\n"), text_event("a")]) as fake:
        contender = contender_at(fake.url)
        load = put_load(contender.site, contender.messages([TEXT], 1, WISH, "x"), Level(at_once=1), 0, 30.0)
    assert read_answer(load.exchanges[0]).error == "connection lost"


def test_a_server_that_keeps_the_connection_open_is_not_waited_for() -> None:
    release = threading.Event()

    def answer(_: Request) -> Sequence[bytes]:
        yield head(more="Transfer-Encoding: chunked\r\n")
        yield chunked(text_event("a", "stop", **usage(1)), DONE)
        release.wait(20)

    with serving(answer) as fake:
        contender = contender_at(fake.url)
        load = put_load(contender.site, contender.messages([TEXT], 1, WISH, "x"), Level(at_once=1), 0, 15.0)
        release.set()
    assert not read_answer(load.exchanges[0]).error


def test_a_request_without_end_is_given_up() -> None:
    release = threading.Event()

    def answer(_: Request) -> Sequence[bytes]:
        yield head()
        yield text_event("a")
        release.wait(20)

    with serving(answer) as fake:
        contender = contender_at(fake.url)
        load = put_load(contender.site, contender.messages([TEXT], 1, WISH, "x"), Level(at_once=1), 0, 0.2)
        release.set()
    found = read_answer(load.exchanges[0])
    assert (found.error, len(found.texts_s)) == ("no end within 0.2 s", 1)


COUNTERS = """# TYPE x counter
{0}:spec_decode_num_drafts_total 4
{0}:spec_decode_num_draft_tokens_total{{model="a"}} 10.0
{0}:spec_decode_num_draft_tokens_total{{model="b"}} 1
{0}:spec_decode_num_accepted_tokens_total 7
{0}:spec_decode_num_accepted_tokens_per_pos_total{{position="0"}} 4
"""


@pytest.mark.parametrize("engine", ["vllm", "llamacpp"])
def test_counters_of_drafts(engine: str) -> None:
    assert read_counters(COUNTERS.format(engine)) == Drafts(11, 7)
    assert read_counters("") is None and read_counters("vllm:spec_decode_num_draft_tokens_total 1") is None
    assert since(Drafts(1, 1), Drafts(11, 7)) == Drafts(10, 6) and since(None, Drafts(1, 1)) is None


def test_contenders_take_turns_and_are_compared_pair_by_pair() -> None:
    plan = Plan(levels=(Level(at_once=2),), wish=WISH, requests=4, repeat=3)
    with serving(plain_answer) as fake:
        told: list[str] = []
        rows = hold([Server(contender_at(fake.url, True, "a")), Server(contender_at(fake.url, False, "b"))], [TEXT],
                    plan, told.append)
    assert [line.split(",")[0] for line in told] == ["a", "b"] * 4
    order = [body["speculation"] == {"enabled": True} for body in fake.bodies("/v1/completions")]
    assert order == [*[True] * 2, *[False] * 2, *([True] * 4 + [False] * 4) * 3]
    salts = {str(body["cache_salt"]).rpartition("-")[0] for body in fake.bodies("/v1/completions")}
    assert len(salts) == 8  # what one run leaves behind helps no other
    assert [row.name for row in rows] == ["a", "b"] and [len(row.rounds) for row in rows] == [3, 3]
    assert rows[0].ratio is None and rows[1].ratio is not None and len(rows[1].ratio.pairs) == 3
    own = [one.figures.tok_s for one in rows[1].rounds]
    assert rows[1].tok_s == sorted(own)[1]
    assert rows[1].ratio.pairs == tuple(b.figures.tok_s / a.figures.tok_s
                                        for a, b in zip(rows[0].rounds, rows[1].rounds, strict=True))


def test_counters_are_read_before_and_after_a_run() -> None:
    readings = iter(range(100, 200, 10))

    def answer(request: Request) -> Sequence[bytes]:
        if request.path == "/metrics":
            drafted = next(readings)
            return [head(kind="text/plain"), f"vllm:spec_decode_num_draft_tokens {drafted}\n"
                                             f"vllm:spec_decode_num_accepted_tokens {drafted // 2}\n".encode()]
        return plain_answer(request)

    with serving(answer) as fake:
        row = hold([Server(contender_at(fake.url))], [CHAT], Plan(levels=(Level(at_once=1),), wish=WISH, requests=1))[0]
    assert row.drafts == Drafts(10, 5)


def test_a_ratio_needs_both_rates() -> None:
    found = ratio_of([2.0, 8.0], [1.0, 1.0])
    assert found is not None and (found.mean, found.pairs) == (pytest.approx(4.0), (2.0, 8.0))
    assert ratio_of([2.0, None], [1.0, 1.0]) is None


@pytest.mark.parametrize(("url", "site"), [
    ("http://localhost:80/v1", Site("localhost", 80, False)),
    ("https://api.example.com/v1/", Site("api.example.com", 443, True)),
    ("http://[::1]:8000/proxy/v1", Site("::1", 8000, False, "/proxy")),
])
def test_addresses(url: str, site: Site) -> None:
    assert site_of(url) == site


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "ftp://x", "http://x:99999", "http://x/?a=1",
                                 "http://x /"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a server's address|cannot hold blanks"):
        site_of(url)


def test_an_event_in_a_document_is_no_stream() -> None:
    with serving(lambda _: document({"choices": [{"text": "all at once"}]})) as fake:
        contender = contender_at(fake.url)
        load = put_load(contender.site, contender.messages([TEXT], 1, WISH, "x"), Level(at_once=1), 0, 30.0)
    assert read_answer(load.exchanges[0]).error == "not a stream"


def test_an_answer_over_a_real_connection_has_times_in_order() -> None:
    pieces = stream(text_event("a"), text_event("b"), text_event("", "length", **usage(9)), event({}), DONE)
    with serving(lambda _: pieces) as fake:
        contender = contender_at(fake.url)
        load = put_load(contender.site, contender.messages([TEXT], 1, WISH, "x"), Level(at_once=1), 0, 30.0)
    found = read_answer(load.exchanges[0])
    assert (found.error, found.tokens) == ("", 9)
    assert load.begin_s <= found.begin_s <= found.texts_s[0] <= found.texts_s[1] <= found.last_s <= load.end_s
