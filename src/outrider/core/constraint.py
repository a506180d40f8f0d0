"""What the engine knows of constraints: which tokens may come next, wherever in a draft tree it asks.

A constraint removes tokens from the target's scores before anything else is done to them. As what may come depends on
the text alone, never on how it was drafted, speculation changes nothing here either:

    anchor ── mask ─┬─ 0 allowed: advance ── mask ─┬─ 1 allowed …
                    │                              └─ 2 forbidden: never accepted, so no mask is needed behind it
                    └─ 3 an end: nothing comes behind it

`outrider.constrain` makes constraints from JSON schemas, regular expressions and grammars.
"""

from __future__ import annotations

from typing import Protocol


class ConstraintState(Protocol):
    """How far the text of one sequence has come. It is moved by emitted tokens, and back again after a look ahead."""

    @property
    def is_over(self) -> bool:
        """Whether the text is complete and nothing can follow, so that the sequence ends without an end token."""

    @property
    def failure(self) -> str:
        """Why nothing can be said any more, such as a limit that was met; empty while all is well."""

    def mask(self) -> bytes:
        """The tokens that may come now, a bit each: token t is bit t % 8 of byte t // 8.

        End tokens are among them where the text is complete, and alone where nothing else can follow.
        """

    def allows(self, token: int) -> bool:
        """The bit of one token, without working out the others."""

    def forced(self) -> list[int]:
        """Tokens that must come now, one behind the other: where there are any, masks allow nothing else."""

    def advance(self, token: int) -> bool:
        """Go on behind a token; false, and nothing changes, where it is forbidden or an end."""

    def rollback(self, count: int) -> None:
        """Take back the last `count` tokens that `advance` went on behind."""

    def fork(self) -> ConstraintState:
        """One in the same state that goes its own way."""


class Constraint(Protocol):
    """What the text of an answer must look like. It never changes, so that requests and threads may share it."""

    def start(self) -> ConstraintState:
        """The state before the first token; one a sequence."""
