"""Parts of an answer, as they are streamed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Content:
    """More of what the user is told."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """More of what the model thinks aloud."""

    text: str


@dataclass(frozen=True, slots=True)
class CallDelta:
    """More of a tool call. `id` and `name` are whole in the first delta of a call, and empty in those that follow.

    Joined, `arguments` are the JSON text of an object.
    """

    index: int
    id: str
    name: str
    arguments: str


Part = Content | Reasoning | CallDelta
