"""Published trees, grown from constructed distributions in place of a network: EAGLE-2's and SpecBlock's."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from outrider.core.commit import Commit
from outrider.core.step import Step
from outrider.core.tree import Budget, DraftTree
from outrider.drafters.eagle3 import Eagle3Drafter
from outrider.drafters.specblock import SpecBlockDrafter
from outrider.drafting.interface import SequenceContext
from outrider.drafting.neural import NeuralDrafter
from outrider.nn.network import Outputs
from outrider.target.tiny import TINY, tiny_target
from outrider.testing.tape import Stage, Tape
from outrider.testing.tiny_drafts import tiny_draft

VOCAB = 8  # shares compare eight tokens: here they are probabilities
TARGET = tiny_target(0, replace(TINY, vocab_size=VOCAB))
ROOMY = Budget(500, 50)
Path = tuple[int, ...]
Law = Callable[[Path], list[float]]


def random_law(seed: int, sharpness: float) -> Law:
    """Probabilities of what follows a path of tokens."""
    def law(path: Path) -> list[float]:
        dice = random.Random(hash((seed, path)))
        weights = [math.exp(sharpness * dice.gauss(0, 1)) for _ in range(VOCAB)]
        return [weight / sum(weights) for weight in weights]
    return law


@dataclass
class Constructed:
    """A network whose hidden states are paths, written in base VOCAB + 1, and whose logits follow a law.

    A row goes on from the path it is fed with its token; in a block, each slot with the likeliest token of the one
    before.
    """

    law: Law
    slots: int = 1
    passes: int = 0

    @property
    def read_bytes(self) -> int:
        return 0

    def run(self, name: str, step: Step, _: Any, input_TF: Tensor | None = None) -> Outputs:
        if name == "condition":
            return Outputs(hidden_RD=torch.zeros(len(step.logit_row_R), 1, dtype=torch.float64))
        self.passes += 1
        hidden, logits = [], []
        for row in step.logit_row_R.tolist():
            path = self.path(name, step, row, input_TF)
            hidden.append([float(code(path))])
            logits.append([math.log(chance) for chance in self.law(path)])
        return Outputs(torch.tensor(logits, dtype=torch.float64), torch.tensor(hidden, dtype=torch.float64))

    def path(self, name: str, step: Step, row: int, input_TF: Tensor | None) -> Path:
        if name == "extend" or input_TF is None:
            return ()
        fed = decoded(int(input_TF[row, 0]))
        if name == "step":
            return (*fed, int(step.token_T[row]))
        is_first = not fed and len(set(input_TF[:, 0].tolist())) == 1 and self.passes == 1
        path = () if is_first else (*fed, int(step.token_T[row]))
        for _ in range(int(step.place_T[row])):
            chances = self.law(path)
            path = (*path, chances.index(max(chances)))
        return path


def code(path: Path) -> int:
    return sum((token + 1) * (VOCAB + 1) ** at for at, token in enumerate(path))


def decoded(value: int) -> Path:
    found = []
    while value:
        value, digit = divmod(value, VOCAB + 1)
        found.append(digit - 1)
    return tuple(found)


def proposal(drafter: NeuralDrafter[Any], network: Constructed) -> DraftTree:
    drafter.network = network
    stage = Stage(drafter, TARGET.new_cache(512, drafter.payloads))
    actor = stage.start(Tape(SequenceContext(1), []))
    stage.tell([actor], [Commit([2], torch.zeros(1, drafter.spec.feature_size, dtype=torch.float64))])
    return drafter.propose([actor.state], [ROOMY]).trees[0]


def built(kind: type[NeuralDrafter[Any]], config: object) -> NeuralDrafter[Any]:
    with patch("outrider.drafting.neural.open_drafter", lambda path, **_: tiny_draft(path, target=TARGET.spec)):
        return kind(config, TARGET)


def paths(tree: DraftTree) -> set[Path]:
    return {tuple(tree.token_N[node] for node in tree.path_to(end)) for end in range(len(tree))}


def eagle2(law: Law, top_k: int, depth: int, total: int) -> set[Path]:
    """The tree as the paper's code grows it: `depth` passes over `top_k` nodes, the best `total` of all candidates."""
    scores = {(token,): chance for token, chance in enumerate(law(()))}
    frontier = sorted(scores, key=lambda path: -scores[path])[:top_k]
    pool = {path: scores[path] for path in frontier}
    for _ in range(depth):
        new: dict[Path, float] = {}
        for path in frontier:
            chances = law(path)
            for token in sorted(range(VOCAB), key=lambda token: -chances[token])[:top_k]:
                new[*path, token] = pool[path] * chances[token]
        pool |= new
        frontier = sorted(new, key=lambda path: -new[path])[:top_k]
    return set(sorted(pool, key=lambda path: -pool[path])[:total])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("top_k", "depth", "total"), [(4, 5, 20), (2, 3, 5), (1, 6, 7), (8, 2, 59), (3, 0, 3)])
def test_eagle2(seed: int, top_k: int, depth: int, total: int) -> None:
    law = random_law(seed, 1.0 + seed / 4)
    drafter = built(Eagle3Drafter, Eagle3Drafter.Config("eagle3", max=depth + 1, branch=top_k, nodes=total))
    network = Constructed(law)
    assert paths(proposal(drafter, network)) == eagle2(law, top_k, depth, total)
    assert network.passes == 1 + depth


def sure_law(chance: float) -> Law:
    """The same everywhere: token 3 with this chance, the others ever less likely."""
    rest = [2.0**-index for index in range(VOCAB - 1)]
    others = [(1 - chance) * weight / sum(rest) for weight in rest]
    return lambda _: [*others[:3], chance, *others[3:]]


@pytest.mark.parametrize(("chance", "first", "later"), [(0.96, 3, 2), (0.91, 3, 3), (0.86, 5, 3), (0.7, 8, 4)])
def test_specblock_siblings(chance: float, first: int, later: int) -> None:
    """Without a rank head a slot has four candidates, capped where it is sure; the first has more."""
    drafter = built(SpecBlockDrafter, SpecBlockDrafter.Config("specblock", blocks=1, nodes=90))
    assert isinstance(drafter, SpecBlockDrafter)
    drafter._ranks = None
    tree = proposal(drafter, Constructed(sure_law(chance)))
    counts = {path: sum(other[:-1] == path for other in paths(tree)) for path in {other[:-1] for other in paths(tree)}}
    chain = [(3,) * depth for depth in range(4)]
    assert counts == {path: first if not path else later for path in chain}


def test_specblock_starts_blocks_at_all_nodes_in_one_pass() -> None:
    drafter = built(SpecBlockDrafter, SpecBlockDrafter.Config("specblock", blocks=2, beam=40, nodes=500))
    assert isinstance(drafter, SpecBlockDrafter)
    drafter._ranks = None
    network = Constructed(sure_law(0.86))
    tree = proposal(drafter, network)
    assert network.passes == 2, "the anchor's block and one more pass"
    assert max(tree.depths()) == 8, "two blocks of four slots"
    first = built(SpecBlockDrafter, SpecBlockDrafter.Config("specblock", blocks=1, nodes=90))
    assert isinstance(first, SpecBlockDrafter)
    first._ranks = None
    starts = paths(proposal(first, Constructed(sure_law(0.86))))
    grown = paths(tree)
    assert all((*start, 3, 3, 3, 3) in grown for start in starts), "every node of the first block starts one"
