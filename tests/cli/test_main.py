"""The shell around the verbs: help, mistakes in one line, exit codes, and no torch where none is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

import outrider
from outrider.cli import main as main_module
from outrider.cli.main import main
from outrider.errors import CheckpointError

TORCHLESS = [
    ("", 0), ("--help", 0), ("--version", 0), ("models", 0), ("models --json", 0), ("models show nothing", 2),
    ("models rm nothing", 2), ("pull --help", 0), ("pull nothing", 2), ("doctor --json", 0),
]
RUN_EACH = """
import contextlib, io, sys
from outrider.cli.main import main
for command in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = main(command.split())
    print(f"{command}: {code}", *({"torch"} & {*sys.modules}))
"""


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OUTRIDER_HOME", str(tmp_path / "outrider"))


def replace_verb(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(argv: list[str]) -> NoReturn:
        raise error

    monkeypatch.setattr(main_module, "_load", lambda verb: SimpleNamespace(run=run, SUMMARY=""))


def test_these_commands_do_not_import_torch() -> None:
    """One process for all: what one of them imports is there still when the next is done."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", RUN_EACH, *(words for words, _ in TORCHLESS)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == [f"{words}: {code}" for words, code in TORCHLESS]


def test_help_lists_every_verb_that_exists_and_no_other(capsys: pytest.CaptureFixture[str],
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "VERBS", (*main_module.VERBS, "fly"))
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    directory = Path(main_module.__file__).parent
    for verb in main_module.VERBS:
        assert (f"\n  {verb} " in shown) == bool(list(directory.glob(f"{verb}*")))
    assert "\n  serve " in shown and "\n  fly" not in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"outrider {outrider.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["modles"], "unknown verb 'modles' (did you mean 'models'?)"),
        (["serve-nothing"], "unknown verb 'serve-nothing'"),
        (["--verison"], "unknown option '--verison' (did you mean '--version'?)"),
        (["pull"], "no model given"),
        (["pull", "x", "--jsno"], "unknown option '--jsno' (did you mean '--json'?)"),
        (["pull", "./x.gguf"], "nothing to pull"),
        (["models", "shwo"], "unknown action 'shwo' (did you mean 'show'?)"),
        (["models", "show"], "Missing from outrider models show: STR"),
        (["models", "--jsn"], "unknown option '--jsn' (did you mean '--json'?)"),
        (["models", "show", "a.gguf", "b.gguf"], "unknown argument 'b.gguf'"),
        (["models", "rm", "somebody/else"], "left alone"),
        (["doctor", "now"], "unknown argument 'now'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("outrider: ")
    assert captured.err.count("\n") == 1
    assert complaint in captured.err


@pytest.mark.parametrize("arguments", [["--debug", "pull", "x"], ["pull", "--debug", "x"], ["pull", "x", "--debug"]])
def test_debug_anywhere_shows_the_traceback(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_verb(monkeypatch, CheckpointError("broken\nfile"))
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("outrider: broken file\n")


def test_ctrl_c_is_one_line_and_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_verb(monkeypatch, KeyboardInterrupt())
    assert main(["pull", "x"]) == 130
    assert capsys.readouterr().err == "outrider: interrupted\n"


def test_our_own_faults_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_verb(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["pull", "x"])


@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
def test_a_reader_that_goes_away_is_no_error() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "outrider", "models", "--json"]
    answer = subprocess.run(command, env=environment, stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (answer.returncode, answer.stderr) == (141, b"")
