"""Recordings: answers of a model with what every drafter would have proposed at every position of them.

Drafts never change an answer, so a recording is all that a policy needs to be tried without the model.

    line 1    the model, the members of the drafter, the price of a pass
    line …    an answer: its tokens, and by member and position [microseconds, debt, tokens, parents, sources, scores]

JSON lines, packed by gzip where the name ends in .gz. Proposals without nodes end behind the debt; parents are null for
a chain; sources are a number where all nodes share it; scores are null where a drafter gives none.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from outrider.core.tree import ANCHOR, EMPTY_TREE, DraftTree
from outrider.errors import ConfigError, UnknownReferenceError
from outrider.policy.pass_price import Curve

VERSION = 1
_DIGITS = 5  # of scores


@dataclass(frozen=True, slots=True)
class Seat:
    """A member of the recorded drafter. `read_bytes` of weights in a pass of its network; 0 without one."""

    name: str
    sources: tuple[str, ...]
    read_bytes: int

    @property
    def has_network(self) -> bool:
        return self.read_bytes > 0


@dataclass(frozen=True, slots=True)
class Setting:
    """What was recorded, and where. `weight_bytes` are the target's, `max_draft` the most nodes asked for."""

    model: str
    drafter: str
    seats: tuple[Seat, ...]
    weight_bytes: int
    max_draft: int
    curve: Curve
    made_with: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a member said at a position; its network had `debt` tokens to read before."""

    tree: DraftTree
    seconds: float
    debt: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of `token_n` to a prompt of so many tokens.

    `by_seat` has a proposal for every token but the last: the i-th continues the answer behind `token_n[i]`. There,
    `remaining - i` tokens could still be emitted. `prompt_s` is what the target's passes over the prompt took, `pass_s`
    the usual pass over one row, `host_s` all that a round took besides, the drafters' proposals not counted.
    """

    workload: str
    num_prompt: int
    token_n: tuple[int, ...]
    by_seat: tuple[tuple[Proposal, ...], ...]
    remaining: int
    prompt_s: float
    pass_s: float
    host_s: float

    @property
    def num_rounds(self) -> int:
        """Rounds that plain decoding takes behind the first token."""
        return len(self.token_n) - 1


@dataclass(frozen=True, slots=True)
class Recording:
    """Answers in the order in which they were given; those of one workload by one drafter, which was new to it."""

    setting: Setting
    answers: tuple[Answer, ...]

    def by_workload(self) -> dict[str, Recording]:
        """A part for each workload."""
        names = dict.fromkeys(answer.workload for answer in self.answers)
        return {name: replace(self, answers=tuple(one for one in self.answers if one.workload == name))
                for name in names}


def write(path: Path, recording: Recording) -> None:
    """Raises: ConfigError where the file cannot be written."""
    lines = [_setting_row(recording.setting), *map(_answer_row, recording.answers)]
    text = "".join(json.dumps(line, allow_nan=False, separators=(",", ":")) + "\n" for line in lines)
    data = text.encode()
    try:
        path.write_bytes(gzip.compress(data, 6) if path.suffix == ".gz" else data)
    except OSError as error:
        raise ConfigError(f"cannot write the recording {path} ({error.strerror}): choose another place") from None


def read(path: Path) -> Recording:
    """Raises: UnknownReferenceError where there is no file; ConfigError for a file that is no recording."""
    path = path.expanduser()
    if not path.is_file():
        raise UnknownReferenceError(f"no recording at '{path}': make one with 'outrider bench record'")
    rows = list(_rows(path))
    if not rows:
        raise ConfigError(f"{path} is empty: expected a recording of 'outrider bench record'")
    setting = _checked(lambda: _setting(rows[0]), path, 1)
    answers = [_checked(lambda row=row: _answer(row, len(setting.seats)), path, number)
               for number, row in enumerate(rows[1:], start=2)]
    if not answers:
        raise ConfigError(f"{path} holds no answers: expected a recording of 'outrider bench record'")
    return Recording(setting, tuple(answers))


def _rows(path: Path) -> Iterator[Any]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path} as a recording ({error}): record it anew") from None
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            raise ConfigError(f"{path}, line {number}: not JSON; expected a recording of 'outrider bench record'"
                              ) from None


def _checked(make: Any, path: Path, number: int) -> Any:
    """Raises: ConfigError for whatever is missing or of a wrong kind in a line."""
    try:
        return make()
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        reason = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{path}, line {number}: no line of a recording ({reason}): record it anew") from None


