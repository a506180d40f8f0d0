from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from outrider.drafting.suffix_automaton import COUNT_DEPTH, NONE, ROOT, SuffixAutomaton

TEXT = st.lists(st.integers(0, 2), max_size=24)  # shorter than COUNT_DEPTH, so that counts are exact


def built(*texts: list[int]) -> SuffixAutomaton:
    automaton = SuffixAutomaton()
    for number, text in enumerate(texts):
        if number:
            automaton.separate()
        automaton.extend(text)
    return automaton


def walk(automaton: SuffixAutomaton, token_n: list[int]) -> int:
    state = ROOT
    for token in token_n:
        if (state := automaton.follow(state, token)) == NONE:
            return NONE
    return state


def substrings(text: list[int]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(text[start:end]) for start in range(len(text)) for end in range(start + 1, len(text) + 1))


def longest_earlier_suffix(text: list[int]) -> int:
    """The readable twin: try every length."""
    return max((size for size in range(len(text))
                if any(text[end - size : end] == text[len(text) - size :] for end in range(size, len(text)))),
               default=0)


@given(TEXT)
def test_it_holds_every_substring_with_its_count_and_newest_end(text: list[int]) -> None:
    automaton = built(text)
    for substring, count in substrings(text).items():
        state = walk(automaton, list(substring))
        size = len(substring)
        newest = max(end for end in range(size, len(text) + 1) if tuple(text[end - size : end]) == substring) - 1
        assert (automaton.count[state], automaton.newest[state]) == (count, newest)
        assert automaton.length[automaton.link[state]] < size <= automaton.length[state]


@given(TEXT, st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_it_holds_no_other_strings(text: list[int], other: list[int]) -> None:
    assert (walk(built(text), other) != NONE) == (tuple(other) in substrings(text))


@given(TEXT)
def test_the_longest_seen_suffix_and_its_end_are_those_of_a_search(text: list[int]) -> None:
    automaton = SuffixAutomaton()
    for size, token in enumerate(text, 1):
        automaton.append(token)
        now = text[:size]
        length = automaton.length[automaton.longest_seen_suffix()]
        assert length == longest_earlier_suffix(now)
        if length:
            ends = [end for end in range(length, size) if now[end - length : end] == now[-length:]]
            assert automaton.match_end == ends[-1] - 1


@given(TEXT, TEXT)
def test_successors_are_the_tokens_that_came_next(text: list[int], other: list[int]) -> None:
    automaton = built(text, other)
    both = substrings(text) + substrings(other)
    for substring in both:
        state = walk(automaton, list(substring))
        found = {token: automaton.count[target] for token, target in automaton.successors(state)}
        assert found == {longer[-1]: count for longer, count in both.items() if longer[:-1] == substring}


@given(TEXT, TEXT, TEXT)
def test_a_cursor_finds_the_longest_suffix_even_while_the_text_grows(past: list[int], more: list[int],
                                                                      text: list[int]) -> None:
    automaton = built(past)
    state, length = ROOT, 0
    for token in text:
        state, length = automaton.advance(state, length, token)
    assert length == max(size for size in range(len(text) + 1)
                         if not size or walk(automaton, text[-size:]) != NONE)
    automaton.separate()
    automaton.extend(more)
    state = automaton.settle(state, length)
    assert state == (walk(automaton, text[-length:]) if length else ROOT)


@given(TEXT, TEXT)
def test_a_copy_goes_its_own_way(text: list[int], more: list[int]) -> None:
    automaton = built(text)
    copied = automaton.copy()
    copied.extend(more)
    assert substrings(text) == {key: automaton.count[walk(automaton, list(key))] for key in substrings(text)}
    whole = built(text + more)
    assert copied.length == whole.length and copied.count == whole.count and copied.link == whole.link


def test_a_long_run_of_one_token_costs_no_more_than_the_count_depth() -> None:
    automaton = built([7] * 500)
    assert automaton.length[automaton.longest_seen_suffix()] == 499
    deep = walk(automaton, [7] * 480)
    assert automaton.count[deep] == 21
    assert automaton.count[walk(automaton, [7] * 10)] <= COUNT_DEPTH


def test_states_stay_below_twice_the_tokens() -> None:
    text = [(number * number) % 7 for number in range(1000)]
    assert len(built(text).length) <= 2 * len(text)
