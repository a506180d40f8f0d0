"""Who runs: the peers that were asked for, started, and those that cannot be, with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from outrider.bench.peers.catalogue import PEERS, MissingPeer, PeerKind, PlacedPeer, find_peer
from outrider.bench.peers.contest import PeerContestant
from outrider.bench.peers.process import LoadOrder, PeerProcess
from outrider.errors import ConfigError, PeerError, UnknownReferenceError, suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for: peers as NAME or NAME=PATH, models of their own as NAME=PATH, modes (none: all there are)."""

    peers: tuple[str, ...]
    models: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    draft_model: Path | None = None


@dataclass(frozen=True, slots=True)
class Entrant:
    """A peer that is there, with what it is to load (an empty path: our model's) and to run."""

    peer: PlacedPeer
    model: str
    modes: tuple[str, ...]
    draft_model: str


@dataclass(frozen=True, slots=True)
class Entrants:
    """Those that are there and those that are not."""

    present: tuple[Entrant, ...]
    missing: tuple[MissingPeer, ...]


def look_up(wanted: Wanted) -> Entrants:
    """Finds every peer; nothing is started. Raises: ConfigError, UnknownReferenceError."""
    if not wanted.peers:
        raise ConfigError(f"no peer given: add --peer with one of {', '.join(PEERS)}")
    models = _models(wanted.models)
    draft_model = ""
    if wanted.draft_model is not None:
        draft_model = str(_existing(str(wanted.draft_model), "--draft-model"))
    found = [find_peer(word) for word in wanted.peers]
    present = [Entrant(peer, models.get(peer.kind.name, ""), modes_of(peer.kind, wanted), draft_model)
               for peer in found if isinstance(peer, PlacedPeer)]
    return Entrants(tuple(present), tuple(peer for peer in found if isinstance(peer, MissingPeer)))


def modes_of(kind: PeerKind, wanted: Wanted) -> tuple[str, ...]:
    """The modes to run, in the peer's order. Raises: ConfigError where it has none of those wanted."""
    able = (*kind.modes, *(("draft",) if kind.drafts and wanted.draft_model else ()))
    chosen = tuple(mode for mode in able if not wanted.modes or mode in wanted.modes)
    if not chosen:
        more = ", and draft with --draft-model" if kind.drafts else ""
        raise ConfigError(f"--modes: {kind.name} has none of {', '.join(wanted.modes)}; it has {', '.join(able)}{more}")
    return chosen


class Lineup:
    """The peers' processes, ended together. A peer that does not start counts as missing."""

    def __init__(self, entrants: Entrants, model: Path, threads: int, context: int) -> None:
        self.missing = list(entrants.missing)
        self.processes: list[PeerProcess] = []
        self._modes: dict[str, tuple[str, ...]] = {}
        for entrant in entrants.present:
            self._start(entrant, LoadOrder(model=entrant.model or str(model), modes=entrant.modes, threads=threads,
                                           context=context, draft_model=entrant.draft_model))

    def __enter__(self) -> Lineup:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.close()

    def contestants(self, stop_ids: Sequence[int]) -> list[PeerContestant]:
        """Every peer in each of its modes."""
        return [PeerContestant(process, mode, stop_ids)
                for process in self.processes for mode in self._modes[process.name]]

    def versions(self) -> dict[str, str]:
        return {process.name: process.version for process in self.processes}

    def _start(self, entrant: Entrant, order: LoadOrder) -> None:
        try:
            process = PeerProcess(entrant.peer, order)
        except PeerError as error:
            self.missing.append(MissingPeer(entrant.peer.kind.name, error.reason, ""))
            return
        self.processes.append(process)
        self._modes[process.name] = entrant.modes


def _models(words: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for word in words:
        name, equals, path = word.partition("=")
        if name not in PEERS or not equals:
            hint = suggestion(name, PEERS)
            raise ConfigError(f"--peer-model: got '{word}'{hint}, expected NAME=PATH with one of {', '.join(PEERS)}")
        found[name] = str(_existing(path, "--peer-model"))
    return found


def _existing(path: str, flag: str) -> Path:
    place = Path(path).expanduser()
    if not place.exists():
        raise UnknownReferenceError(f"{flag}: no file or directory at '{path}'")
    return place
