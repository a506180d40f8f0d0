"""A stream becomes an answer: what came when, what was counted, and every way in which it can go wrong."""

from __future__ import annotations

import pytest

from fake_openai import DONE, chat_event, document, event, head, refusal, text_event, usage
from outrider.bench.serve.answer import Answer, Drafts, read_answer
from outrider.bench.serve.wire import Exchange, Read


def answer_of(*pieces: bytes, fault: str = "", end_s: float = 99.0) -> Answer:
    """The first piece comes at 1.0 s, and another each second."""
    reads = tuple(Read(1.0 + number, piece) for number, piece in enumerate(pieces))
    return read_answer(Exchange(begin_s=0.5, end_s=end_s, reads=reads, fault=fault))


def test_a_completion_with_usage_in_its_last_chunk() -> None:
    found = answer_of(head(), text_event("a"), text_event("bc"), text_event("", "length", **usage(7)), DONE)
    assert (found.begin_s, found.texts_s, found.last_s) == (0.5, (2.0, 3.0), 4.0)
    assert (found.tokens, found.num_tokens, found.prompt_tokens, found.text) == (7, 7, 5, "abc")
    assert (found.finish_reason, found.error) == ("length", "")


def test_a_chat_whose_usage_comes_after_the_end() -> None:
    found = answer_of(head(), chat_event(role="assistant", content=""), chat_event(reasoning_content="x"),
                      chat_event(content="y"), chat_event("stop"), event({"choices": [], **usage(2)}), DONE)
    assert found.texts_s == (3.0, 4.0) and found.last_s == 5.0
    assert (found.tokens, found.text, found.error) == (2, "xy", "")


def test_pieces_of_a_tool_call_are_text_too() -> None:
    call = {"index": 0, "function": {"arguments": "{"}}
    found = answer_of(head(), chat_event(tool_calls=[call]), chat_event("tool_calls"), DONE)
    assert found.texts_s == (2.0,) and not found.error


def test_without_usage_chunks_are_counted_and_that_is_told() -> None:
    found = answer_of(head(), text_event("a"), text_event("b", "stop"), DONE)
    assert found.tokens is None and found.num_tokens == 2


@pytest.mark.parametrize("told", [
    {"metrics": {"speculative_decoding": {"num_draft_tokens": 8, "num_accepted_draft_tokens": 3}}},
    {"timings": {"draft_n": 8, "draft_n_accepted": 3}},
])
def test_drafts_as_servers_tell_of_them(told: dict[str, object]) -> None:
    assert answer_of(head(), text_event("a", "stop", **usage(1, **told)), DONE).drafts == Drafts(8, 3)


def test_no_drafts_where_a_server_tells_of_none() -> None:
    none = {"metrics": {"speculative_decoding": None}, "timings": {"draft_n": True}}
    assert answer_of(head(), text_event("a", "stop", **usage(1, **none)), DONE).drafts is None


def test_an_end_without_done_is_an_end_if_there_was_a_reason() -> None:
    assert not answer_of(head(), text_event("a", "stop")).error


@pytest.mark.parametrize(("pieces", "error", "detail"), [
    (refusal("max_tokens: too many"), "HTTP 400", "max_tokens: too many"),
    (document({"detail": "no"}, 503), "HTTP 503", "no"),
    ([head(500) + b"oh\n dear"], "HTTP 500", "oh dear"),
    ([b"\x00\xff garbage"], "not HTTP", "\x00� garbage"),
    (document({"choices": []}), "not a stream", '{"choices": []}'),
    ([head(), b"data: {oops\n\n", DONE], "not JSON", "{oops"),
    ([head(), b"data: [1]\n\n", DONE], "not JSON", "[1]"),
    ([head(), text_event("a"), event({"error": {"message": "full", "type": "server_error"}}), DONE],
     "server_error in the stream", "full"),
    ([head(), text_event("a")], "stream cut short", ""),
    ([head(), text_event("a"), b"data: {\"choi"], "stream cut short", ""),
    ([head()], "not a stream", ""),
])
def test_errors_have_names(pieces: list[bytes], error: str, detail: str) -> None:
    found = answer_of(*pieces)
    assert (found.error, found.detail) == (error, detail)


def test_what_broke_a_connection_off_is_the_error_and_what_had_come_is_kept() -> None:
    found = answer_of(head(), text_event("a"), fault="connection lost")
    assert (found.error, found.texts_s, found.tokens) == ("connection lost", (2.0,), None)
    assert answer_of(fault="cannot connect (Connection refused)").error == "cannot connect (Connection refused)"
    assert answer_of().error == "connection lost"


def test_a_long_complaint_is_shortened() -> None:
    assert len(answer_of(*document({"error": "x" * 5000}, 400)).detail) == 201


def test_deeply_nested_json_is_not_followed() -> None:
    deep = b"data: " + b"[" * 100_000 + b"\n\n"
    assert answer_of(head(), deep).error == "not JSON"
