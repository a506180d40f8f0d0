"""`FairQueue`: who waits, and in which order they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from outrider.engine.sequence import Sequence


class FairQueue:
    """Scopes take turns; within one, first come is first served. Whoever has run before comes before all of them.

    Samples of one request wait apart until the first of them has read the prompt, so that the others find it in the
    cache: `held` has them by their first.
    """

    def __init__(self) -> None:
        self._back: list[Sequence] = []
        self._scopes: dict[str, deque[Sequence]] = {}  # the first one is next; who has had a turn goes last
        self._held: dict[Sequence, list[Sequence]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Sequence]:
        yield from self._back
        for scope in self._scopes.values():
            yield from scope
        for held in self._held.values():
            yield from held

    def add(self, samples: list[Sequence]) -> None:
        """A request's samples, at the end of their scope."""
        first, *others = samples
        self._count += len(samples)
        self._scopes.setdefault(first.request.scope, deque()).append(first)
        if others:
            self._held[first] = others

    def put_back(self, sequence: Sequence) -> None:
        """One that has run, in front of all that have not; of several the one that began first is first."""
        self._count += 1
        self._back.append(sequence)
        self._back.sort(key=lambda one: one.turn)

    def release(self, first: Sequence) -> None:
        """The other samples of a request are next in their scope: the first one has read the prompt, or never will."""
        others = self._held.pop(first, None)
        if others:
            self._scopes.setdefault(first.request.scope, deque()).extendleft(reversed(others))

    def peek(self) -> Sequence | None:
        """Who is next."""
        if self._back:
            return self._back[0]
        return next((scope[0] for scope in self._scopes.values()), None)

    def pop(self) -> Sequence:
        """Who was next, out of the queue."""
        self._count -= 1
        if self._back:
            return self._back.pop(0)
        name, scope = next(iter(self._scopes.items()))
        sequence = scope.popleft()
        del self._scopes[name]
        if scope:
            self._scopes[name] = scope
        return sequence

    def remove(self, sequence: Sequence) -> None:
        """It waits no more, if it did."""
        name = sequence.request.scope
        for line in (self._back, self._scopes.get(name), *self._held.values()):
            if line is not None and sequence in line:
                line.remove(sequence)
                self._count -= 1
                break
        if name in self._scopes and not self._scopes[name]:
            del self._scopes[name]
