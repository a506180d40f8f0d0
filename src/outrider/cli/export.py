"""`outrider export`: a drafter in the layout that another program loads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from outrider.cli.flags import parse
from outrider.cli.options import check_counts

SUMMARY = "write a drafter for other programs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Write a drafter as z-lab's code, speculators or SafeAILab keep theirs; the commands that serve it follow."""

    drafter: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DRAFTER")]
    """A directory or GGUF file of any format that Outrider reads."""
    to: str
    """z-lab, speculators or eagle3 (SafeAILab's)."""
    out: Path
    """A new or empty directory."""
    verifier: str = ""
    """The target's path or hub id, where the drafter does not name it."""
    target_layers: int = 0
    """How many layers the target has, where the drafter leaves the choice of layers to a rule."""
    borrow: bool = False
    """Leave out embedding and head: the target's take their place."""
    allow_pickle: bool = False
    """Read pytorch_model.bin, weights only, where there is nothing else."""
    json: bool = False
    """Print one JSON document instead of lines."""


def run(argv: list[str]) -> int:
    options = parse(Export, argv, "outrider export")
    check_counts(options, "target_layers")
    from outrider.io.drafters.export import export
    from outrider.io.drafters.open import open_drafter

    draft = open_drafter(
        options.drafter.expanduser(), num_target_layers=options.target_layers, allow_pickle=options.allow_pickle
    )
    written = export(draft, options.out.expanduser(), options.to, verifier=options.verifier, borrow=options.borrow)
    if options.json:
        document = {"folder": str(written.folder), "num_tensors": written.num_tensors}
        print(json.dumps({**document, "commands": written.commands, "notes": written.notes}))
        return 0
    print(f"{written.num_tensors} tensors in {written.folder}")
    print("\n".join([*(f"# {note}" for note in written.notes), *written.commands]))
    return 0
