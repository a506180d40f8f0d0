"""Everything Outrider raises on purpose.

    OutriderError                what a user did or asked for cannot be done; the message is one line
    ├── ConfigError              an unknown or invalid option, flag, config key or sampling value
    ├── UnknownReferenceError         a model, drafter or file name that leads nowhere
    ├── DownloadError            a download that failed, was cut short or did not match its checksum
    ├── CheckpointError          a model file that is missing parts, truncated, corrupt or not supported
    ├── VocabularyError          two models, or a model and a drafter, that do not speak the same tokens
    ├── NativeLibraryError       a native library that cannot be loaded or is not of this version
    ├── RequestError             a prompt or request that this model cannot serve
    ├── CacheFullError           no room left in the key-value cache
    └── PeerError                another engine, run for comparison, that did not start or stopped

The command line prints the message and exits with 2; a traceback is shown only with `--debug`.
An `AssertionError` or any other exception is a fault of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class OutriderError(Exception):
    """Base of every error that a user can mend; its message is one line."""


class ConfigError(OutriderError):
    """An unknown or invalid option, flag, config key or sampling value."""


class UnknownReferenceError(OutriderError):
    """A model, drafter or file name that leads nowhere."""


class DownloadError(OutriderError):
    """A download that failed, was cut short or did not match its checksum."""


class CheckpointError(OutriderError):
    """A model file that is missing parts, truncated, corrupt or not supported."""


class VocabularyError(OutriderError):
    """Two models, or a model and a drafter, that do not speak the same tokens."""


class NativeLibraryError(OutriderError):
    """A native library that cannot be loaded or is not of this version."""


class RequestError(OutriderError):
    """A prompt or request that this model cannot serve."""


class CacheFullError(OutriderError):
    """No room left in the key-value cache."""


class PeerError(OutriderError):
    """Another engine, run for comparison, that did not start or stopped; `reason` leaves out which."""

    def __init__(self, peer: str, reason: str) -> None:
        super().__init__(f"{peer}: {reason}")
        self.reason = reason


def suggestion(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the nearest known word, or the empty string."""
    by_spelling = {name.replace("-", "_"): name for name in known}
    near = difflib.get_close_matches(word.replace("-", "_"), list(by_spelling), n=1, cutoff=0.6)
    return f" (did you mean '{by_spelling[near[0]]}'?)" if near else ""
