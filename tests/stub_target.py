"""A target's outside, for drafters that need no model behind it, and a round of decoding with a known answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from outrider.core.commit import Commit, Verdict
from outrider.core.tree import ANCHOR, Budget, DraftTree
from outrider.drafting.interface import HostDrafter, SequenceContext, State
from outrider.drafting.syntax import parse


@dataclass(frozen=True, slots=True)
class StubTarget:
    vocab_size: int = 1000
    fingerprint: str = "stub"
    num_layers: int = 1
    hidden_size: int = 4
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def embed(self, token_T: Tensor) -> Tensor:
        raise NotImplementedError

    def head(self, hidden_TD: Tensor) -> Tensor:
        raise NotImplementedError


def build(spec: str, target: StubTarget | None = None) -> HostDrafter[object]:
    drafter = parse(spec).build(target or StubTarget())
    assert isinstance(drafter, HostDrafter)
    return drafter


def after(drafter: HostDrafter[State], token_n: Sequence[int], context: SequenceContext | None = None) -> State:
    """The state after `token_n`, told in one commit."""
    state = drafter.start(context or SequenceContext(token_n[0]))
    drafter.observe(state, Commit(list(token_n[1:])))
    return state


def verdict(tree: DraftTree, coming_n: Sequence[int]) -> Verdict:
    """What a target that is about to say `coming_n` makes of a draft."""
    node, path = ANCHOR, []
    for token in coming_n[:-1]:
        children = [child for child, parent in enumerate(tree.parent_N) if parent == node]
        found = [child for child in children if tree.token_N[child] == token]
        if not found:
            break
        node = found[0]
        path.append(node)
    return Verdict(tuple(path), coming_n[len(path)])


def decode(drafter: HostDrafter[State], prompt_n: Sequence[int], answer_n: Sequence[int], budget: Budget,
           context: SequenceContext | None = None) -> int:
    """Runs rounds until `answer_n` is out; returns their number."""
    state = after(drafter, [*prompt_n, answer_n[0]], context)
    done, rounds = 1, 0
    while done < len(answer_n):
        tree = drafter.draft(state, budget)
        tree.check(budget)
        settled = verdict(tree, answer_n[done:])
        tokens = [*(tree.token_N[node] for node in settled.path), settled.token]
        drafter.observe(state, Commit(tokens, None, tree, settled))
        done += len(tokens)
        rounds += 1
    drafter.finish(state)
    return rounds
