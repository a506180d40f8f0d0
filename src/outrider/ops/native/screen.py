"""The place of the largest logit without all logits: a head at four bits, and exactly what that cannot rule out.

    4-bit copy   -3.1  0.2  7.9  1.1 …  7.2      each off by at most slack * the length of the row's inputs
    peak                    8.3                  the tile of the largest, exactly: nothing below it can win
    refine                              7.1      all that may reach it, exactly

So the largest logit and its place are those of the whole head, bit for bit; the others are only known to be smaller.
Of 9,496 tiles of Qwen2.5-Coder-1.5B's head, 5 a row are computed again in edits, 39 in code and 475 in chat (means).
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from outrider.errors import NativeLibraryError
from outrider.ops.native.library import Library
from outrider.ops.native.matrix import RANGES_PER_THREAD, TILE_ROWS, Kind, MatrixFunctions, PackedMatrix, check, ranges
from outrider.ops.native.recorder import NONE, Code, Instruction, Outside, Value

_KIND = Kind.NIBBLE_HALF  # SCREEN_KIND of csrc/formats/screen.h
_STRETCH = 32  # tiles of which the largest output is noted
_WORTHWHILE = (Kind.SIX_TWO_LEVEL, Kind.BYTE_HALF)  # of these the copy takes half to two thirds
_MUCH = 1 / 8  # of the tiles, counted by rows: the copy saves what computing a quarter again takes, up to eight rows
_FEW = 8  # rows; more save more
_RECENT = 1 / 8  # what the newest pass weighs in what is usual
_SHORTEST, _LONGEST = 8, 128  # passes without
_PATIENCE = 256  # passes that might have been screened, before it is made: what it takes is what these would have saved


@dataclass(frozen=True, slots=True)
class Screen:
    """A matrix, its copy, and by how much each output of the copy may be off for inputs of length 1.

    Shapes: slack_VS float32, [matrix rows], and behind them the largest of each stretch.
    """

    exact: PackedMatrix
    copy: PackedMatrix
    slack_VS: Tensor


def is_worthwhile(matrix: PackedMatrix) -> bool:
    """Whether a copy is so much smaller that it pays."""
    return matrix.kind in _WORTHWHILE


def make_screen(library: Library, matrix: PackedMatrix, threads: int) -> Screen:
    """The screen of a quantised matrix. Raises: NativeLibraryError where memory runs out."""
    pointer, i32 = ctypes.c_void_p, ctypes.c_int32
    pack = library.function("outrider_screen_pack", [i32, i32, i32, pointer, i32, i32, pointer, pointer])
    copy = MatrixFunctions(library).empty(_KIND, matrix.rows, matrix.inputs)
    slack_V = torch.empty(matrix.rows, dtype=torch.float32, device="cpu")

    def pack_tiles(tiles: range) -> int:
        return pack(matrix.kind, matrix.rows, matrix.inputs, matrix.address, tiles.start, tiles.stop, copy.address,
                    slack_V.data_ptr())

    with ThreadPoolExecutor(threads) as pool:
        for code in pool.map(pack_tiles, ranges(-(-matrix.rows // TILE_ROWS), threads * RANGES_PER_THREAD)):
            check(code, f"no memory to screen {matrix.rows} rows of {matrix.inputs} values")
    padded_V = torch.nn.functional.pad(slack_V, (0, -len(slack_V) % (_STRETCH * TILE_ROWS)))
    return Screen(matrix, copy, torch.cat([slack_V, padded_V.view(-1, _STRETCH * TILE_ROWS).amax(1)]))


def screened(instructions: Sequence[Instruction], values: list[Value], screen: Screen) -> list[Instruction]:
    """The same, where the last is the screen's product and gives the logits, with the largest of these alone exact."""
    *before, last = instructions
    is_plain = last.code == Code.LINEAR and last.inputs[1] == NONE and last.data[1] is None
    assert is_plain and last.data[0] is screen.exact, "logits are a plain product of the screened matrix"
    assert values[last.out].slot == Outside.LOGITS, "the last product gives the logits"
    x, logits, notes = last.inputs[0], last.out, len(values)
    values.append(Value(2 + len(screen.slack_VS) - screen.exact.rows, picked=True))
    exactly = (screen.exact, screen.slack_VS)
    return [*before, Instruction(Code.SCREEN, notes, (x, logits), (_STRETCH,), data=(screen.copy, screen.slack_VS)),
            Instruction(Code.PEAK, notes, (x, logits), (_STRETCH,), data=exactly),
            Instruction(Code.REFINE, logits, (x, logits, notes), (_STRETCH,), data=exactly)]


class Screening:
    """Whether a pass is to use the screen of a head, which is made once it will have paid for itself.

    Where passes usually have much to compute again, none does for a while.
    """

    def __init__(self, library: Library, head: PackedMatrix, threads: int) -> None:
        self._library, self._head, self._threads = library, head, threads
        self._screen: Screen | None = None
        self._left, self._pause, self._usual = _PATIENCE, _SHORTEST, 0.0

    def due(self) -> Screen | None:
        """Asked once a pass that might be screened: the screen, if it is to be."""
        if self._left > 0:
            self._left -= 1
            return None
        if self._screen is None:
            self._screen = self._made()
        return self._screen

    def note(self, refined: int, rows: int) -> None:
        """A pass was screened: so many tiles were computed again, counted by rows."""
        share = refined / (max(1, rows / _FEW) * -(-self._head.rows // TILE_ROWS))
        self._usual += _RECENT * (share - self._usual)
        if self._usual <= _MUCH:
            self._pause = _SHORTEST
            return
        self._usual = _MUCH
        self._left, self._pause = self._pause, min(2 * self._pause, _LONGEST)

    def _made(self) -> Screen | None:
        """None where there is no memory for it: then all goes on without."""
        try:
            return make_screen(self._library, self._head, self._threads)
        except (NativeLibraryError, MemoryError, OSError, RuntimeError) as error:
            logging.getLogger(__name__).warning("greedy text needs the whole head, as it cannot be screened: %s", error)
            self._left = sys.maxsize
            return None
