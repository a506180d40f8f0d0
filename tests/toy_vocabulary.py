"""A vocabulary of a few words: whatever begins like one of its pieces is that token, the longest first."""

from __future__ import annotations

from dataclasses import dataclass

PIECES = ("task", " task", ".task", "(task", "Task", " Task", "TASK", "job", " job", "Job", "JOB", "s", "_", ".", "(",
          ")", " ", "\n", ":", "name", " name", "`task` to `job`\n", "self", "List", "e", "a", "t", "k", "J", "b", "o",
          "j", "class", "it", "```\n", "`Task` to `Job`.\n")


@dataclass(frozen=True, slots=True)
class ToyVocabulary:
    """Every token is a piece, round and round; texts of other signs have no tokens."""

    space_prefix: bool = False

    def encode(self, text: str, *, special: bool) -> list[int]:
        assert not special
        text = " " + text if self.space_prefix else text
        found: list[int] = []
        while text:
            fitting = [piece for piece in PIECES if text.startswith(piece)]
            if not fitting:
                return []
            longest = max(fitting, key=len)
            found.append(PIECES.index(longest))
            text = text.removeprefix(longest)
        return found

    def token_bytes(self, token: int) -> bytes:
        return PIECES[token % len(PIECES)].encode()


def tokens(text: str) -> list[int]:
    return ToyVocabulary().encode(text, special=False)
