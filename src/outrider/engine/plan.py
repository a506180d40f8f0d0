"""Planning a round: who runs, what each puts into the forward pass, and what is drafted."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from itertools import accumulate

import torch

from outrider.core.tree import EMPTY_TREE, Budget, DraftBatch, DraftTree
from outrider.engine.sequence import Sequence
from outrider.policy.interface import Ask
from outrider.target.pack import Entry

SCORED_ROWS = 128  # of a prompt in one round, where each needs a row of logits: these take a vocabulary's room each


@dataclass(frozen=True, slots=True)
class Part:
    """One sequence's share of a round: its pending tokens, a draft, whether its next token is wanted, and whether the
    log-probabilities of the prompt are."""

    sequence: Sequence
    token_P: list[int]
    tree: DraftTree
    choosing: bool
    scoring: bool = False

    def entry(self) -> Entry:
        return Entry(self.sequence.row, self.token_P, self.tree, self.choosing, prompt_logits=self.scoring)

    @property
    def num_logits(self) -> int:
        """Rows of the pass whose logits are wanted."""
        pending = len(self.token_P) if self.scoring else int(self.choosing)
        return pending + len(self.tree)


@dataclass(frozen=True, slots=True)
class Plan:
    """A round. `draft` has a (possibly empty) tree for every part that chooses, in order."""

    parts: tuple[Part, ...]
    draft: DraftBatch
    draft_s: float

    @property
    def choosing(self) -> list[Part]:
        return [part for part in self.parts if part.choosing]

    @property
    def has_prompts(self) -> bool:
        """Whether any part is, or ends, a prompt."""
        return any(not part.sequence.num_output for part in self.parts)

    @property
    def logit_rows(self) -> tuple[int, ...]:
        """The logit row of each choosing part's anchor; the nodes of its tree follow."""
        ends = accumulate(part.num_logits for part in self.parts)
        return tuple(end - len(part.tree) - 1 for part, end in zip(self.parts, ends, strict=True) if part.choosing)


@dataclass(frozen=True, slots=True)
class Pending:
    """Tokens a sequence will forward this round; `is_last` where they reach its newest token."""

    sequence: Sequence
    token_P: list[int]
    is_last: bool


def pending_tokens(running: Seq[tuple[Sequence, int]], prefill_tokens: int) -> list[Pending]:
    """What each running sequence forwards, given the entries it has in the cache.

    Decoding sequences (one pending token) always run; prompts share `prefill_tokens`, in order of arrival.
    """
    room = prefill_tokens
    found = []
    for sequence, cached in running:
        waiting = len(sequence.tokens) - cached
        take = 1 if waiting == 1 else min(waiting, room, SCORED_ROWS if sequence.scores_prompt else room)
        if take == 0:
            continue
        room -= take if waiting > 1 else 0
        found.append(Pending(sequence, sequence.tokens[cached : cached + take], take == waiting))
    return found


def ask_for(sequence: Sequence, max_draft: int, limit: int) -> Ask:
    """What may be drafted for a sequence: never deeper than what may still be emitted before the last token."""
    remaining = min(sequence.sampling.max_tokens - sequence.num_output, limit - len(sequence.tokens)) - 1
    most = min(max_draft, sequence.track.limits.max_draft)
    room = Budget(most, min(most, remaining)) if remaining > 0 and most else Budget(0, 0)
    return Ask(sequence.state, sequence.track, room, len(sequence.tokens) - 1, remaining + 1)


def joined(pending: Seq[Pending], drafted: dict[int, DraftTree], device: torch.device, draft_s: float) -> Plan:
    """The plan of a round from what is pending and what was drafted (by index into `pending`)."""
    parts = tuple(Part(item.sequence, item.token_P, drafted.get(index, EMPTY_TREE), item.is_last,
                       item.sequence.scores_prompt)
                  for index, item in enumerate(pending))
    draft = DraftBatch.of([part.tree for part in parts if part.choosing], device)
    return Plan(parts, draft, draft_s)
