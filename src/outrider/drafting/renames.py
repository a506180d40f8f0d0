"""What is to be called otherwise, as text: what a request says, and what a change that was seen says.

    Rename the class `Item` to `Product`, and `code` to `sku`        Item -> Product, code -> sku
    use 'deadline' instead of 'timeout'                              timeout -> deadline, as only that stands there
    Rename parse_header to read_header                               parse_header -> read_header

Of two names in quotes that follow each other the second replaces the first where only the first stands elsewhere in the
text; if just a word or two are between them, the first the second where only that does. So the words do not matter, and
this is not bound to English, unless both names stand there or there are no quotes: then an arrow is asked for, or `to`
and its like.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from outrider.drafting.source_text import SourceText, Span

_FENCED = re.compile(rb"^```.*?(^```|\Z)", re.DOTALL | re.MULTILINE)
_QUOTED = re.compile(rb"(?<![\w`\"'])([`\"'])([^`\"'\n]{1,40})\1(?![\w`\"'])")
_NEAR = re.compile(rb"(?:\s+(?:[\w\x80-\xff]+|->|=>)){1,2}\s+")
_APART = re.compile(rb"[.;!?]\s|[\n\0]")
_FAR = 60  # bytes between names in backticks
_NAME = re.compile(rb"[A-Za-z_\x80-\xff][\w\x80-\xff.]*")
_TO = rb"\s+(?:to|with|->|=>)\s+"
_BARE = re.compile(rb"(?<![\w.])([A-Za-z_][\w.]*\w)" + _TO + rb"([A-Za-z_][\w.]*\w)(?!\w)")
_MOST, _MOST_QUOTED, _MOST_BARE = 8, 32, 16  # the last ones: what a prompt of any length costs is bounded


@dataclass(frozen=True, slots=True)
class Rename:
    """A name and the one that takes its place."""

    old: bytes
    new: bytes

    def of(self, found: bytes) -> bytes | None:
        """What stands for the old name as it is written somewhere; None for a way of writing that no rule covers."""
        if found == self.old:
            return self.new
        if found.islower():
            return self.new.lower()
        if found.isupper() and len(found) > 1:
            return self.new.upper()
        return self.new[:1].upper() + self.new[1:] if found.istitle() else None


def rename(old: bytes, new: bytes) -> Rename | None:
    """Of two texts, without the signs that both have around their names; None where they are no names."""
    begin = 0
    while old[begin : begin + 1] == new[begin : begin + 1] != b"" and not _is_word(old[begin]):
        begin += 1
    old, new = old[begin:], new[begin:]
    while old[-1:] == new[-1:] != b"" and not _is_word(old[-1]):
        old, new = old[:-1], new[:-1]
    return Rename(old, new) if old != new and _NAME.fullmatch(old) and _NAME.fullmatch(new) else None


def told(source: SourceText) -> list[Rename]:
    """What a request asks for, in its text around the code that stands in fences."""
    prose = _FENCED.sub(lambda fenced: bytes(len(fenced.group())), source.text)
    return list(dict.fromkeys([*_quoted(source, prose), *_bare(source, prose)]))[:_MOST]


def _quoted(source: SourceText, prose: bytes) -> Iterator[Rename]:
    quotes = list(_QUOTED.finditer(prose))[-_MOST_QUOTED:]
    spans = [Span(*quote.span()) for quote in quotes]
    at = 0
    while at + 1 < len(quotes):
        one, other = quotes[at], quotes[at + 1]
        at += 1
        between = prose[one.end() : other.start()]
        is_near = _NEAR.fullmatch(between) is not None
        is_far = one[1] == other[1] == b"`" and len(between) <= _FAR and not _APART.search(between)
        forward = rename(one[2], other[2]) if is_near or is_far else None
        if forward is None:
            continue
        has_old, has_new = _stands(source, forward.old, spans), _stands(source, forward.new, spans)
        if has_old and (not has_new or re.fullmatch(_TO, between)):
            yield forward
            at += 1
        elif is_near and has_new and not has_old:
            yield Rename(forward.new, forward.old)
            at += 1


def _bare(source: SourceText, prose: bytes) -> Iterator[Rename]:
    for found in list(_BARE.finditer(prose))[-_MOST_BARE:]:
        old, new = found[1], found[2]
        in_code = any(not prose[span.begin] and source.text[span.begin : span.end] == old for span in source.find(old))
        if in_code and old != new and not _stands(source, new, [Span(*found.span())]):
            yield Rename(old, new)


def _stands(source: SourceText, name: bytes, without: Sequence[Span]) -> bool:
    """Whether it stands outside these spans, which are in order."""
    for place in source.find(name):
        before = bisect_right(without, place.begin, key=lambda span: span.begin) - 1
        if before < 0 or not without[before].covers(place.begin):
            return True
    return False


def _is_word(byte: int) -> bool:
    return byte == ord("_") or byte > 127 or chr(byte).isalnum()
