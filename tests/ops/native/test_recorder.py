"""What is written down, and where its values lie: nothing is overwritten before it was last read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from outrider.ops.native.matrix import Kind, PackedMatrix
from outrider.ops.native.recorder import Code, Instruction, Outside, Place, Recorder, Recording, Value, Weights, placed

SIZE = 32


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[Instruction], list[Value]]:
    """Values made of earlier ones, changed in place, written bit by bit, never read, or lying outside."""
    values, instructions = [Value(SIZE)], [Instruction(Code.EMBED, 0, ())]
    for _ in range(draw(st.integers(0, 30))):
        known = st.integers(0, len(values) - 1)
        inputs = draw(st.lists(known, min_size=1, max_size=3))
        if draw(st.integers(0, 3)):
            values.append(Value(SIZE * draw(st.integers(1, 3)), place=draw(st.sampled_from(list(Place)))))
            if values[-1].place == Place.OUTSIDE:
                values[-1] = replace(values[-1], slot=draw(st.integers(0, 2)))
            instructions.append(Instruction(Code.ADD, len(values) - 1, tuple(inputs)))
        else:
            instructions.append(Instruction(Code.PLACE, draw(known), tuple(inputs)))
    return instructions, values


def check_holders(instructions: Sequence[Instruction], values: Sequence[Value]) -> None:
    """A tiny interpreter: each slot holds the name of the value that was written to it last."""
    holder: dict[int, int] = {}
    inside = [value.place != Place.OUTSIDE for value in values]
    written: set[int] = set()
    for one in instructions:
        for value in one.inputs:
            assert not inside[value] or holder[values[value].slot] == value, "overwritten before it was read"
        if not inside[one.out]:
            continue
        slot = values[one.out].slot
        assert one.out not in written or holder[slot] == one.out, "overwritten before it was complete"
        assert all(value == one.out or not inside[value] or values[value].slot != slot for value in one.inputs)
        holder[slot] = one.out
        written.add(one.out)


def most_alive(instructions: Sequence[Instruction], values: Sequence[Value]) -> int:
    spans: dict[int, list[int]] = {}
    for at, one in enumerate(instructions):
        for value in (one.out, *one.inputs):
            if values[value].place != Place.OUTSIDE:
                spans.setdefault(value, []).append(at)
    return max((sum(min(span) <= at <= max(span) for span in spans.values()) for at in range(len(instructions))),
               default=0)


@given(programs())
def test_no_value_is_overwritten_before_its_last_use(program: tuple[list[Instruction], list[Value]]) -> None:
    instructions, values = program
    found = placed(instructions, values)
    check_holders(instructions, found)
    assert [replace(value, slot=-1) for value in found] == [replace(value, slot=-1) for value in values]
    assert all(new.slot == old.slot for new, old in zip(found, values, strict=True) if old.place == Place.OUTSIDE)


@given(programs())
def test_no_more_slots_than_values_alive_at_once(program: tuple[list[Instruction], list[Value]]) -> None:
    found = placed(*program)
    slots = {value.slot for value in found if value.place != Place.OUTSIDE}
    assert slots == set(range(most_alive(program[0], found)))


MATRIX, FLOATS, VECTOR = (torch.empty(SIZE, device="meta") for _ in range(3))
TOKENS = torch.empty(1, dtype=torch.int64, device="meta")


@pytest.fixture
def recorder() -> Recorder:
    """Over a quantised square matrix, one of floats, and a vector."""
    nothing = torch.empty(0, dtype=torch.uint8)
    weights = Weights({"matrix": PackedMatrix(Kind.BYTE_HALF, SIZE, SIZE, nothing),
                       "floats": PackedMatrix(Kind.FLOAT, SIZE, SIZE, nothing)}, {"vector": torch.ones(SIZE)})
    found = Recorder()
    found.bind({"matrix": MATRIX, "floats": FLOATS, "vector": VECTOR}, weights)
    return found


def codes(recording: Recording) -> list[str]:
    return [one.code.name for one in recording.instructions]


def test_a_value_is_quantised_once(recorder: Recorder) -> None:
    x = recorder.embed(TOKENS, MATRIX, 1.0)
    y = recorder.gate(recorder.linear(x, MATRIX, None), recorder.linear(x, MATRIX, VECTOR), "silu")
    found = recorder.finish({Outside.LOGITS: recorder.linear(y, FLOATS, None)})
    assert codes(found) == ["EMBED", "QUANTISE", "LINEAR", "LINEAR", "GATE", "LINEAR"]
    assert found.values[found.instructions[-1].out].place == Place.OUTSIDE


def feed_forward(recorder: Recorder, bias: torch.Tensor | None = None) -> list[torch.Tensor]:
    """Gate, up, both together, and the product behind them."""
    x = recorder.embed(TOKENS, MATRIX, 1.0)
    gate, up = recorder.linear(x, MATRIX, bias), recorder.linear(x, MATRIX, None)
    both = recorder.gate(gate, up, "gelu_tanh")
    return [gate, up, both, recorder.linear(both, MATRIX, None)]


def test_a_gated_feed_forward_is_one_instruction(recorder: Recorder) -> None:
    found = recorder.finish({Outside.LOGITS: feed_forward(recorder)[-1]})
    assert codes(found) == ["EMBED", "QUANTISE", "GATED_LINEAR", "LINEAR"]
    one = found.instructions[2]
    assert one.sizes == (1,) and found.values[one.out].place == Place.QUANTISED == found.values[one.inputs[0]].place
    assert all(value.slot >= 0 for value in found.values)


@pytest.mark.parametrize("which", range(3))
def test_not_where_something_else_reads_what_lies_between(recorder: Recorder, which: int) -> None:
    parts = feed_forward(recorder)
    found = recorder.finish({Outside.LOGITS: recorder.add(parts[-1], parts[which])})
    assert codes(found) == ["EMBED", "QUANTISE", "LINEAR", "LINEAR", "GATE", "QUANTISE", "LINEAR", "ADD"]


@pytest.mark.parametrize("which", range(3))
def test_not_where_the_caller_wants_what_lies_between(recorder: Recorder, which: int) -> None:
    parts = feed_forward(recorder)
    found = recorder.finish({Outside.LOGITS: parts[-1], Outside.FEATURES: parts[which]})
    assert codes(found) == ["EMBED", "QUANTISE", "LINEAR", "LINEAR", "GATE", "QUANTISE", "LINEAR"]


def test_not_with_a_bias(recorder: Recorder) -> None:
    found = recorder.finish({Outside.LOGITS: feed_forward(recorder, VECTOR)[-1]})
    assert "GATED_LINEAR" not in codes(found)


def test_a_product_takes_the_sum_behind_it_along(recorder: Recorder) -> None:
    x = recorder.embed(TOKENS, MATRIX, 1.0)
    y = recorder.add(x, recorder.linear(x, FLOATS, None))
    found = recorder.finish({Outside.LOGITS: recorder.add(x, recorder.norm(y, VECTOR, 1e-6))})
    assert codes(found) == ["EMBED", "LINEAR", "NORM", "ADD"]
    assert found.instructions[1].inputs == (0, 0)


def test_a_product_is_not_added_to_itself_before_it_is_there(recorder: Recorder) -> None:
    y = recorder.linear(recorder.embed(TOKENS, MATRIX, 1.0), FLOATS, None)
    assert codes(recorder.finish({Outside.LOGITS: recorder.add(y, y)})) == ["EMBED", "LINEAR", "ADD"]


def test_a_second_sum_is_an_instruction_of_its_own(recorder: Recorder) -> None:
    x = recorder.embed(TOKENS, MATRIX, 1.0)
    y = recorder.add(x, recorder.linear(x, FLOATS, None))
    assert codes(recorder.finish({Outside.LOGITS: recorder.add(x, y)})) == ["EMBED", "LINEAR", "ADD"]


def test_each_recording_begins_anew(recorder: Recorder) -> None:
    for _ in range(2):
        found = recorder.finish({Outside.LOGITS: recorder.embed(TOKENS, MATRIX, 2.0)})
        assert found.instructions == (replace(found.instructions[0], code=Code.EMBED, out=0, inputs=()),)
        assert found.values == (Value(SIZE, place=Place.OUTSIDE, slot=Outside.LOGITS),)


def test_the_default_type_of_torch_does_not_matter(recorder: Recorder) -> None:
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert recorder.embed(TOKENS, MATRIX, 1.0).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
