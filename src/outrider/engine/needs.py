"""What a drafter wants of a target and what the target can do: told at the start, or met without asking who it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from outrider.core.tree import DraftTree
from outrider.drafting.interface import Drafter
from outrider.errors import ConfigError
from outrider.target.interface import Target, TargetInfo


def check_needs(drafter: Drafter[Any], target: Target) -> None:
    """Raises: ConfigError where the drafter wants what this target does not give."""
    name = "+".join(drafter.sources) or type(drafter).__name__
    if drafter.taps and not target.info.taps:
        raise ConfigError(f"drafter '{name}' reads outputs of the target's layers, which this target does not give: "
                          "choose one that needs none, such as suffix")
    bad = [tap for tap in drafter.taps if not 0 <= tap < target.num_layers]
    if bad:
        raise ConfigError(f"drafter '{name}' reads the output of layer {bad[0]}, but this target has layers 0 to "
                          f"{target.num_layers - 1}: choose a drafter made for this model")


def servable(trees: Sequence[DraftTree], info: TargetInfo) -> Sequence[DraftTree]:
    """What the target can verify of drafts: all of them, or of each its likeliest chain."""
    return trees if info.trees else [tree.likeliest_chain() for tree in trees]
