"""The code blocks of the README and of `docs/`, and what is to be done with each.

A comment on the line above a block (blank lines between them do not count) says what the block is:

    <!-- not run: REASON -->          left alone
    <!-- real model -->               run, but only where real models are wanted
    <!-- file: NAME -->               written to NAME in the working folder of the blocks that follow
    <!-- output of: COMMAND -->       must equal what COMMAND prints; `python tests/doc_blocks.py` rewrites it

Every other `bash` or `python` block is run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*) -->\n+)?^```(?P<language>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    body: str
    note: str
    line: int  # of the first line of the body

    @property
    def is_run(self) -> bool:
        return self.language in ("bash", "python") and not self.note.startswith(("not run: ", "file: ", "output of: "))

    @property
    def needs_model(self) -> bool:
        return self.note == "real model"

    def argument(self, kind: str) -> str | None:
        """What follows `KIND: ` in the note, if this is a note of that kind."""
        return self.note.removeprefix(f"{kind}: ") if self.note.startswith(f"{kind}: ") else None


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text: str) -> list[Block]:
    return [
        Block(found["language"], found["body"], found["note"] or "", text.count("\n", 0, found.start("body")) + 1)
        for found in BLOCK.finditer(text)
    ]


def environment(folder: Path) -> dict[str, str]:
    """This process's environment with this Python's programs first on PATH, and `outrider` even if not installed."""
    shim = folder / ".bin" / "outrider"
    shim.parent.mkdir(exist_ok=True)
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m outrider "$@"\n')
    shim.chmod(0o755)
    path = os.pathsep.join([str(Path(sys.executable).parent), str(shim.parent), os.environ.get("PATH", "")])
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1", "COLUMNS": "100"}


def bash(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=environment(folder), text=True, capture_output=True
    )


def refreshed(text: str, folder: Path) -> str:
    """`text` with every `output of` block holding what its command prints now."""
    for block in blocks(text):
        command = block.argument("output of")
        if command is not None:
            shown = "\n".join(line.rstrip() for line in bash(command, folder).stdout.splitlines()) + "\n"
            text = text.replace(f"```{block.language}\n{block.body}```", f"```{block.language}\n{shown}```")
    return text


if __name__ == "__main__":
    import tempfile

    for document in documents():
        with tempfile.TemporaryDirectory() as scratch:
            before = document.read_text(encoding="utf-8")
            after = refreshed(before, Path(scratch))
        if after != before:
            document.write_text(after, encoding="utf-8")
            print(f"rewrote {document.relative_to(ROOT)}")
