"""The rules of verification that a user can choose: `match`, and on request `ratio` and `block`.

Greedy requests are matched under any of them: with one-hot distributions the rules agree. So a batch may hold both
kinds, and one verdict is put together from both.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from outrider.core.commit import Verdict, VerdictBatch
from outrider.core.distribution import History, distribution
from outrider.core.drawn import DrawnTree
from outrider.core.ratio_noise import DrawKey, VerdictKey
from outrider.core.rule import RuleName
from outrider.core.tree import DraftBatch, DraftTree
from outrider.drafting.interface import Drafter
from outrider.engine.choices import Chooser
from outrider.engine.sequence import Sequence
from outrider.errors import ConfigError
from outrider.verify.block import walk_block
from outrider.verify.dice import KeyedDice
from outrider.verify.ratio import Law, Rule, walk_drawn

_RULES: Mapping[str, Rule] = MappingProxyType({"ratio": walk_drawn, "block": walk_block})


def verifier(rule: RuleName, drafter: Drafter[Any], matching: Chooser) -> Chooser:
    """Who gives the verdicts under a rule. Raises: ConfigError where the drafter cannot draw what it needs."""
    if rule == "match":
        return matching
    name = "+".join(drafter.sources) or type(drafter).__name__
    if drafter.draws == "nothing":
        raise ConfigError(f"rule '{rule}': drafter '{name}' has no distribution to draw from: take a single "
                          "one that has (model:target=NAME), or rule 'match'")
    if drafter.draws == "trees" and rule == "block":
        raise ConfigError(f"rule 'block' takes chains, but drafter '{name}' drafts trees as it is set: have it draft "
                          "chains (branch=1)")
    return RatioVerifier(_RULES[rule], matching)


def draw_key(rule: RuleName, sequence: Sequence) -> DrawKey | None:
    """What the drafter draws with for this sequence; None where it may propose as it likes."""
    is_drawn = rule != "match" and not sequence.sampling.is_greedy
    return DrawKey(sequence.key.seed, sequence.key.sample) if is_drawn else None


def verdict_key(sequence: Sequence) -> VerdictKey:
    """What a ratio rule accepts with for this sequence."""
    return VerdictKey(sequence.key.seed, sequence.key.sample)


class RatioVerifier:
    """Sampled sequences by a ratio rule, on the host; greedy ones by `matching`."""

    def __init__(self, rule: Rule, matching: Chooser) -> None:
        self._rule, self._matching = rule, matching

    def verdicts(self, logits_RV: Tensor, draft: DraftBatch, sequences: Seq[Sequence],
                 first_row_B: Seq[int], position_B: Seq[int]) -> VerdictBatch:
        greedy = [index for index, sequence in enumerate(sequences) if sequence.sampling.is_greedy]
        blank_BW = torch.full((len(draft), draft.max_depth + 1), -1, device=draft.device)
        batch = VerdictBatch(blank_BW, blank_BW - 1, torch.zeros(len(draft), dtype=torch.int64, device=draft.device))
        if greedy:
            trees = DraftBatch.of([draft.trees[index] for index in greedy], draft.device)
            part = self._matching.verdicts(logits_RV, trees, [sequences[index] for index in greedy],
                                           [first_row_B[index] for index in greedy],
                                           [position_B[index] for index in greedy])
            batch.token_BW[greedy, : part.token_BW.shape[1]] = part.token_BW
            batch.node_BW[greedy, : part.node_BW.shape[1]] = part.node_BW
            batch.count_B[greedy] = part.count_B
        for index in sorted({*range(len(draft))} - {*greedy}):
            tree = _drawn(draft.trees[index])
            dice = KeyedDice(verdict_key(sequences[index]), position_B[index])
            law = law_of(logits_RV, tree, sequences[index], first_row_B[index])
            _write(batch, index, tree, self._rule(tree, law, dice))
        return batch

    def runners_up(self, logits_RV: Tensor, count: int) -> list[list[int]]:
        return self._matching.runners_up(logits_RV, count)


def law_of(logits_RV: Tensor, tree: DraftTree, sequence: Sequence, first_row: int) -> Law:
    """The target's distribution after each node, with the penalties of the path that leads there."""
    def law(node: int) -> Tensor:
        return distribution(logits_RV[first_row + 1 + node], sequence.sampling, _history(sequence, tree, node))
    return law


def _history(sequence: Sequence, tree: DraftTree, node: int) -> History | None:
    if sequence.history is None:
        return None
    history = sequence.history.copy()
    for step in tree.path_to(node):
        history.count(tree.token_N[step])
    return history


def _drawn(tree: DraftTree) -> DrawnTree:
    if not len(tree):
        return DrawnTree()
    if not isinstance(tree, DrawnTree):
        raise TypeError("a draft that was not drawn cannot be verified by ratio: drafters use a context's `draw`")
    return tree


def _write(batch: VerdictBatch, index: int, tree: DrawnTree, verdict: Verdict) -> None:
    count = verdict.accepted + 1
    tokens = [*(tree.token_N[node] for node in verdict.path), verdict.token]
    batch.token_BW[index, :count] = torch.tensor(tokens, device=batch.token_BW.device)
    batch.node_BW[index, :count] = torch.tensor([-1, *verdict.path], device=batch.node_BW.device)
    batch.count_B[index] = count
