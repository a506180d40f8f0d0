"""Blocks of the paged cache: who holds them, which of them can be found again by what they contain.

    never used ──take──> held (references > 0) ──drop──┬─> never used      (contents unknown to the index)
                           ^                           └─> kept, oldest first (contents indexed)
                           └────────find by digest───────────┘    └─ evicted by take when nothing else is left
"""

from __future__ import annotations

from collections import OrderedDict

from outrider.errors import CacheFullError


class BlockPool:
    """Reference counts and the content index of a fixed number of blocks."""

    def __init__(self, num_blocks: int) -> None:
        self.references = [0] * num_blocks
        self._unused = list(range(num_blocks - 1, -1, -1))
        self._kept: OrderedDict[int, None] = OrderedDict()
        self._digest_of: dict[int, bytes] = {}
        self._block_of: dict[bytes, int] = {}

    @property
    def num_available(self) -> int:
        """Blocks that `take` can still give."""
        return len(self._unused) + len(self._kept)

    def require(self, count: int) -> None:
        """Raises: CacheFullError where `take` could not give this many; nothing changes."""
        if count > self.num_available:
            held = len(self.references) - self.num_available
            raise CacheFullError(f"the key-value cache is full: {held} of {len(self.references)} blocks are in use and "
                                 f"{count} more are needed; run fewer sequences at once or give the cache more tokens")

    def take(self) -> int:
        """A block of unknown contents, held once. Raises: CacheFullError."""
        self.require(1)
        if self._unused:
            block = self._unused.pop()
        else:
            block, _ = self._kept.popitem(last=False)
            del self._block_of[self._digest_of.pop(block)]
        self.references[block] = 1
        return block

    def find(self, digest: bytes) -> int | None:
        """The block with these contents, held once more, or None."""
        block = self._block_of.get(digest)
        if block is not None:
            self._kept.pop(block, None)
            self.references[block] += 1
        return block

    def share(self, block: int) -> None:
        """Hold a held block once more."""
        self.references[block] += 1

    def unindex(self, block: int) -> None:
        """Nobody will find this block any more."""
        del self._block_of[self._digest_of.pop(block)]
        if block in self._kept:
            del self._kept[block]
            self._unused.append(block)

    def index(self, block: int, digest: bytes) -> None:
        """Make a held block findable; the first block with the same contents wins."""
        if digest not in self._block_of:
            self._block_of[digest] = block
            self._digest_of[block] = digest

    def drop(self, block: int) -> None:
        """Give back one reference."""
        self.references[block] -= 1
        if self.references[block]:
            return
        if block in self._digest_of:
            self._kept[block] = None
        else:
            self._unused.append(block)

    def forget(self) -> None:
        """Empty the content index: nothing computed so far will be shared again."""
        self._unused.extend(self._kept)
        self._kept.clear()
        self._digest_of.clear()
        self._block_of.clear()

    def check(self, held: list[int]) -> None:
        """AssertionError unless `held`, all references that rows have, accounts for every block exactly."""
        counts = [0] * len(self.references)
        for block in held:
            counts[block] += 1
        assert counts == self.references, "reference counts differ from what the rows hold"
        idle = sorted([*self._unused, *self._kept])
        assert idle == [block for block, count in enumerate(counts) if not count], "idle blocks lost or doubled"
        assert self._block_of == {digest: block for block, digest in self._digest_of.items()}, "index is not one to one"
        assert all(block in self._digest_of for block in self._kept), "a kept block cannot be found"
