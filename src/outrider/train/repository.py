"""The text files of a directory, as git sees them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec

from outrider.errors import ConfigError

_SNIFF_BYTES = 8192


@dataclass(slots=True)
class Survey:
    """What was found: texts read so far, and files passed over with the reason."""

    num_files: int = 0
    num_bytes: int = 0
    skipped: dict[str, int] = field(default_factory=dict)

    def skip(self, reason: str) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1


def texts(directory: Path, max_file_bytes: int, survey: Survey) -> Iterator[str]:
    """Every text file of `directory` that .gitignore leaves, in the order of their names.

    Links, binary files (a zero byte, or no valid UTF-8) and files over `max_file_bytes` are counted in `survey`.
    Raises: ConfigError where `directory` is none.
    """
    if not directory.is_dir():
        raise ConfigError(f"'{directory}' is no directory; expected one with text files to learn")
    for path in sorted(_from_git(directory) or _from_walk(directory)):
        text = _read(path, max_file_bytes, survey)
        if text:
            survey.num_files += 1
            survey.num_bytes += len(text.encode())
            yield text


def _read(path: Path, max_file_bytes: int, survey: Survey) -> str:
    if path.is_symlink() or not path.is_file():
        survey.skip("not a plain file")
        return ""
    try:
        if path.stat().st_size > max_file_bytes:
            survey.skip("too large")
            return ""
        data = path.read_bytes()
    except OSError:
        survey.skip("unreadable")
        return ""
    try:
        if b"\0" in data[:_SNIFF_BYTES]:
            raise ValueError
        return data.decode("utf-8")
    except ValueError:
        survey.skip("binary")
        return ""


def _from_git(directory: Path) -> list[Path]:
    """Tracked and new files; nothing where git is missing, this is no work tree, or git ignores all of it."""
    command = ["git", "-C", str(directory), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [directory / os.fsdecode(name) for name in set(done.stdout.split(b"\0")) if name]


@dataclass(frozen=True, slots=True)
class _Rules:
    """The .gitignore files from the top down to a directory."""

    above: tuple[tuple[Path, GitIgnoreSpec], ...] = ()

    def within(self, directory: Path) -> _Rules:
        file = directory / ".gitignore"
        if not file.is_file():
            return self
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        return _Rules((*self.above, (directory, GitIgnoreSpec.from_lines(lines))))

    def ignore(self, path: Path) -> bool:
        """The innermost file that has an opinion decides, as in git."""
        slash = "/" if path.is_dir() and not path.is_symlink() else ""
        for base, spec in reversed(self.above):
            verdict = spec.check_file(path.relative_to(base).as_posix() + slash).include
            if verdict is not None:
                return verdict
        return False


def _from_walk(directory: Path) -> list[Path]:
    """Outside a work tree: the same rules, read by ourselves. Ignored directories are not entered."""
    found: list[Path] = []
    pending = [(directory, _Rules())]
    while pending:
        here, rules = pending.pop()
        rules = rules.within(here)
        for path in here.iterdir():
            if path.name == ".git" or rules.ignore(path):
                continue
            if path.is_dir() and not path.is_symlink():
                pending.append((path, rules))
            else:
                found.append(path)
    return found
