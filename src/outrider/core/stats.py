"""`Stats`: the counts and times of decoding, with the words of the glossary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stats:
    """Counts of one sequence or of many added up; times in seconds.

    A round is one verification of one sequence, prefill not counted; `drafts` are those with anything drafted;
    `emitted` are the tokens that rounds gave, the first token of each sequence (which prefill gives) not counted.
    `accepted_at_depth[d]` counts accepted nodes at depth d + 1; `accepted_by_source[i]` those proposed by the drafter's
    i-th source (several may share a node), `drafted_by_source[i]` all that were verified. `preemptions` counts how
    often a sequence had to wait again because the cache was full.
    """

    rounds: int = 0
    drafts: int = 0
    drafted: int = 0
    accepted: int = 0
    emitted: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    preemptions: int = 0
    accepted_at_depth: list[int] = field(default_factory=list)
    accepted_by_source: list[int] = field(default_factory=list)
    drafted_by_source: list[int] = field(default_factory=list)
    draft_s: float = 0.0
    target_s: float = 0.0
    verify_s: float = 0.0
    host_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0

    @property
    def tokens_per_round(self) -> float:
        """What papers call acceptance length or tau, the bonus included."""
        return self.emitted / self.rounds if self.rounds else 0.0

    @property
    def accept_rate(self) -> float:
        """Accepted over drafted nodes: depends on how much was drafted."""
        return self.accepted / self.drafted if self.drafted else 0.0

    @property
    def tok_s(self) -> float:
        """Decoding speed: tokens after the first over the time since it."""
        return self.emitted / self.decode_s if self.decode_s else 0.0

    def count_round(self, sources: Sequence[int], emitted: int) -> None:
        """One round: the nodes it verified, each as the bit set of those who proposed it, and the tokens it gave."""
        self.rounds += 1
        self.drafts += len(sources) > 0
        self.drafted += len(sources)
        self.emitted += emitted
        for source, count in Counter(sources).items() if sources else ():
            for bit in range(source.bit_length()):
                if source >> bit & 1:
                    _add_to(self.drafted_by_source, bit, count)

    def count_accepted(self, depth: int, source: int) -> None:
        """One accepted node at `depth` (1 is the anchor's child), proposed by the bit set `source`."""
        self.accepted += 1
        _add_to(self.accepted_at_depth, depth - 1, 1)
        for bit in range(source.bit_length()):
            if source >> bit & 1:
                _add_to(self.accepted_by_source, bit, 1)

    def add(self, other: Stats) -> None:
        """Adds `other`'s counts and times to these."""
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for depth, count in enumerate(other.accepted_at_depth):
            _add_to(self.accepted_at_depth, depth, count)
        for bit, count in enumerate(other.accepted_by_source):
            _add_to(self.accepted_by_source, bit, count)
        for bit, count in enumerate(other.drafted_by_source):
            _add_to(self.drafted_by_source, bit, count)


def _add_to(counts: list[int], index: int, count: int) -> None:
    counts.extend([0] * (index + 1 - len(counts)))
    counts[index] += count


_SUMMED = ("rounds", "drafts", "drafted", "accepted", "emitted", "prompt_tokens", "cached_tokens", "preemptions",
           "draft_s", "target_s", "verify_s", "host_s", "prefill_s", "decode_s")
