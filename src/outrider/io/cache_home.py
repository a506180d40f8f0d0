"""Where Outrider keeps the models it pulled."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def cache_home(environment: Mapping[str, str] = os.environ) -> Path:
    """`$OUTRIDER_HOME`, or the `outrider` folder of the user's cache directory on this platform."""
    if chosen := environment.get("OUTRIDER_HOME"):
        return Path(chosen).expanduser()
    return user_caches(environment) / "outrider"


def user_caches(environment: Mapping[str, str] = os.environ, user_home: Path | None = None) -> Path:
    """The directory where programs of this platform keep what they can fetch again."""
    home = user_home or Path.home()
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    return Path(environment.get("XDG_CACHE_HOME") or home / ".cache")


def models_directory(home: Path) -> Path:
    """Finished models only: `NAME.gguf`, each one whole and verified."""
    return home / "models"


def partial_directory(home: Path, name: str) -> Path:
    """What has arrived of a pull that is running or was interrupted."""
    return home / ".partial" / name
