from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outrider.policy import price_file
from outrider.policy.interface import Load
from outrider.policy.pass_price import Curve
from outrider.policy.price_file import PriceFile, price_of
from tiny_engine import target_of

CURVE = Curve((1, 2, 4, 8), (0.010, 0.012, 0.1 + 0.2, 0.32), (1, 4), (0.0, 4e-6))
OTHER = Curve((1,), (0.5,), (1,), (0.0,))


@pytest.fixture
def file(tmp_path: Path) -> PriceFile:
    return PriceFile.of(target_of(), tmp_path)


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The targets that were measured; each found to be as `OTHER`."""
    found: list[object] = []

    def measured(target: object) -> Curve:
        found.append(target)
        return OTHER

    monkeypatch.setattr(price_file, "measured", measured)
    return found


def test_a_price_comes_back_to_the_last_bit(file: PriceFile) -> None:
    assert file.read() is None
    file.write(CURVE)
    assert file.read() == CURVE
    assert [path.name for path in file.path.parent.iterdir()] == [file.path.name]


def test_it_is_measured_once(tmp_path: Path, probes: list[object]) -> None:
    for _ in range(2):
        assert price_of(target_of(), tmp_path).curve == OTHER
    assert len(probes) == 1


def test_a_price_of_a_busy_machine_is_measured_again_by_the_next_process(tmp_path: Path, probes: list[object]) -> None:
    price = price_of(target_of(), tmp_path)
    for _ in range(3):
        price.observe([Load(1, 0)], 0.01 * OTHER.base_n[0])
    assert price_of(target_of(), tmp_path).curve == OTHER and len(probes) == 2


def test_the_users_cache_is_the_usual_place(tmp_path: Path, probes: list[object],
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_file, "cache_home", lambda: tmp_path)
    price_of(target_of())
    assert PriceFile.of(target_of(), tmp_path).read() == OTHER


def test_other_targets_have_other_files(tmp_path: Path, file: PriceFile, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PriceFile.of(target_of("windowed"), tmp_path).path != file.path
    monkeypatch.setattr(price_file, "_processor", lambda: "another")
    assert PriceFile.of(target_of(), tmp_path).path != file.path


def changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def apply(data: bytes) -> bytes:
        content = json.loads(data)
        change(content)
        return json.dumps(content).encode()

    return apply


@pytest.mark.parametrize("damage", [
    lambda data: b"",
    lambda data: data[:-20],
    lambda data: b"\xff" + data,
    lambda data: b"[" * 60_000,
    lambda data: b"null",
    lambda data: b"[1]",
    changed(lambda content: content.pop("curve")),
    changed(lambda content: content["facts"].update(threads="77")),
    changed(lambda content: content["curve"].pop("slope_n")),
    changed(lambda content: content["curve"].update(base_n=[0.4, 0.3, 0.2, 0.1])),
    changed(lambda content: content["curve"].update(base_n=[0.1, 0.2, 0.3, float("nan")])),
    changed(lambda content: content["curve"].update(base_n=[0.1, 0.2, 0.3, 10**400])),
    changed(lambda content: content["curve"].update(rows_n=[True, 2, 4, 8])),
    changed(lambda content: content["curve"].update(rows_n=[1.5, 2, 4, 8])),
    changed(lambda content: content["curve"].update(slope_n=["0", 4e-6])),
    changed(lambda content: content["curve"].update(slope_n=7)),
])
def test_what_is_damaged_is_measured_again(damage: Callable[[bytes], bytes], file: PriceFile, tmp_path: Path,
                                           probes: list[object]) -> None:
    file.write(CURVE)
    file.path.write_bytes(damage(file.path.read_bytes()))
    assert price_of(target_of(), tmp_path).curve == OTHER
    assert len(probes) == 1 and file.read() == OTHER


def test_a_folder_in_its_place_is_no_error(file: PriceFile, tmp_path: Path, probes: list[object]) -> None:
    file.path.mkdir(parents=True)
    assert price_of(target_of(), tmp_path).curve == OTHER
    assert [path.name for path in file.path.parent.iterdir()] == [file.path.name]


def test_a_home_that_cannot_be_written_is_no_error(tmp_path: Path, probes: list[object]) -> None:
    home = tmp_path / "home"
    home.write_text("a file")
    for _ in range(2):
        assert price_of(target_of(), home).curve == OTHER
    assert len(probes) == 2


def test_a_full_disk_leaves_the_old_file(file: PriceFile, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write(CURVE)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    file.write(OTHER)
    assert file.read() == CURVE
    assert len(list(file.path.parent.iterdir())) == 1