def _setting_row(setting: Setting) -> dict[str, object]:
    curve = setting.curve
    return {
        "recording": VERSION, "model": setting.model, "drafter": setting.drafter, "made_with": setting.made_with,
        "weight_bytes": setting.weight_bytes, "max_draft": setting.max_draft,
        "members": [{"name": seat.name, "sources": seat.sources, "read_bytes": seat.read_bytes}
                    for seat in setting.seats],
        "curve": {"rows_n": curve.rows_n, "base_n": curve.base_n, "context_rows_n": curve.context_rows_n,
                  "slope_n": curve.slope_n},
    }


def _setting(row: Any) -> Setting:
    if row["recording"] != VERSION:
        raise ValueError(f"version {row['recording']!r}, expected {VERSION}")
    seats = tuple(Seat(str(seat["name"]), tuple(map(str, seat["sources"])), int(seat["read_bytes"]))
                  for seat in row["members"])
    if not seats or any(not seat.sources for seat in seats):
        raise ValueError("a drafter without members or sources")
    found = row["curve"]
    curve = Curve(tuple(map(int, found["rows_n"])), tuple(map(float, found["base_n"])),
                  tuple(map(int, found["context_rows_n"])), tuple(map(float, found["slope_n"])))
    return Setting(str(row["model"]), str(row["drafter"]), seats, int(row["weight_bytes"]), int(row["max_draft"]),
                   curve, str(row["made_with"]))


def _answer_row(answer: Answer) -> dict[str, object]:
    return {
        "workload": answer.workload, "prompt": answer.num_prompt, "remaining": answer.remaining,
        "prompt_s": round(answer.prompt_s, 6), "pass_s": round(answer.pass_s, 7), "host_s": round(answer.host_s, 7),
        "tokens": answer.token_n, "proposals": [[_proposal_row(one) for one in own] for own in answer.by_seat],
    }


def _answer(row: Any, num_seats: int) -> Answer:
    by_seat = tuple(tuple(map(_proposal, own)) for own in row["proposals"])
    answer = Answer(str(row["workload"]), int(row["prompt"]), tuple(map(int, row["tokens"])), by_seat,
                    int(row["remaining"]), float(row["prompt_s"]), float(row["pass_s"]), float(row["host_s"]))
    if answer.num_rounds < 1 or len(by_seat) != num_seats:
        raise ValueError("an answer of fewer than two tokens, or not of all members")
    if any(len(own) != answer.num_rounds for own in by_seat) or answer.remaining < answer.num_rounds:
        raise ValueError("numbers of tokens and proposals differ")
    return answer


def _proposal_row(proposal: Proposal) -> list[object]:
    tree, micros = proposal.tree, round(1e6 * proposal.seconds, 1)
    if not len(tree):
        return [micros, proposal.debt]
    parents = None if _is_chain(tree.parent_N) else list(tree.parent_N)
    sources = [tree.source(node) for node in range(len(tree))]
    scores = [round(float(score), _DIGITS) for score in tree.score_N] or None
    return [micros, proposal.debt, list(tree.token_N), parents, sources[0] if len(set(sources)) == 1 else sources,
            scores]


def _proposal(row: Any) -> Proposal:
    seconds, debt = float(row[0]) / 1e6, int(row[1])
    if not 0.0 <= seconds < float("inf") or debt < 0:
        raise ValueError("a proposal that took no time")
    return Proposal(_tree(*row[2:]) if len(row) > 2 else EMPTY_TREE, seconds, debt)


def _tree(token_N: Any, parent_N: Any, source_N: Any, score_N: Any) -> DraftTree:
    size = len(token_N)
    parents: Sequence[int] = range(ANCHOR, size - 1) if parent_N is None else [int(parent) for parent in parent_N]
    sources = [source_N] * size if isinstance(source_N, int) else [int(source) for source in source_N]
    tree = DraftTree([int(token) for token in token_N], parents, sources,
                     [float(score) for score in score_N] if score_N is not None else ())
    try:
        tree.check()
    except AssertionError as error:
        raise ValueError(f"no tree: {error}") from None
    return tree


def _is_chain(parent_N: Sequence[int]) -> bool:
    return isinstance(parent_N, range) or list(parent_N) == list(range(ANCHOR, len(parent_N) - 1))
