"""Odds: calibrated after enough evidence, whatever a drafter claims."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.core.tree import ANCHOR, DraftTree
from outrider.policy.odds import Mood, Odds


def settled(odds: Odds, mood: Mood, tree: DraftTree, chance: float, draw: random.Random) -> None:
    """A chain whose nodes come true with a fixed chance each."""
    path: list[int] = []
    while len(path) < len(tree) and draw.random() < chance:
        path.append(len(path))
    odds.settle(tree, path, mood)


@pytest.mark.parametrize("claimed", [0.2, 0.6, 0.97])
@pytest.mark.parametrize("true", [0.15, 0.5, 0.9])
def test_what_is_claimed_too_high_or_too_low_is_put_right(claimed: float, true: float) -> None:
    odds, mood, draw = Odds(), Mood(), random.Random(1)
    tree = DraftTree.chain([1, 2, 3], [claimed, claimed**2, claimed**3])
    for _ in range(1500):
        settled(odds, mood, tree, true, draw)
    chances = [odds.chances(tree, mood)[0] for _ in range(1)]
    assert chances[0] == pytest.approx(true, abs=0.08)


def test_before_any_evidence_a_drafters_word_is_about_right() -> None:
    tree = DraftTree.chain([1, 2], [0.9, 0.9 * 0.3])
    assert Odds().chances(tree, Mood()) == pytest.approx([0.9, 0.3], abs=0.06)


def test_sources_are_judged_apart() -> None:
    odds, mood, draw = Odds(), Mood(), random.Random(2)
    good, bad = (DraftTree([1], [-1], [source], [0.7]) for source in (1, 2))
    for _ in range(600):
        settled(odds, mood, good, 0.95, draw)
        settled(odds, mood, bad, 0.1, draw)
    assert odds.chances(good, mood)[0] > 0.85 and odds.chances(bad, mood)[0] < 0.2


def test_moods_are_told_apart() -> None:
    """Sequences of which one copies and the other does not, with one drafter that claims the same of both."""
    odds, draw, tree = Odds(), random.Random(3), DraftTree.chain([1], [0.6])
    copying, fresh = Mood(), Mood()
    for _ in range(800):
        settled(odds, copying, tree, 0.95, draw)
        settled(odds, fresh, tree, 0.05, draw)
    assert odds.chances(tree, copying)[0] > odds.chances(tree, fresh)[0] + 0.5


def test_nodes_behind_a_refuted_one_say_nothing() -> None:
    """A draft whose first node always fails is no evidence about its second one; one whose second fails is."""
    tree, missed_first, missed_second = DraftTree.chain([1, 2], [0.8, 0.8 * 0.8]), Odds(), Odds()
    for _ in range(50):
        missed_first.settle(tree, [], Mood())
        missed_second.settle(tree, [0], Mood())
    assert missed_first.chances(tree, Mood())[0] < 0.2 < 0.4 < missed_first.chances(tree, Mood())[1]
    assert missed_second.chances(tree, Mood())[1] < 0.2 < 0.8 < missed_second.chances(tree, Mood())[0]


@given(st.lists(st.tuples(st.integers(-1, 5), st.floats(0.0, 1.0), st.integers(1, 7)), max_size=6), st.data())
def test_survivals_fall_along_every_path_and_are_chances(
        nodes: list[tuple[int, float, int]], data: st.DataObject) -> None:
    parents = [min(parent, at - 1) for at, (parent, _, _) in enumerate(nodes)]
    scores: list[float] = []
    for parent, (_, share, _) in zip(parents, nodes, strict=True):
        scores.append(share * (1.0 if parent == ANCHOR else scores[parent]))
    tree = DraftTree(range(len(nodes)), parents, [source for _, _, source in nodes], scores)
    odds, mood = Odds(), Mood()
    for _ in range(data.draw(st.integers(0, 3))):
        leaf = data.draw(st.integers(-1, len(nodes) - 1))
        odds.settle(tree, tree.path_to(leaf), mood)
    survivals = odds.survivals(tree, mood)
    assert all(0.0 < value < (1.0 if parent == ANCHOR else survivals[parent])
               for value, parent in zip(survivals, parents, strict=True))
