"""API keys: who may ask, and whose memories a request shares."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence


class Keys:
    """Keeps digests only. Without keys everybody is the same user, whose scope is empty."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key.strip()) for key in keys]

    def scope(self, authorization: str) -> str | None:
        """The scope of the bearer of a header's key; None for one who has none of ours.

        All keys are compared, each in constant time, so that the time taken tells nothing.
        """
        if not self._digests:
            return ""
        scheme, _, given = authorization.partition(" ")
        digest = _digest(given.strip() if scheme.lower() == "bearer" else "")
        found = None
        for known in self._digests:
            if hmac.compare_digest(known, digest):
                found = known[:8].hex()
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(b"outrider key " + key.encode("utf-8", "surrogateescape")).digest()
