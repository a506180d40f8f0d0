"""What the bytes of a reply say: status, body, and the events of a stream, each with the time at which it was whole."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from outrider.bench.serve.wire import Exchange

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_SIZE = re.compile(rb"\s*([0-9a-fA-F]+)\s*(?:;[^\r\n]*)?\r\n")


@dataclass(frozen=True, slots=True)
class Event:
    """What one event of a stream carries, and when its last byte came."""

    time_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class _Span:
    """Bytes that are neighbours in the body and in the reply: where they begin in either."""

    body: int
    reply: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`status` 0: what came is no HTTP. `is_whole`: the body did not stop short of what the head announced."""

    status: int
    body: bytes
    is_whole: bool
    spans: tuple[_Span, ...] = ()
    ends: tuple[int, ...] = ()
    times_s: tuple[float, ...] = ()

    def time_at(self, position: int) -> float:
        """When the byte before this position of the body came."""
        span = self.spans[bisect_right(self.spans, max(position - 1, 0), key=lambda one: one.body) - 1]
        offset = span.reply + position - span.body
        return self.times_s[min(bisect_left(self.ends, offset), len(self.times_s) - 1)]

    def events(self) -> Iterator[Event]:
        """The `data` of every event that is complete; comments and other fields are passed over."""
        begin = 0
        for blank in _BLANK_LINE.finditer(self.body) if self.status else ():
            lines = self.body[begin:blank.start()].splitlines()
            data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
            if data:
                yield Event(self.time_at(blank.end()), b"\n".join(data))
            begin = blank.end()


def read_reply(seen: Exchange) -> Reply:
    """Takes the head and the framing of chunks off."""
    raw = b"".join(read.data for read in seen.reads)
    head, end, _ = raw.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    if not end or status is None:
        return Reply(status=0, body=raw, is_whole=False)
    start = len(head) + len(end)
    body, is_whole = raw[start:], True
    spans: tuple[_Span, ...] = (_Span(0, start),)
    if re.search(rb"\r\ntransfer-encoding:[^\r\n]*chunked", head, re.IGNORECASE):
        body, spans, is_whole = _joined(raw, start)
    return Reply(status=int(status[1]), body=body, is_whole=is_whole and not seen.fault, spans=spans,
                 ends=tuple(accumulate(len(read.data) for read in seen.reads)),
                 times_s=tuple(read.time_s for read in seen.reads))


def _joined(raw: bytes, start: int) -> tuple[bytes, tuple[_Span, ...], bool]:
    """The chunks of a body put together, and whether the last one, which is empty, was there."""
    pieces: list[bytes] = []
    spans: list[_Span] = []
    length = 0
    while size := _SIZE.match(raw, start):
        begin, count = size.end(), int(size[1], 16)
        if count == 0:
            return b"".join(pieces), tuple(spans) or (_Span(0, begin),), True
        piece = raw[begin:begin + count]
        spans.append(_Span(length, begin))
        pieces.append(piece)
        length += len(piece)
        start = begin + count + 2
    return b"".join(pieces), tuple(spans) or (_Span(0, start),), False
