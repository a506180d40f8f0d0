"""How much of what was drafted is verified: the nodes with which a round brings the most tokens a second.

Candidates of all sequences are taken by falling survival, which keeps parents before their children. Every number of
them, zero included, has an expected number of tokens and a price; the best ratio wins. It is the ratio of this very
round, not that of the average one: a sequence that copies now goes on to copy, so that what a round like this one
brings is what the time that it costs is worth.

Source: the sorted survivals of DSpark (arXiv 2607.05147) and of vLLM's adaptive verification, over a measured price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outrider.core.tree import ANCHOR, EMPTY_TREE, DraftTree

_CLEARLY = 1.02  # the best of many estimates is likelier too high than too low: a draft has to pay by more than nothing


@dataclass(frozen=True, slots=True)
class Offer:
    """What could be verified of a sequence: each node's survival, 0 for what is not; `context` tokens are cached."""

    survival_N: Sequence[float]
    context: int


@dataclass(frozen=True, slots=True)
class Tariff:
    """The price of a round. `base_s` by total rows and `context_s` by rows of a sequence and cached token, as a
    `PassPrice` has them; `rows` are those that run anyway, `spent_s` what the round costs besides. On the host every
    drafted node costs `node_s`, and a draft as such `draft_s`. No node pays that survives with less than `least`.
    `prompts_s` of the pass are for rows of prompts: these are read whatever is drafted, and no price of tokens.
    """

    base_s: Sequence[float]
    context_s: Sequence[float]
    rows: int
    spent_s: float
    draft_s: float = 0.0
    node_s: float = 0.0
    least: float = 0.0
    prompts_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Bet:
    """The chosen nodes by sequence, in their own order, and what the round is expected to bring and, prompts not
    counted, to take."""

    chosen: tuple[Sequence[int], ...]
    tokens: float
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def best_bet(offers: Sequence[Offer], tariff: Tariff, floor: int = 0) -> Bet:
    """The best prefix of all candidates by falling survival, of at least `floor` nodes if there are so many.

    None at all where no prefix is clearly better.
    """
    plain_s = _plain_s(offers, tariff)
    order = _order(offers)
    count = tokens = len(offers)
    best, best_tokens, best_s = 0, _CLEARLY * tokens, plain_s
    expected, seconds = float(tokens), plain_s
    base_s, context_s, rows = tariff.base_s, tariff.context_s, tariff.rows
    taken, most = [1] * count, len(base_s) - 1
    for number, (survival, index) in enumerate(order, start=1):
        if rows + number > most:
            break
        own = taken[index] = taken[index] + 1
        seconds += base_s[rows + number] - base_s[rows + number - 1]
        seconds += offers[index].context * (context_s[own] - context_s[own - 1])
        seconds += tariff.node_s + (tariff.draft_s if own == 2 else 0.0)
        expected -= survival  # survivals are negative here
        if number <= floor or expected * best_s > best_tokens * seconds:
            best, best_tokens, best_s = number, expected, seconds
    return Bet(_chosen(offers, order[:best]), best_tokens if best else float(tokens), best_s)


def pruned(tree: DraftTree, kept: Sequence[int]) -> DraftTree:
    """The tree of these nodes, which are in order and have their parents among them."""
    if len(kept) == len(tree):
        return tree
    if not kept:
        return EMPTY_TREE
    if isinstance(tree.parent_N, range):  # a chain loses its end
        size = len(kept)
        return DraftTree(tree.token_N[:size], range(ANCHOR, size - 1), tree.source_N[:size], tree.score_N[:size])
    place = {node: at for at, node in enumerate(kept)} | {ANCHOR: ANCHOR}
    return DraftTree([tree.token_N[node] for node in kept], [place[tree.parent_N[node]] for node in kept],
                     [tree.source(node) for node in kept], [tree.score(node) for node in kept])


def _plain_s(offers: Sequence[Offer], tariff: Tariff) -> float:
    context_s = sum(offer.context for offer in offers) * tariff.context_s[1]
    return tariff.spent_s + tariff.base_s[tariff.rows] - tariff.prompts_s + context_s


def _order(offers: Sequence[Offer]) -> list[tuple[float, int]]:
    """(-survival, sequence) of all nodes but those with 0, likeliest first; of equals, by sequence and node."""
    return sorted((-survival, index) for index, offer in enumerate(offers) for survival in offer.survival_N if survival)


def _chosen(offers: Sequence[Offer], taken: Sequence[tuple[float, int]]) -> tuple[Sequence[int], ...]:
    """The likeliest nodes of each sequence, as many as were taken of it."""
    counts = [0] * len(offers)
    for _, index in taken:
        counts[index] += 1
    return tuple(_likeliest(offer.survival_N, count) for offer, count in zip(offers, counts, strict=True))


def _likeliest(survival_N: Sequence[float], count: int) -> Sequence[int]:
    if count in (0, len(survival_N)):
        return range(count)
    best = sorted(range(len(survival_N)), key=lambda node: (-survival_N[node], node))[:count]
    return sorted(best)
