"""Command-line flags from a dataclass, with mistakes told in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

import tyro

from outrider.errors import ConfigError, suggestion

Config = TypeVar("Config")


def parse(config: type[Config], argv: Sequence[str], prog: str) -> Config:
    """Read `argv` into the dataclass `config`; its docstrings are the help texts, `Positional` fields come bare.

    Raises:
        ConfigError: an unknown flag (with a suggestion), a missing or an unreadable value.
        SystemExit: with code 0, after `--help` was printed.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed, unknown = tyro.cli(
                config,
                args=list(argv),
                prog=prog,
                return_unknown_args=True,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as exit_request:
        if not exit_request.code:
            raise
        # Where something else is missing too, tyro does not say that a flag is unknown, but that is the likelier cause.
        if strangers := _strange_flags(argv, flag_names(config)):
            raise unknown_word(strangers[0], flag_names(config), prog) from None
        raise ConfigError(f"{_in_one_line(complaint.getvalue())}; see '{prog} --help'") from None
    if unknown:
        raise unknown_word(unknown[0], flag_names(config), prog)
    return parsed


def unknown_word(word: str, known: Iterable[str], prog: str) -> ConfigError:
    """The error for a flag or argument that `prog` does not take."""
    kind = "option" if word.startswith("-") else "argument"
    name = word.split("=", 1)[0]
    hint = suggestion(name, known) if kind == "option" else ""
    return ConfigError(f"unknown {kind} '{name}'{hint}; see '{prog} --help'")


def flag_names(config: type[object]) -> list[str]:
    """The flags that a config dataclass turns into."""
    if not dataclasses.is_dataclass(config):
        return []
    return ["--" + field.name.replace("_", "-") for field in dataclasses.fields(config)]


def _strange_flags(argv: Sequence[str], known: Sequence[str]) -> list[str]:
    words = list(argv[: argv.index("--")]) if "--" in argv else argv
    return [word for word in words if word.startswith("--") and word.split("=", 1)[0].replace("_", "-") not in known]


def _in_one_line(box: str) -> str:
    """The first statement of tyro's boxed complaint: what stands between its first and second rule."""
    lines = [re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯├┤]", "", line)).strip() for line in box.splitlines()]
    rules = [number for number, line in enumerate(lines) if re.search(r"───|^-{4,}$", line)]
    if len(rules) < 2:
        return " ".join(filter(None, lines)) or "the arguments cannot be read"
    return " ".join(filter(None, lines[rules[0] + 1 : rules[1]]))
