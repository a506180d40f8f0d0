"""Screened heads: largest logit and place are those of the whole head, bit for bit, whatever the copy got wrong."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from native_targets import library
from outrider.core.step import Step
from outrider.ops.native import screen
from outrider.ops.native.library import Library
from outrider.ops.native.matrix import MatrixFunctions, PackedMatrix, SourceRows
from outrider.ops.native.program import Buffers, Pool, Program
from outrider.ops.native.recorder import Code, Outside, Recorder, Rewrite, Weights
from outrider.ops.native.screen import Screen, Screening, is_worthwhile, make_screen, screened
from quantised_rows import quantised, random_rows, rounded

FUNCTIONS = MatrixFunctions(library())
SIZES = (1, 15, 16, 47, 600, 1500)  # of vocabularies: part of a tile, of a stretch, and several


@pytest.fixture(scope="module")
def pools() -> dict[int, Pool]:
    return {threads: Pool(library(), threads) for threads in (1, 2, 3)}


def matrix_of(vocab: int, inputs: int, name: str, seed: int = 0) -> PackedMatrix:
    return FUNCTIONS.pack(SourceRows(random_rows(name, vocab, inputs, seed), name, inputs))


@dataclass(frozen=True, slots=True)
class Logits:
    values: Tensor
    refined: int


class Head:
    """A model that is nothing but a head."""

    def __init__(self, matrix: PackedMatrix, rewrite: Rewrite | None = None) -> None:
        recorder, weight = Recorder(), nn.Parameter(torch.empty(0, device="meta"))
        recorder.bind({"head.weight": weight}, Weights({"head.weight": matrix}, {}))
        hidden = recorder.outside(Outside.INPUT, matrix.inputs, picked=True)
        recording = recorder.finish({Outside.LOGITS: recorder.linear(hidden, weight, None)}, rewrite)
        self.codes = [one.code for one in recording.instructions]
        self._program, self._vocab = Program(library(), recording), matrix.rows

    def logits(self, x_RD: Tensor, pool: Pool, isa: str = "") -> Logits:
        row_R = torch.zeros(len(x_RD), dtype=torch.int64)
        logits_RV = torch.full((len(x_RD), self._vocab), torch.nan)
        buffers = Buffers({Outside.INPUT: x_RD.float().contiguous(), Outside.LOGITS: logits_RV})
        kernels = library().kernels(isa) if isa else library().kernels()
        refined = self._program.run(kernels, pool, Step(row_R, row_R, row_R, (), row_R), None, None, buffers)
        return Logits(logits_RV, refined)


def heads_of(matrix: PackedMatrix) -> tuple[Head, Head]:
    return Head(matrix), Head(matrix, partial(screened, screen=make_screen(library(), matrix, 2)))


def check_best(whole: Tensor, found: Tensor) -> None:
    """The same place, the same bits, and nothing above."""
    for row, other in zip(whole, found, strict=True):
        best = int(torch.where(row.isnan(), -torch.inf, row).argmax())
        assert int(torch.where(other.isnan(), -torch.inf, other).argmax()) == best
        assert torch.equal(row[best].view(torch.int32), other[best].view(torch.int32))


@settings(max_examples=60)
@given(st.sampled_from(SIZES), st.sampled_from(("Q6_K", "Q8_0")), st.integers(0, 2**30), st.sampled_from((1, 2, 7, 65)),
       st.sampled_from((0.0, 0.001, 1.0, 1e6)), st.sampled_from((1, 2, 3)))
def test_the_largest_is_that_of_the_whole_head(pools: dict[int, Pool], vocab: int, name: str, seed: int, rows: int,
                                               scale: float, threads: int) -> None:
    """Rows between those of the matrix have several near ties."""
    matrix = matrix_of(vocab, 512, name, seed)
    generator = torch.Generator().manual_seed(seed)
    near = FUNCTIONS.unpack(matrix, torch.randint(0, vocab, (2 * rows,), generator=generator)).view(2, rows, -1).sum(0)
    x_RD = scale * (near + 0.3 * near.std() * torch.randn(rows, 512, generator=generator))
    whole, some = heads_of(matrix)
    check_best(whole.logits(x_RD, pools[1]).values, some.logits(x_RD, pools[threads]).values)


def test_sure_rows_need_few_tiles_and_doubtful_ones_all(pools: dict[int, Pool]) -> None:
    matrix = matrix_of(16_000, 512, "Q8_0")
    whole, some = heads_of(matrix)
    sure = FUNCTIONS.unpack(matrix, torch.tensor([5, 7000, 15_999]))
    found = some.logits(sure, pools[2])
    assert found.refined <= 3 * 20 and found.values.argmax(-1).tolist() == [5, 7000, 15_999]
    assert some.logits(torch.zeros(2, 512), pools[2]).refined == 2 * 1000  # where all are zero, the first wins
    check_best(whole.logits(sure, pools[1]).values, found.values)


@pytest.mark.parametrize("isa", library().names())
def test_every_instruction_set_refines_the_same(pools: dict[int, Pool], isa: str) -> None:
    matrix = matrix_of(2000, 288, "Q8_0", 3)
    x_RD = torch.randn(9, 288, generator=torch.Generator().manual_seed(4))
    _, some = heads_of(matrix)
    found, wanted = some.logits(x_RD, pools[2], isa), some.logits(x_RD, pools[1], "portable")
    assert found.refined == wanted.refined
    assert torch.equal(found.values.view(torch.int32), wanted.values.view(torch.int32))


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf, 3e38, 1e30])
def test_inputs_that_are_no_numbers_leave_all_in_doubt(pools: dict[int, Pool], odd: float) -> None:
    matrix = matrix_of(700, 256, "Q6_K")
    x_RD = torch.randn(3, 256, generator=torch.Generator().manual_seed(1))
    x_RD[1, 17] = odd
    whole, some = heads_of(matrix)
    check_best(whole.logits(x_RD, pools[1]).values, some.logits(x_RD, pools[2]).values)


def test_sums_that_are_infinite_in_the_copy_alone_do_not_show(pools: dict[int, Pool]) -> None:
    """A row whose groups cancel, but for the copy only after the first sum has overflowed."""
    blocks = random_rows("Q8_0", 900, 96).reshape(900, 3, 34)
    code = np.int8([127, *[107] * 31])
    blocks[550, :, 2:] = np.stack([-code, code, code]).view(np.uint8)
    blocks[:, :, :2] = np.frombuffer(np.float16(1).tobytes(), np.uint8)
    matrix = FUNCTIONS.pack(SourceRows(blocks.reshape(900, -1), "Q8_0", 96))
    whole, some = heads_of(matrix)
    x_RD = torch.full((1, 96), 9.485e34)
    check_best(whole.logits(x_RD, pools[1]).values, some.logits(x_RD, pools[2]).values)


def test_equal_rows_of_a_head_are_won_by_the_first(pools: dict[int, Pool]) -> None:
    data = random_rows("Q8_0", 900, 64)
    data[[70, 333, 899]] = data[12]
    matrix = FUNCTIONS.pack(SourceRows(data, "Q8_0", 64))
    whole, some = heads_of(matrix)
    x_RD = FUNCTIONS.unpack(matrix, torch.tensor([333, 899]))
    assert some.logits(x_RD, pools[2]).values.argmax(-1).tolist() == [12, 12]
    check_best(whole.logits(x_RD, pools[1]).values, some.logits(x_RD, pools[2]).values)


@settings(max_examples=40)
@given(st.sampled_from(("Q6_K", "Q8_0")), st.integers(0, 2**30), st.floats(-20, 20))
def test_the_slack_holds(name: str, seed: int, size: float) -> None:
    """In the worst case, inputs that point where the copy is wrong, as the kernels compute both."""
    matrix = matrix_of(40, 256, name, seed)
    made = make_screen(library(), matrix, 1)
    exact, copy = (FUNCTIONS.unpack(one, torch.arange(40)) for one in (matrix, made.copy))
    x = quantised(2.0**size * (exact - copy))
    kernels = library().kernels()
    missed = (FUNCTIONS.linear(kernels, matrix, x) - FUNCTIONS.linear(kernels, made.copy, x)).abs().double()
    length = rounded(x, 256).norm(dim=-1, keepdim=True)
    assert bool((missed <= made.slack_VS[:40].double() * length).all())
    assert float((missed.diagonal() / (made.slack_VS[:40] * length[:, 0])).max()) > 0.9  # and no larger than it need be


def test_the_slack_of_a_stretch_is_its_largest() -> None:
    made = make_screen(library(), matrix_of(1100, 64, "Q8_0"), 2)
    slack_V, slack_S = made.slack_VS[:1100], made.slack_VS[1100:]
    assert slack_S.tolist() == [float(part.max()) for part in slack_V.split(512)]


def test_only_heads_that_are_large_are_screened() -> None:
    assert is_worthwhile(matrix_of(16, 256, "Q6_K")) and is_worthwhile(matrix_of(16, 32, "Q8_0"))
    assert not is_worthwhile(matrix_of(16, 256, "Q4_K")) and not is_worthwhile(matrix_of(16, 256, "Q5_K"))


def test_a_head_with_something_behind_it_is_a_fault() -> None:
    matrix, other = matrix_of(40, 64, "Q8_0"), matrix_of(40, 64, "Q8_0")
    made = make_screen(library(), matrix, 1)
    assert Head(matrix, partial(screened, screen=made)).codes[-3:] == [Code.SCREEN, Code.PEAK, Code.REFINE]
    with pytest.raises(AssertionError, match="a plain product of the screened matrix"):
        Head(other, partial(screened, screen=made))


# ---- when ------------------------------------------------------------------------------------------------------------


def test_a_screen_is_made_when_it_will_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "_PATIENCE", 3)
    screening = Screening(library(), matrix_of(160, 32, "Q8_0"), 1)
    assert [screening.due() is None for _ in range(5)] == [True, True, True, False, False]
    assert isinstance(screening.due(), Screen) and screening.due() is screening.due()


def test_screening_pauses_where_much_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "_PATIENCE", 0)
    screening = Screening(library(), matrix_of(160, 32, "Q8_0"), 1)  # ten tiles

    def passes_without(refined: int, rows: int = 1) -> int:
        screening.note(refined, rows)
        pause = 0
        while screening.due() is None:
            pause += 1
        return pause

    assert passes_without(10) == 0  # that was one
    assert [passes_without(40) for _ in range(6)] == [8, 16, 32, 64, 128, 128]
    assert (passes_without(0), passes_without(1), passes_without(40)) == (0, 0, 8)
    assert (passes_without(0), passes_without(40, 256)) == (0, 0)  # of so many rows that is little


def test_without_memory_for_a_screen_all_goes_on_without(monkeypatch: pytest.MonkeyPatch,
                                                         caplog: pytest.LogCaptureFixture) -> None:
    def fail(library: Library, matrix: PackedMatrix, threads: int) -> Screen:
        raise MemoryError("no room")

    monkeypatch.setattr(screen, "_PATIENCE", 1)
    monkeypatch.setattr(screen, "make_screen", fail)
    screening = Screening(library(), matrix_of(160, 32, "Q8_0"), 1)
    assert [screening.due() for _ in range(4)] == [None] * 4
    assert [record.getMessage() for record in caplog.records] == [
        "greedy text needs the whole head, as it cannot be screened: no room"]  # once


def test_a_copy_is_made_by_any_number_of_threads() -> None:
    one, three = (make_screen(library(), matrix_of(333, 288, "Q8_0"), threads) for threads in (1, 3))
    assert torch.equal(one.copy.data, three.copy.data) and torch.equal(one.slack_VS, three.slack_VS)
