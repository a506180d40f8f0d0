"""Files that llama.cpp's own converter wrote: the same drafters as the directories that it read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from outrider.core.draft_spec import DraftSpec
from outrider.io.drafters.open import open_drafter
from outrider.ops.rope import frequencies

GOLDEN = Path(__file__).parents[2] / "golden"
FILES = sorted((GOLDEN / "drafters-gguf").glob("*.gguf"))


def comparable(spec: DraftSpec) -> DraftSpec:
    """Without what a GGUF does not say, and without how it says which frequencies there are."""
    rope = replace(spec.stack.rope, scaling="none", factor=1.0, original_positions=0, frequency_divisor=())
    local = rope if spec.stack.local_rope else None
    stack = replace(spec.stack, rope=rope, local_rope=local)
    return replace(spec, stack=stack, verifier="", num_target_layers=0)


@pytest.mark.supports("checkpoints of drafters", "{path.stem}", "GGUF", "random")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_converter_changes_nothing(path: Path) -> None:
    folder = GOLDEN / "drafters" / path.stem
    layers = json.loads((folder / "case.json").read_text())["target_layers"]
    theirs, ours = open_drafter(path), open_drafter(folder, num_target_layers=layers)
    assert theirs.format == "gguf"
    assert comparable(theirs.spec) == comparable(ours.spec)
    rotations = [frequencies(draft.spec.stack.rope, draft.spec.stack.head_size) for draft in (theirs, ours)]
    assert torch.allclose(rotations[0], rotations[1], rtol=1e-6, atol=0)
    assert set(theirs.names) == set(ours.names)
    for name in ours.names:
        assert torch.equal(theirs.tensor(name, torch.float32), ours.tensor(name, torch.float32)), name


def test_all_of_them_are_there() -> None:
    assert len(FILES) == 7
