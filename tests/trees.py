"""Hypothesis strategies of draft trees."""

from __future__ import annotations

from hypothesis import strategies as st

from outrider.core.tree import ANCHOR, DraftTree


@st.composite
def draft_trees(draw: st.DrawFn, *, vocab: int, nodes: int, depth: int = 64) -> DraftTree:
    """A valid tree of any shape: each node hangs from the anchor or from any node before it."""
    token_N: list[int] = []
    parent_N: list[int] = []
    depth_N: list[int] = []
    taken: set[tuple[int, int]] = set()
    edges = st.tuples(st.integers(ANCHOR, nodes), st.integers(0, vocab - 1))
    for parent, token in draw(st.lists(edges, max_size=nodes)):
        parent = min(parent, len(token_N) - 1)
        level = 1 if parent == ANCHOR else depth_N[parent] + 1
        if (parent, token) in taken or level > depth:
            continue
        taken.add((parent, token))
        token_N.append(token)
        parent_N.append(parent)
        depth_N.append(level)
    return DraftTree(token_N, parent_N)
