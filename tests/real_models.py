"""Where tests find real models: `$OUTRIDER_MODELS`, else our own store. A test that finds none is skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outrider.io.cache_home import cache_home, models_directory


def path(name: str) -> Path:
    """The file of a catalogue model; skips the test, with the reason, where it is not here."""
    chosen = os.environ.get("OUTRIDER_MODELS")
    folders = [Path(chosen)] if chosen else []
    folders.append(models_directory(cache_home()))
    for folder in folders:
        if (found := folder / f"{name}.gguf").is_file():
            return found
    pytest.skip(f"{name}.gguf is not in {' or '.join(map(str, folders))}; fetch it with `outrider pull {name}`")
