"""`Turns`: which infills are still wanted. An editor asks again whenever its cursor moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from outrider.serve.running import Running


@dataclass(frozen=True, slots=True)
class Client:
    """Whose infills replace each other: one user's (by key and salt), from one address, in one slot or session."""

    scope: str
    address: str
    session: str


class Turn:
    """One infill under way. `is_superseded`: a newer one has ended it."""

    def __init__(self, running: Running, is_warm: bool) -> None:
        self.is_superseded = False
        self.is_warm = is_warm
        self._running = running

    def supersede(self) -> None:
        self.is_superseded = True
        self._running.stop()


class Turns:
    """Lives in one event loop. Clients that name neither slot nor session are left alone: they may want many at once.
    """

    def __init__(self) -> None:
        self._turns: dict[Client, list[Turn]] = {}

    @contextmanager
    def taken(self, client: Client | None, running: Running, is_warm: bool) -> Iterator[Turn]:
        """Ends the client's older infills. One that only reads a prompt ends only such ones."""
        turn = Turn(running, is_warm)
        if client is None:
            yield turn
            return
        others = self._turns.setdefault(client, [])
        for older in others:
            if older.is_warm or not is_warm:
                older.supersede()
        others.append(turn)
        try:
            yield turn
        finally:
            others.remove(turn)
            if not others:
                self._turns.pop(client, None)
