"""Proof by enumeration: every draft tree up to a size, every choice function from prefix to token.

A choice function says what the target would emit after each prefix. Plain decoding follows it; a rule of verification
is lossless if what it emits is the beginning of that, whatever tree was drafted, and if it accepts as much of the tree
as came true. `follow` plays a whole generation with a tree a round, so that a rule that spoils only later rounds is
found out too.

Of one round and one tree a rule can only know the choices after the anchor and after each node, so `faults` enumerates
all functions on those prefixes, which stand for all functions that agree on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import combinations, product

from outrider.core.commit import Verdict
from outrider.core.tree import ANCHOR, DraftTree
from outrider.verify.match import Choice

Prefix = tuple[int, ...]
ChoiceFunction = Mapping[Prefix, int]
Rule = Callable[[DraftTree, Choice], Verdict]


def prefixes(vocab: int, depth: int) -> list[Prefix]:
    """Every prefix of at most `depth` tokens, shortest first."""
    return [prefix for size in range(depth + 1) for prefix in product(range(vocab), repeat=size)]


def choice_functions(vocab: int, known: Iterable[Prefix]) -> Iterator[ChoiceFunction]:
    """All functions from `known` prefixes to tokens."""
    known = tuple(known)
    for values in product(range(vocab), repeat=len(known)):
        yield dict(zip(known, values, strict=True))


@cache
def trees(vocab: int, depth: int, nodes: int) -> tuple[DraftTree, ...]:
    """Every tree with at most `nodes` nodes and `depth` levels, its nodes breadth first and depth first."""
    paths = prefixes(vocab, depth)[1:]
    found: dict[tuple[Prefix, ...], DraftTree] = {}
    for size in range(nodes + 1):
        for chosen in combinations(paths, size):
            if all(len(path) == 1 or path[:-1] in chosen for path in chosen):
                found[chosen] = tree_of(chosen)
                found[tuple(sorted(chosen))] = tree_of(tuple(sorted(chosen)))
    return tuple(found.values())


def tree_of(paths: tuple[Prefix, ...]) -> DraftTree:
    """The tree whose nodes are these paths, in this order."""
    place = {(): ANCHOR} | {path: node for node, path in enumerate(paths)}
    return DraftTree([path[-1] for path in paths], [place[path[:-1]] for path in paths])


def tokens_to(tree: DraftTree, node: int) -> Prefix:
    """The tokens from the anchor's child to `node`."""
    return tuple(tree.token_N[step] for step in tree.path_to(node))


def revealed(tree: DraftTree) -> list[Prefix]:
    """The prefixes behind which one pass over the tree shows the target's choice."""
    return [tokens_to(tree, node) for node in range(ANCHOR, len(tree))]


def oracle(tree: DraftTree, chosen: ChoiceFunction, before: Prefix = ()) -> Choice:
    """The target's choices along a tree that has `before` in front of it."""
    return lambda node, _: chosen[before + tokens_to(tree, node)]


def emitted(tree: DraftTree, verdict: Verdict) -> Prefix:
    return (*(tree.token_N[node] for node in verdict.path), verdict.token)


def plain(chosen: ChoiceFunction, count: int = 1000) -> Prefix:
    """What decoding one token at a time gives, up to `count` tokens or as far as the function is known."""
    text: Prefix = ()
    while len(text) < count and text in chosen:
        text += (chosen[text],)
    return text


def follow(rule: Rule, chosen: ChoiceFunction, draft: Callable[[Prefix], DraftTree], count: int) -> Prefix:
    """`count` tokens by rounds: a tree from `draft` for what has been emitted, then the rule."""
    text: Prefix = ()
    while len(text) < count:
        tree = draft(text)
        text += emitted(tree, rule(tree, oracle(tree, chosen, text)))
    return text[:count]


def faults(rule: Rule, vocab: int, depth: int, nodes: int) -> Iterator[str]:
    """Every case in which one round of a rule emits anything but all of plain decoding that the tree reveals."""
    for tree in trees(vocab, depth, nodes):
        for chosen in choice_functions(vocab, revealed(tree)):
            wanted, found = plain(chosen), emitted(tree, rule(tree, oracle(tree, chosen)))
            if found != wanted:
                yield f"{tree} with {chosen}: emitted {found}, plain decoding gives {wanted}"
