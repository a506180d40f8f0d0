"""What a drafter wants of a target and what the target can do: told at the start, or met without asking who it is."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Any

from outrider.core.tree import DraftTree
from outrider.drafting.interface import Drafter
from outrider.engine.config import Overlap
from outrider.engine.sequence import Sequence
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


def can_overlap(wanted: Overlap, drafter: Drafter[Any], target: Target) -> bool:
    """Whether a round may be launched before the one before it is resolved.

    What a drafter wants of a pass is read when the round is resolved, from room that the next pass may write to.
    `auto` is for devices of their own: a CPU that computes with all its cores has none left for the host's work.
    """
    if wanted == "off" or drafter.taps or drafter.candidates or not target.info.trees:
        return False
    return wanted == "on" or target.device.type != "cpu"


def flies(sequence: Sequence, drafter: Drafter[Any]) -> bool:
    """Whether the round behind its next one can be planned blindly: one token more, chosen from logits by place."""
    if sequence.history is not None or sequence.constraint is not None or sequence.scores_prompt:
        return False
    limits, sampling = sequence.track.limits, sequence.sampling
    may_draft = drafter.drafts and limits.members and limits.max_draft
    return not may_draft and not sampling.min_tokens and sampling.logprobs is None


def servable(trees: Seq[DraftTree], info: TargetInfo) -> Seq[DraftTree]:
    """What the target can verify of drafts: all of them, or of each its likeliest chain."""
    return trees if info.trees else [tree.likeliest_chain() for tree in trees]
