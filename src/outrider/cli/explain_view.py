"""How a journal of rounds looks: a table on standard error with a summary below it, or rows for a JSON document."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from rich.console import Console
from rich.table import Table

from outrider.engine.journal import Entry, Journal

_WIDTH = 160  # where it goes to a file


def show(journal: Journal) -> None:
    """The table and the summary."""
    if not journal.entries:
        return
    console = Console(stderr=True, width=None if sys.stderr.isatty() else _WIDTH, soft_wrap=True)
    console.print(table(journal))
    for line in summary(journal):
        console.print(line, style="dim", highlight=False)


def table(journal: Journal) -> Table:
    """A line for each round with a draft, and one for all that follow each other without."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("round", "tokens", *journal.names, "verified", "expected", "foreseen ms", "plain ms", "why",
                 "accepted", "measured ms"):
        shown.add_column(name, justify="left" if name in ("why", "accepted") else "right", no_wrap=True)
    for stretch in _stretches(journal.entries):
        shown.add_row(*_cells(stretch, journal.names))
    return shown


def summary(journal: Journal) -> list[str]:
    """Where the time went, what every drafter brought, and how right the policy was."""
    return [_time_line(journal.entries), *_member_lines(journal), *_forecast_lines(journal.entries)]


def rows(journal: Journal) -> list[dict[str, object]]:
    """Every round for a program; a drafter that was not asked has null, and so has what the policy did not foresee."""
    return [{"round": number, "tokens": entry.tokens,
             "offered": {name: None if nodes < 0 else nodes
                         for name, nodes in zip(journal.names, entry.reason.offered, strict=True)},
             "verified": entry.verified, "expected_tokens": entry.reason.tokens or None,
             "foreseen_s": entry.reason.seconds or None, "plain_s": entry.reason.plain_seconds or None,
             "why": entry.reason.why, "accepted": entry.accepted,
             "accepted_by": dict(zip(journal.names, entry.accepted_by, strict=True)),
             "emitted": entry.emitted, **asdict(entry.times)}
            for number, entry in enumerate(journal.entries, start=1)]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rounds that share a line; `first` is the number of the first, from 1 on."""

    first: int
    entries: tuple[Entry, ...]


def _stretches(entries: Sequence[Entry]) -> Iterator[_Stretch]:
    begin = 0
    while begin < len(entries):
        end = begin + 1
        while not entries[begin].verified and end < len(entries) and not entries[end].verified:
            end += 1
        yield _Stretch(begin + 1, tuple(entries[begin:end]))
        begin = end


def _cells(stretch: _Stretch, names: Sequence[str]) -> list[str]:
    entries, first = stretch.entries, stretch.entries[0]
    count = len(entries)
    reasons = [entry.reason for entry in entries]
    offered = [_offered([reason.offered[index] for reason in reasons]) for index in range(len(names))]
    why = first.reason.why if count == 1 else f"{count} rounds plain"
    number = str(stretch.first) if count == 1 else f"{stretch.first}-{stretch.first + count - 1}"
    by_whom = ", ".join(f"{name} {nodes}" for name, nodes in zip(names, first.accepted_by, strict=True) if nodes)
    accepted = "-" if not first.verified else f"{first.accepted} ({by_whom})" if by_whom else str(first.accepted)
    return [number, str(first.tokens), *offered, str(first.verified) if first.verified else "-",
            _figure(fmean(reason.tokens for reason in reasons)),
            _figure(1e3 * fmean(reason.seconds for reason in reasons)),
            _figure(1e3 * fmean(reason.plain_seconds for reason in reasons)), why, accepted,
            _figure(1e3 * fmean(entry.times.total_s for entry in entries))]


def _offered(nodes: Sequence[int]) -> str:
    """What a drafter offered in all these rounds; `-` where it was never asked."""
    asked = [count for count in nodes if count >= 0]
    return str(sum(asked)) if asked else "-"


def _figure(value: float) -> str:
    return f"{value:.2f}" if value else "-"


def _time_line(entries: Sequence[Entry]) -> str:
    parts = {"drafting": sum(entry.times.draft_s for entry in entries),
             "the target's passes": sum(entry.times.target_s for entry in entries),
             "verification": sum(entry.times.verify_s for entry in entries),
             "host": sum(entry.times.host_s for entry in entries)}
    total_s = sum(parts.values())
    shares = ", ".join(f"{name} {seconds / total_s:.1%}" for name, seconds in parts.items())
    return f"time: {total_s * 1e3:.0f} ms in {len(entries)} rounds; {shares}"


def _member_lines(journal: Journal) -> Iterator[str]:
    for index, name in enumerate(journal.names):
        asked = [entry.reason.offered[index] for entry in journal.entries if entry.reason.offered[index] >= 0]
        accepted = sum(entry.accepted_by[index] for entry in journal.entries)
        yield f"{name}: asked in {len(asked)} rounds, offered {sum(asked)} nodes, accepted {accepted}"


def _forecast_lines(entries: Sequence[Entry]) -> Iterator[str]:
    """Nothing of a policy that foresees nothing."""
    drafted = [entry for entry in entries if entry.verified and entry.reason.tokens]
    known = [entry for entry in entries if entry.reason.seconds]
    if drafted:
        nodes = sum(entry.verified for entry in drafted)
        predicted = sum(entry.reason.tokens - 1.0 for entry in drafted)
        observed = sum(entry.accepted for entry in drafted)
        yield (f"accepted of {nodes} verified nodes: predicted {predicted:.1f} ({predicted / nodes:.0%}), "
               f"observed {observed} ({observed / nodes:.0%})")
    if known:
        foreseen, measured = (sum(entry.reason.seconds for entry in known), sum(entry.times.total_s for entry in known))
        plain_s = sum(entry.emitted * entry.reason.plain_seconds for entry in known)
        yield (f"time: foreseen {foreseen * 1e3:.0f} ms, measured {measured * 1e3:.0f} ms; plain decoding of the same "
               f"tokens: about {plain_s * 1e3:.0f} ms")
