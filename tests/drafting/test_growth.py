"""Trees grown best first are those of the largest expected acceptance."""

from __future__ import annotations

import random
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from outrider.core.tree import Budget, DraftTree
from outrider.drafting.growth import grown
from outrider.drafting.guesses import Guess


def distribution(seed: int, depth: int, before: int, width: int) -> list[Guess]:
    """What may follow a token at a depth, the likeliest first."""
    dice = random.Random(seed * 1000 + depth * 50 + before)
    weights = sorted((dice.random() ** 3 + 1e-3 for _ in range(width)), reverse=True)
    tokens = dice.sample(range(40), width)
    return [Guess(token, weight / sum(weights)) for token, weight in zip(tokens, weights, strict=True)]


def paths(tree: DraftTree) -> dict[tuple[int, ...], float]:
    """Tokens from the root to each node, and its score."""
    return {tuple(tree.token_N[node] for node in tree.path_to(end)): tree.score(end) for end in range(len(tree))}


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 4), st.integers(0, 40), st.booleans())
def test_the_tree_has_the_likeliest_prefixes(seed: int, depth: int, width: int, nodes: int, conditional: bool) -> None:
    def children(_: int, at: int, token: int) -> list[Guess]:
        return distribution(seed, at, token if conditional else 0, width)

    found = paths(grown(children, Budget(nodes, depth), anchor=39))
    chances: dict[tuple[int, ...], float] = {}
    for ranks in (ranks for length in range(1, depth + 1) for ranks in product(range(width), repeat=length)):
        prefix, chance, token = (), 1.0, 39
        for at, rank in enumerate(ranks):
            guess = children(0, at, token)[rank]
            prefix, chance, token = (*prefix, guess.token), chance * guess.share, guess.token
        chances[prefix] = chance
    best = sorted(chances.values(), reverse=True)[:nodes]
    assert len(found) == min(nodes, len(chances))
    assert all(abs(score - chances[prefix]) < 1e-12 for prefix, score in found.items())
    assert all(abs(one - other) < 1e-12 for one, other in zip(sorted(found.values(), reverse=True), best, strict=True))


@given(st.integers(0, 1000), st.floats(0.01, 0.9))
def test_no_path_goes_on_below_the_floor(seed: int, floor: float) -> None:
    tree = grown(lambda _, at, token: distribution(seed, at, token, 3), Budget(30, 6, floor), anchor=1)
    assert all(score >= floor for score in paths(tree).values())
