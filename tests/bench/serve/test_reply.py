"""Bytes and their times become events: whatever the framing, and wherever the reads were cut."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_openai import chunked, head
from outrider.bench.serve.reply import read_reply
from outrider.bench.serve.wire import Exchange, Read

EVENTS = [b"data: one\n\n", b": a comment\n\n", b"event: x\r\ndata:two\r\n\r\n", b"data: a\ndata: b\n\n"]
CHUNKED = head(more="Transfer-Encoding: chunked\r\n")


def exchange_of(pieces: Sequence[bytes], fault: str = "") -> Exchange:
    """A read each second, from 1."""
    reads = tuple(Read(1.0 + number, piece) for number, piece in enumerate(pieces))
    return Exchange(begin_s=0.0, end_s=1.0 + len(pieces), reads=reads, fault=fault)


def test_events_have_the_time_of_the_read_that_completed_them() -> None:
    reply = read_reply(exchange_of([head(), b"data: one\n", b"\ndata: two\n\ndata: th", b"ree\n\n"]))
    assert [(event.time_s, event.data) for event in reply.events()] == [(3.0, b"one"), (3.0, b"two"), (4.0, b"three")]


def test_comments_and_other_fields_are_passed_over() -> None:
    reply = read_reply(exchange_of([head() + b"".join(EVENTS)]))
    assert [event.data for event in reply.events()] == [b"one", b"two", b"a\nb"]


@given(st.lists(st.integers(1, 400), max_size=12), st.booleans())
def test_where_reads_and_chunks_are_cut_changes_no_event(cuts: list[int], is_chunked: bool) -> None:
    raw = CHUNKED + chunked(*EVENTS) if is_chunked else head() + b"".join(EVENTS)
    edges = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    pieces = [raw[low:high] for low, high in pairwise(edges)]
    reply = read_reply(exchange_of(pieces))
    found = list(reply.events())
    assert reply.is_whole and [event.data for event in found] == [b"one", b"two", b"a\nb"]
    for event, original in zip(found, (EVENTS[0], EVENTS[2], EVENTS[3]), strict=True):
        last = raw.index(original) + len(original) - 1  # the byte that completes it
        number = next(number for number, high in enumerate(edges[1:]) if last < high)
        assert event.time_s == 1.0 + number


@given(st.integers(0, 400))
def test_a_chunked_reply_that_stops_short_is_not_whole(length: int) -> None:
    raw = CHUNKED + chunked(*EVENTS)
    reply = read_reply(exchange_of([raw[:len(CHUNKED) + min(length, len(raw) - len(CHUNKED) - 5)]]))
    assert not reply.is_whole and reply.status == 200
    assert [event.data for event in reply.events()] == [b"one", b"two", b"a\nb"][:len(list(reply.events()))]


@given(st.binary(max_size=200))
def test_garbage_is_no_reply_and_no_exception(data: bytes) -> None:
    reply = read_reply(exchange_of([data]))
    assert reply.status == 0 and list(reply.events()) == []


@pytest.mark.parametrize("kind", ["chunks of wrong size", "no size"])
def test_broken_chunks_end_the_body(kind: str) -> None:
    body = b"fff\r\ndata: one\n\n\r\n" if kind == "chunks of wrong size" else b"data: one\n\n"
    assert not read_reply(exchange_of([CHUNKED + body])).is_whole
