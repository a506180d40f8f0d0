"""`outrider bench serve` from its flags to its last line, against a server in this process."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from fake_openai import plain_answer, serving
from outrider.cli.bench.serve import split_name
from outrider.cli.main import main
from tiny_models import write_tiny_model


def test_from_flags_to_the_last_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "load.svg"
    with serving(plain_answer) as fake, serving(plain_answer) as other:
        code = main(["bench", "serve", f"one={fake.url}", "--beside", f"two={other.url}/v1", "--concurrency", "1,2",
                     "--requests", "2", "--repeat", "2", "--max-tokens", "6", "--prompts", "chat,code",
                     "--speculation", "off,on", "--plot", str(plot), "--json"])
    lines = capsys.readouterr().out.strip().splitlines()
    found = json.loads(lines[-1])
    assert code == 0 and plot.read_text().startswith("<svg")
    assert [(row["server"], row["at_once"]) for row in found["rows"]] == [
        (name, count) for count in (1, 2) for name in ("one off", "one on", "two")]
    assert all(one["tokens"] == 12 for row in found["rows"] for one in row["rounds"])
    assert [one["speculation"] for one in found["servers"]] == [False, True, None]
    assert {body["speculation"]["enabled"] for body in fake.bodies("/v1/chat/completions")} == {False, True}
    assert not [body for body in other.bodies("/v1/chat/completions") if "speculation" in body]


def test_an_open_loop(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(plain_answer) as fake:
        assert main(["bench", "serve", fake.url, "--rate", "100,200.5", "--requests", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert [row["rate"] for row in found["rows"]] == [100.0, 200.5]


def test_the_engine_alone_beside_a_server_of_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(write_tiny_model(tmp_path / "tiny.gguf"))
    code = main(["bench", "serve", model, "--offline", "--concurrency", "2", "--requests", "3", "--repeat", "2",
                 "--max-tokens", "8", "--prompts", "chat", "--speculation", "off,on", "--json",
                 "--serve-options=--context 400 --max-sequences 2", "--serve-log", str(tmp_path / "log")])
    said = capsys.readouterr()
    assert code == 0, said.err
    found = json.loads(said.out.strip().splitlines()[-1])
    assert [row["server"] for row in found["rows"]] == ["offline off", "offline on", "tiny off", "tiny on"]
    assert all((one["tokens"], one["completed"]) == (24, 3) for row in found["rows"] for one in row["rounds"])
    lengths = {one["prompt_tokens"] for row in found["rows"] for one in row["rounds"]}
    assert len(lengths) == 1  # the same prompts, template and tokenizer


@pytest.mark.parametrize(("flags", "complaint"), [
    (["--offline"], "--offline: got the address"),
    (["--concurrency", "0"], "--concurrency: got '0', expected numbers above 0"),
    (["--concurrency", "1.5"], "expected whole numbers such as 1,8"),
    (["--concurrency", "a"], "--concurrency: got 'a'"),
    (["--rate", "nan"], "--rate: got 'nan'"),
    (["--requests", "7", "--concurrency", "8,4"], "--requests: got 7, expected at least as many as are in flight, 8"),
    (["--speculation", "of"], "--speculation: got 'of' (did you mean 'off'?)"),
    (["--plot", "x.png"], "expected a file that ends in .svg"),
    (["--plot", "/no/such/folder/x.svg"], "there is no folder"),
    (["--max-tokens", "0"], "--max-tokens: got 0, expected 1 or more"),
    (["--timeout", "0"], "--timeout: got 0"),
    (["--prompts", "cod"], "did you mean 'code'?"),
])
def test_mistakes_are_told_in_one_line(flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(plain_answer) as fake:
        assert main(["bench", "serve", fake.url, *flags]) == 2
    said = capsys.readouterr().err.strip()
    assert complaint in said and "\n" not in said


def test_nobody_there_and_two_of_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert main(["bench", "serve", f"http://127.0.0.1:{probe.getsockname()[1]}"]) == 2
    assert "cannot connect" in capsys.readouterr().err
    with serving(plain_answer) as fake:
        assert main(["bench", "serve", f"a={fake.url}", "--beside", f"a={fake.url}"]) == 2
    assert "two servers have the same name" in capsys.readouterr().err


@pytest.mark.parametrize(("word", "pair"), [
    ("http://h:1/?x=1", ("", "http://h:1/?x=1")), ("a=http://h", ("a", "http://h")),
    ("qwen2.5-coder-0.5b-instruct", ("qwen2.5-coder-0.5b-instruct",) * 2),
    ("models/toy.gguf", ("toy", "models/toy.gguf")), ("b=models/toy.gguf", ("b", "models/toy.gguf")),
])
def test_names_of_servers(word: str, pair: tuple[str, str]) -> None:
    assert split_name(word) == pair
