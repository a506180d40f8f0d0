"""Where a JSON value ends, in a text that comes in pieces."""

from __future__ import annotations

_BLANKS = " \t\r\n"
_ENDS = ",]}" + _BLANKS


class JsonScan:
    """Reads one value, of which it looks at brackets and strings only: whether it is valid is for others to say."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._escaped = self._plain = False
        self.is_done = False

    def feed(self, text: str) -> int:
        """How many characters belong to the value; fewer than all where it ends."""
        for at, char in enumerate(text):
            if self._plain and char in _ENDS:  # a number or a word ends before what follows it
                self.is_done = True
                return at
            self._read(char)
            if self.is_done:
                return at + 1
        return len(text)

    def _read(self, char: str) -> None:
        if self._in_string:
            self._in_string = self._escaped or char != '"'
            self._escaped = char == "\\" and not self._escaped
            self.is_done = not self._in_string and not self._depth
        elif char == '"':
            self._in_string = True
        elif char in "{[":
            self._depth += 1
        elif char in "}]":
            self._depth -= 1
            self.is_done = self._depth <= 0
        elif not self._depth and char not in _BLANKS:
            self._plain = True
