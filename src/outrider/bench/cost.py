"""What it costs to verify: the time of one forward pass of n tokens, beside the time that reading the weights takes.

    T(n)   median time of a forward pass of the anchor and a chain of n - 1 drafted tokens, logits of all n rows
    F      bytes in the file of every tensor that a token needs, over the memory's read bandwidth

Nothing that reads the file's weights for each token can decode faster than one token per F. Speculation pays where T(n)
stays near T(1). The passes of all sizes and contexts take turns in an order drawn anew for every round, so that noise
and a drifting clock hit all of them alike.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from outrider.cache.kv import KVCache
from outrider.core.tree import DraftTree
from outrider.errors import ConfigError
from outrider.io.checkpoint import Checkpoint
from outrider.target.interface import Target
from outrider.target.pack import Entry, pack

SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
CONTEXTS = (0, 1024, 4096)
ROUNDS = 5
_FILL_CHUNK = 256  # tokens a pass while a context is filled


@dataclass(frozen=True, slots=True)
class CostRow:
    """`ratio` is to one token with the same context, `floors` the time in multiples of F."""

    context: int
    n: int
    ms: float
    ratio: float
    floors: float


@dataclass(frozen=True, slots=True)
class DraftCostRow:
    """Milliseconds of a commit and a proposal behind `context` tokens, and how many nodes were proposed.

    `passes` is the time of both in passes of the target over as many rows as the proposal has, the anchor's included.
    """

    context: int
    commit_ms: float
    propose_ms: float
    nodes: int
    passes: float


@dataclass(frozen=True, slots=True)
class DraftCost:
    """A drafter's part of the table. `floor_ms` is the time of reading its weights once, 0 where it has none."""

    drafter: str
    read_gb: float
    floor_ms: float
    rows: tuple[DraftCostRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A whole table. `file_gb` are the file's bytes that a token needs, `packed_gb` all weights as they are held."""

    model: str
    threads: int
    bandwidth_gb_s: float
    file_gb: float
    packed_gb: float
    floor_ms: float
    rows: tuple[CostRow, ...]
    draft: DraftCost | None = None


@dataclass(frozen=True, slots=True)
class _Point:
    """One cell of the table: `n` tokens behind the `context` tokens of a cache row."""

    row: int
    context: int
    n: int


def measure(target: Target, contexts: Sequence[int], tell: Callable[[str], None]) -> dict[int, dict[int, float]]:
    """T(n) in ms by context and n. Raises: ConfigError where the model has no room for a context."""
    most = max(contexts) + max(SIZES)
    if most > target.context:
        raise ConfigError(f"a context of {max(contexts)} and {max(SIZES)} tokens more need {most} positions, the model "
                          f"has {target.context}: give shorter ones, such as --context 0")
    cache = target.new_cache(sum(_whole_blocks(context + max(SIZES)) for context in contexts))
    points: list[_Point] = []
    for context in contexts:
        tell(f"filling a context of {context} tokens")
        row = _filled(target, cache, context)
        points += [_Point(row, context, n) for n in SIZES]
    times: dict[_Point, list[float]] = {point: [] for point in points}
    for point in points:
        _forward_s(target, cache, point)  # the first pass of a size may set something up
    for number in range(ROUNDS):
        tell(f"round {number + 1} of {ROUNDS}")
        for point in random.Random(number).sample(points, len(points)):
            times[point].append(_forward_s(target, cache, point))
    medians: dict[int, dict[int, float]] = {context: {} for context in contexts}
    for point, found in times.items():
        medians[point.context][point.n] = statistics.median(found) * 1e3
    return medians


def rows(medians: dict[int, dict[int, float]], floor_ms: float) -> tuple[CostRow, ...]:
    """The measured times with their ratios."""
    return tuple(CostRow(context, n, ms, ms / by_size[1], ms / floor_ms)
                 for context, by_size in medians.items() for n, ms in by_size.items())


def bytes_per_token(checkpoint: Checkpoint) -> int:
    """What the file holds of the tensors that every token needs: of an untied embedding it needs a single row."""
    unread = () if checkpoint.spec.tied_head else ("embed.weight",)
    return sum(checkpoint.num_bytes(name) for name in checkpoint.names if name not in unread)


def _filled(target: Target, cache: KVCache[Any], context: int) -> int:
    """A row of the cache with `context` tokens in it, each computed."""
    row, text = cache.open(), _text(target.vocab_size, context)
    for begin in range(0, context, _FILL_CHUNK):
        chunk = text[begin : begin + _FILL_CHUNK]
        target.forward(pack(cache, [Entry(row, chunk, all_logits=False)], target.device), cache)
        cache.keep(row, chunk, range(len(chunk)))
    return row


def _forward_s(target: Target, cache: KVCache[Any], point: _Point) -> float:
    """Time of one pass until a logit is at hand; what it appends is overwritten by the next."""
    token_n = _text(target.vocab_size, point.context + point.n)[point.context :]
    step = pack(cache, [Entry(point.row, token_n[:1], DraftTree.chain(token_n[1:]))], target.device)
    begin_s = time.perf_counter()
    target.forward(step, cache).logits_RV[-1, 0].item()
    return time.perf_counter() - begin_s


def _text(vocab_size: int, count: int) -> list[int]:
    """Tokens of no meaning: the time does not depend on what they are."""
    return [(7919 * index + 11) % vocab_size for index in range(count)]


def _whole_blocks(num_tokens: int, block_size: int = 16) -> int:
    return -(-num_tokens // block_size) * block_size
