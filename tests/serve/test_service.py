"""What routes share."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tiny_server import TinyServer


def test_long_texts_are_encoded_in_one_thread(server: TinyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many come at once; texts of a usual size do not leave the loop's."""
    service, threads, go_on = server.service, list[int](), threading.Event()
    plain = service.tokenizer.encode

    def encode(text: str, *, special: bool) -> list[int]:
        threads.append(threading.get_ident())
        assert len(text) < 100 or go_on.wait(30)
        return plain(text, special=special)

    async def ask() -> list[list[int]]:
        waiting = asyncio.gather(*(service.encode("ab " * 10_000, special=False) for _ in range(5)))
        short = await service.encode("ab", special=False)
        go_on.set()
        return [short, *await waiting]

    monkeypatch.setattr(service.tokenizer, "encode", encode)
    short, *found = asyncio.run(ask())
    assert short == plain("ab", special=False) and found == 5 * [plain("ab " * 10_000, special=False)]
    others = [thread for thread in threads if thread != threading.get_ident()]
    assert len(threads) == 6 and len(others) == 5 and len(set(others)) == 1
