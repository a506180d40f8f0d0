from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from outrider.drafting.output_memory import MAX_SCOPES, OutputMemory, OutputShelves
from outrider.drafting.suffix_automaton import NONE, ROOT, SuffixAutomaton


def memory_of(max_tokens: int, fingerprint: str = "") -> OutputMemory:
    return OutputMemory(OutputShelves(max_tokens), fingerprint)


def automata(memory: OutputMemory, scope: str = "") -> list[SuffixAutomaton]:
    assert isinstance(memory.store, OutputShelves)
    return memory.store.automata(scope)


def knows(memory: OutputMemory, token_n: list[int], scope: str = "") -> bool:
    for automaton in automata(memory, scope):
        state = ROOT
        for token in token_n:
            state = automaton.follow(state, token)
            if state == NONE:
                break
        else:
            return True
    return False


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(0, 60))
def test_it_stays_within_its_bound(sizes: list[int], max_tokens: int) -> None:
    memory = memory_of(max_tokens)
    for number, size in enumerate(sizes):
        memory.learn([number] * size)
        assert memory.num_tokens <= max_tokens


def test_the_oldest_outputs_go_first_and_the_newest_half_stays() -> None:
    memory = memory_of(100)
    outputs = [[number, number + 1, number + 2] for number in range(0, 300, 3)]
    for output in outputs:
        memory.learn(output)
    kept = [knows(memory, output) for output in outputs]
    assert kept == sorted(kept), "first in, first out"
    assert 100 // 2 // 4 <= sum(kept) <= 100 // 4


def test_outputs_are_not_joined() -> None:
    memory = memory_of(100)
    memory.learn([1, 2])
    memory.learn([3, 4])
    assert knows(memory, [1, 2]) and knows(memory, [3, 4]) and not knows(memory, [2, 3])


def test_an_output_longer_than_the_memory_leaves_its_end() -> None:
    memory = memory_of(20)
    memory.learn(list(range(100)))
    assert knows(memory, [98, 99]) and not knows(memory, [0, 1])


def test_scopes_are_apart_and_bounded_in_number() -> None:
    memory = memory_of(100)
    for number in range(MAX_SCOPES + 2):
        memory.learn([1, 2], f"scope {number}")
    assert not knows(memory, [1, 2])
    assert not knows(memory, [1, 2], "scope 0"), "the one unused for longest is gone"
    assert knows(memory, [1, 2], f"scope {MAX_SCOPES + 1}")


def test_frozen_it_learns_nothing() -> None:
    memory = memory_of(100)
    memory.frozen = True
    memory.learn([1, 2])
    assert not automata(memory)


def test_a_file_keeps_the_outputs_of_nobody_in_particular(tmp_path: Path) -> None:
    memory = memory_of(100, "words")
    for number in range(0, 90, 3):
        memory.learn([number, number + 1, number + 2])
    memory.learn([500, 501], "somebody")
    memory.save(tmp_path / "memory")
    other = memory_of(100, "words")
    other.load(tmp_path / "memory")
    for number in range(0, 90, 3):
        assert knows(other, [number, number + 1, number + 2]) == knows(memory, [number, number + 1, number + 2])
    assert not knows(other, [500, 501]) and not knows(other, [500, 501], "somebody")


def test_an_empty_memory_can_be_kept(tmp_path: Path) -> None:
    memory_of(100).save(tmp_path / "memory")
    memory = memory_of(100)
    memory.load(tmp_path / "memory")
    assert memory.num_tokens == 0
