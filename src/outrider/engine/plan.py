"""Planning a round: who runs, what each puts into the forward pass, and what is drafted."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from itertools import accumulate

import torch

from outrider.core.tree import EMPTY_TREE, Budget, DraftBatch, DraftTree
from outrider.engine.sequence import Sequence
from outrider.policy.interface import Ask
from outrider.target.pack import Entry

BESIDE = 4  # of `prefill_tokens` one in so many, in rounds in which somebody decodes, who waits for all of it
UNKNOWN = 0  # in place of a token whose id only the device knows
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
    is_round: bool = True
    position: int = 0  # where the token that is chosen will stand
    ahead: int = 0  # entries of a round that is still under way, which lie before these

    def entry(self) -> Entry:
        return Entry(self.sequence.row, self.token_P, self.tree, self.choosing, prompt_logits=self.scoring,
                     ahead=self.ahead)

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
    def best_only(self) -> bool:
        """Whether of all logits only the place of the largest is wanted."""
        return all(part.sequence.takes_best and not part.scoring for part in self.parts)

    @property
    def has_prompts(self) -> bool:
        """Whether any part reads what was there before: a prompt, or the text of a sequence that was sent back."""
        return any(not part.is_round for part in self.parts)

    def only(self, part: Part) -> Plan:
        """The same for one of its parts, with nothing under way any more, so that its newest token is known here."""
        draft = DraftBatch.of([part.tree] if part.choosing else [], self.draft.device)
        token_P = part.sequence.tokens[-1:] if part.ahead and part.is_round else part.token_P
        return Plan((replace(part, token_P=token_P, ahead=0),), draft, 0.0)

    @property
    def logit_rows(self) -> tuple[int, ...]:
        """The logit row of each choosing part's anchor; the nodes of its tree follow."""
        ends = accumulate(part.num_logits for part in self.parts)
        return tuple(end - len(part.tree) - 1 for part, end in zip(self.parts, ends, strict=True) if part.choosing)


@dataclass(frozen=True, slots=True)
class Standing:
    """A running sequence as the next round finds it: entries in the cache and tokens known, those under way included.

    `ahead` of each are under way: of the entries, and of the tokens, whose ids only the device knows.
    """

    sequence: Sequence
    cached: int
    ahead: int = 0
    ahead_tokens: int = 0

    @property
    def known(self) -> int:
        return len(self.sequence.tokens) + self.ahead_tokens

    @property
    def has_output(self) -> bool:
        return self.known > self.sequence.num_prompt

    @property
    def is_round(self) -> bool:
        """Whether it has read all but its newest token, and has one of its own."""
        return self.has_output and self.known - self.cached == 1

    @property
    def unread(self) -> int:
        """Tokens to read before rounds begin. After its first token a sequence reads all but the newest, which a round
        is for: so rounds begin where they would have begun, had it never been sent back."""
        return self.known - self.cached - self.has_output


@dataclass(frozen=True, slots=True)
class Pending:
    """Tokens a sequence will forward this round, behind `cached` entries; `is_last` where the next one is wanted.

    Of these entries `ahead` are of a round that is still under way; `known` tokens there are in all.
    """

    sequence: Sequence
    token_P: list[int]
    is_last: bool
    is_round: bool
    cached: int
    known: int
    ahead: int = 0


def pending_tokens(running: Seq[Standing], prefill_tokens: int) -> list[Pending]:
    """What each running sequence forwards. Decoding sequences always do; all others share `prefill_tokens`."""
    reading = [standing for standing in running if not standing.is_round]
    take_of = _takes(reading, prefill_tokens, len(reading) < len(running)) if reading else {}
    found = []
    for standing in running:
        sequence, cached, take = standing.sequence, standing.cached, take_of.get(standing.sequence)
        if take is None:
            token_n = [UNKNOWN] if standing.ahead_tokens else sequence.tokens[cached:]
            found.append(Pending(sequence, token_n, True, True, cached, standing.known, standing.ahead))
        elif take:
            is_last = take == standing.unread and not standing.has_output
            token_n = sequence.tokens[cached : cached + take]
            found.append(Pending(sequence, token_n, is_last, False, cached, standing.known, standing.ahead))
    return found


def _takes(reading: Seq[Standing], prefill_tokens: int, beside: bool) -> dict[Sequence, int]:
    """What each that reads may take, which can be nothing; `beside`: others decode."""
    wanted = [min(standing.unread, SCORED_ROWS) if standing.sequence.scores_prompt else standing.unread
              for standing in reading]
    room = max(1, prefill_tokens // BESIDE) if beside else prefill_tokens
    return dict(zip((standing.sequence for standing in reading), shares(wanted, room), strict=True))


def shares(wanted: Seq[int], room: int) -> list[int]:
    """How many tokens each of some prompts may read: half for the first, the rest for the others in equal parts.

    What one has no use for goes to the others, in their order. So a short prompt need not wait for a long one, and of
    equal ones the first is still through first.
    """
    if sum(wanted) <= room:
        return list(wanted)
    takes = [0] * len(wanted)
    left = room
    for index, want in enumerate(wanted):
        others = len(wanted) - index
        part = left - left // 2 if not index else left // others
        takes[index] = min(want, part)
        left -= takes[index]
    for index, want in enumerate(wanted):
        more = min(want - takes[index], left)
        takes[index] += more
        left -= more
    return takes


def ask_for(sequence: Sequence, max_draft: int, limit: int) -> Ask:
    """What may be drafted for a sequence: never deeper than what may still be emitted before the last token."""
    remaining = min(sequence.sampling.max_tokens - sequence.num_output, limit - len(sequence.tokens)) - 1
    limits = sequence.track.limits
    most = min(max_draft, limits.max_draft) if limits.members else 0
    room = Budget(most, min(most, remaining)) if remaining > 0 and most else Budget(0, 0)
    return Ask(sequence.state, sequence.track, room, len(sequence.tokens) - 1, remaining + 1)


def joined(pending: Seq[Pending], drafted: dict[int, DraftTree], device: torch.device, draft_s: float) -> Plan:
    """The plan of a round from what is pending and what was drafted (by index into `pending`)."""
    parts = tuple(Part(item.sequence, item.token_P, drafted.get(index, EMPTY_TREE), item.is_last,
                       item.sequence.scores_prompt, item.is_round, item.known, item.ahead)
                  for index, item in enumerate(pending))
    draft = DraftBatch.of([part.tree for part in parts if part.choosing], device)
    return Plan(parts, draft, draft_s)
