"""What is printed, written and drawn of rows that are made up."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from fake_openai import plain_answer, refusal, serving
from outrider.bench.serve.answer import Answer, Drafts
from outrider.bench.serve.ask import OPTIONAL, Terms, Wish
from outrider.bench.serve.contender import Contender
from outrider.bench.serve.figures import figures
from outrider.bench.serve.load import Level
from outrider.bench.serve.plot import drawing, top_of
from outrider.bench.serve.report import document, latency_table, notes, rate_table
from outrider.bench.serve.trial import Plan, Round, Row, Server, compared, hold
from outrider.bench.serve.wire import site_of
from outrider.bench.workload import Prompt

LEVEL = Level(at_once=1)


def contender(name: str, url: str = "http://h:1", *refused: str) -> Contender:
    terms = Terms(model="toy", taken=frozenset(OPTIONAL) - set(refused), speculation=None)
    return Contender(name=name, site=site_of(url), terms=terms)


def round_of(seconds: float, tokens: int | None = 5, prompt_tokens: int = 10, error: str = "",
             drafts: Drafts | None = None) -> Round:
    """One answer whose text comes in two chunks, after a third and after two thirds of the time."""
    answer = Answer(begin_s=0.0, last_s=seconds, texts_s=(seconds / 3, seconds / 1.5), tokens=tokens, error=error,
                    prompt_tokens=prompt_tokens, drafts=drafts, detail="out of order" if error else "")
    return Round(answers=(answer,), figures=figures([answer], 0.0, seconds, 1), client=0.05)


def rows_of(*pairs: tuple[Round, Round]) -> list[Row]:
    return compared(["a", "b"], LEVEL, [[first for first, _ in pairs], [second for _, second in pairs]])


def printed(table: Table) -> str:
    console = Console(file=io.StringIO(), width=300)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_tables_say_who_how_fast_and_how_much_faster() -> None:
    rows = rows_of((round_of(2.0, drafts=Drafts(4, 1)), round_of(1.0)), (round_of(4.0), round_of(2.0)))
    lines = printed(rate_table(rows)).splitlines()
    assert lines[1].split()[:8] == ["1", "at", "once", "a", "2", "10", "1.9", "2.2"]
    assert "25%" in lines[1] and "5.0%" in lines[1]
    assert lines[2].split()[6:10] == ["3.8", "4.5", "2.00", "2.00-2.00"]
    latency = printed(latency_table(rows)).splitlines()
    assert latency[1].split()[4:7] == ["1000", "1300", "1327"]  # a third of 2 s, and of 4 s


def test_one_server_is_compared_with_nobody() -> None:
    rows = compared(["a"], LEVEL, [[round_of(1.0)]])
    assert "ratio" not in printed(rate_table(rows))
    assert "-" in printed(latency_table(compared(["a"], LEVEL, [[round_of(1.0, error="HTTP 500")]])))


def test_what_a_reader_must_know() -> None:
    rows = rows_of((round_of(1.0, prompt_tokens=11), round_of(1.0, tokens=None)))
    assert notes([contender("a", "http://h:1", "seed", "cache_salt"), contender("b")], rows) == [
        "a: does not take cache_salt, seed",
        "b: the server does not count tokens, so chunks are counted: no measure of tokens",
        "1 at once: the same prompts are 10 and 11 tokens on different servers",
    ]
    failed = rows_of((round_of(1.0, error="HTTP 500"), round_of(1.0)))
    assert notes([], failed) == ["a, 1 at once: 1 x HTTP 500: out of order"]


def test_the_document_holds_what_the_tables_round() -> None:
    rows = rows_of((round_of(2.0), round_of(1.0, drafts=Drafts(4, 1))), (round_of(2.0), round_of(1.0)))
    found = json.loads(document([contender("a"), contender("b")], rows, "code"))
    assert [one["name"] for one in found["servers"]] == ["a", "b"] and found["prompts"] == "code"
    first, second = found["rows"]
    assert (first["tok_s"], second["tok_s"], first["ratio"]) == (2.5, 5.0, None)
    assert second["ratio"] == {"pairs": [2.0, 2.0], "mean": 2.0, "interval": {"low": 2.0, "high": 2.0}}
    assert second["drafts"] == {"drafted": 4, "accepted": 1} and second["at_once"] == 1
    assert [one["tokens"] for one in second["rounds"]] == [5, 5]


def test_all_that_a_run_gives_fits_into_a_document() -> None:
    plan = Plan(levels=(Level(rate=200.0), LEVEL), wish=Wish(max_tokens=2), requests=2, repeat=2)
    bad = contender("bad")
    with serving(plain_answer) as fake, serving(lambda _: refusal("no")) as other:
        good = contender("good", fake.url)
        bad = contender("bad", other.url)
        rows = hold([Server(good), Server(bad)], [Prompt(text="x")], plan)
    found = json.loads(document([good, bad], rows, "p"))
    assert [row["errors"] for row in found["rows"]][1] == [{"name": "HTTP 400", "count": 4, "example": "no"}]
    assert found["rows"][1]["ratio"] is None and found["rows"][0]["rate"] == 200.0
    ElementTree.fromstring(drawing(rows))


def test_the_drawing_has_a_line_for_each_server_in_each_panel() -> None:
    rows = [*rows_of((round_of(2.0), round_of(1.0))), *compared(["a", "b"], Level(at_once=8),
                                                                [[round_of(3.0)], [round_of(1.0, error="x")]])]
    root = ElementTree.fromstring(drawing(rows).replace("<svg xmlns=", "<svg data-xmlns="))
    lines = [line.get("points", "").split() for line in root.iter("polyline")]
    assert [len(points) for points in lines] == [2, 2, 2, 1, 2, 1, 2, 1]
    texts = [text.text for text in root.iter("text")]
    assert texts[-2:] == ["a", "b"] and "requests at once" in texts


def test_names_cannot_break_the_drawing() -> None:
    rows = compared(["<a&b>"], LEVEL, [[round_of(1.0)]])
    assert ElementTree.fromstring(drawing(rows)) is not None


@given(st.floats(1e-6, 1e9))
def test_a_scale_ends_at_a_round_number_not_far_above(most: float) -> None:
    assert most <= top_of(most) <= most * 2.5 * (1 + 1e-9)
