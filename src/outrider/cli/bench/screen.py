"""What every benchmark shows while it runs and when it is done. Imports no torch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def tell(line: str) -> None:
    """Progress, on a terminal only: each line takes the place of the one before, the empty one of all."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def show(table: Table) -> None:
    """A table, never folded where the output goes to a file."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160, soft_wrap=True).print(table)
