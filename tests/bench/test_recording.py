"""Recordings on disk: the same when read again, and one line about whatever is wrong with a file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from made_recordings import LOOKUP, NETWORK, answer, chain, recording
from outrider.bench.recording import Proposal, Recording, read, write
from outrider.core.tree import DraftTree
from outrider.errors import ConfigError, OutriderError, UnknownReferenceError

BRANCHED = Proposal(DraftTree([4, 5, 6], [-1, -1, 0], [1, 3, 2], [0.5, 0.25, 0.125]), 0.002, 2)
BARE = Proposal(DraftTree([7, 8], range(-1, 1), [1, 1]), 3e-6, 0)


def made() -> Recording:
    first = answer([1, 2, 3], [chain(), chain(3)], [BRANCHED, BARE])
    return recording(first, answer([9, 9], [chain(9)], [chain()], workload="code"), seats=(LOOKUP, NETWORK))


@pytest.mark.parametrize("name", ["some.jsonl", "some.jsonl.gz"])
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, made())
    assert read(tmp_path / name) == made()
    assert ((tmp_path / name).read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")


def test_workloads_are_told_apart_and_keep_their_order() -> None:
    parts = made().by_workload()
    assert [(name, len(part.answers)) for name, part in parts.items()] == [("edit", 1), ("code", 1)]
    assert all(part.setting == made().setting for part in parts.values())


def damaged(path: Path, line: int, change: Callable[[dict[str, Any]], object]) -> None:
    write(path, made())
    rows = [json.loads(row) for row in path.read_text().splitlines()]
    change(rows[line])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(("line", "change"), [
    (0, lambda row: row.pop("curve")),
    (0, lambda row: row.update(recording=99)),
    (0, lambda row: row["curve"].update(base_n=[-1.0, 2.0])),
    (0, lambda row: row.update(members=[])),
    (0, lambda row: row.update(members=7)),
    (0, lambda row: row["members"][0].pop("read_bytes")),
    (1, lambda row: row.pop("tokens")),
    (1, lambda row: row.update(tokens=[1])),
    (1, lambda row: row.update(prompt="many")),
    (1, lambda row: row["proposals"].pop()),
    (1, lambda row: row["proposals"][0].pop()),
    (1, lambda row: row["proposals"][1][0].__setitem__(3, [0, 1, 2])),
    (1, lambda row: row["proposals"][1][0].__setitem__(5, [0.5])),
    (1, lambda row: row["proposals"][1].__setitem__(0, [])),
    (1, lambda row: row["proposals"][1].__setitem__(0, [-1.0, 0])),
    (1, lambda row: row["proposals"][1].__setitem__(0, [1.0, 0, [4, 4], [-1, -1], 1, None])),
    (2, lambda row: row.update(remaining=0)),
])
def test_a_damaged_line_is_named(tmp_path: Path, line: int, change: Callable[[dict[str, Any]], object]) -> None:
    path = tmp_path / "bad.jsonl"
    damaged(path, line, change)
    with pytest.raises(ConfigError) as error:
        read(path)
    assert f"line {line + 1}:" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"\n", b"[]\n", b"7\n", b"{", b"\xff\xfe", b"\x1f\x8bgarbage",
                                  b'{"recording":1}', gzip.compress(b"not JSON", mtime=0),
                                  gzip.compress(b"{}" * 99, mtime=0)[:-4], b"[" * 100_000])
def test_what_is_no_recording_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as error:
        read(path)
    assert "\n" not in str(error.value)


def test_a_recording_without_answers_is_none(tmp_path: Path) -> None:
    write(tmp_path / "empty.jsonl", recording())
    with pytest.raises(ConfigError, match="holds no answers"):
        read(tmp_path / "empty.jsonl")


def test_places_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownReferenceError, match="bench record"):
        read(tmp_path / "nothing.jsonl")
    with pytest.raises(OutriderError, match="cannot write"):
        write(tmp_path / "nowhere" / "some.jsonl", made())
