"""generate, chat, compare and bench run on a tiny model, as a user calls them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from outrider import LLM, Sampling
from outrider.cli import chat as chat_verb
from outrider.cli import compare as compare_verb
from outrider.cli.main import main
from outrider.engine.engine import Engine
from tiny_models import write_tiny_model

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.gguf"))


@pytest.fixture(scope="module")
def llm(model: str) -> LLM:
    return LLM(model, drafter="none")


def test_generate_streams_what_the_library_gives(model: str, llm: LLM, capsys: Capture) -> None:
    assert main(["generate", model, "hello w", "--max-tokens", "40", "--ignore-eos"]) == 0
    shown = capsys.readouterr()
    assert shown.out == llm.generate("hello w", max_tokens=40, ignore_eos=True).text + "\n"
    assert shown.err.startswith("40 tokens · ") and "tokens per round" in shown.err


def test_every_sampling_flag_arrives(model: str, llm: LLM, capsys: Capture) -> None:
    flags = ["--temperature=0.9", "--top-k=40", "--top-p=0.9", "--min-p=0.01", "--repetition-penalty=1.1",
             "--presence-penalty=-0.5", "--frequency-penalty=0.2", "--logit-bias=7=2.5", "--logit-bias=9=-1",
             "--seed=11", "--max-tokens=12", "--stop=zz", "--stop=yy", "--stop-ids=3", "--n=2", "--logprobs=1",
             "--ignore-eos"]
    assert main(["generate", model, "hello", *flags, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    result = llm.generate("hello", temperature=0.9, top_k=40, top_p=0.9, min_p=0.01, repetition_penalty=1.1,
                          presence_penalty=-0.5, frequency_penalty=0.2, logit_bias={7: 2.5, 9: -1.0}, seed=11,
                          max_tokens=12, stop=("zz", "yy"), stop_ids=(3,), n=2, logprobs=1, ignore_eos=True)
    assert [sample["ids"] for sample in found["samples"]] == [list(sample.ids) for sample in result.samples]
    assert found["seed"] == 11 and len(found["samples"][0]["logprobs"][0]["top"]) == 1


def test_the_rule_arrives_and_leaves_greedy_answers_as_they_are(model: str, llm: LLM, capsys: Capture) -> None:
    for rule in ("ratio", "block"):
        flags = ["--drafter", f"model:target={model}", "--rule", rule, "--max-tokens", "12", "--json"]
        documents = []
        for temperature in ("0", "0.9"):
            assert main(["generate", model, "hello w", *flags, "--temperature", temperature, "--seed", "1"]) == 0
            documents.append(json.loads(capsys.readouterr().out)["samples"][0]["ids"])
        assert documents[0] == list(llm.generate("hello w", max_tokens=12).ids)
        assert documents[1] != list(llm.generate("hello w", max_tokens=12, temperature=0.9, seed=1).ids)


def test_prompts_come_from_a_word_a_pipe_or_a_file(model: str, tmp_path: Path, capsys: Capture,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prompt.txt").write_text("hello w")
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello w"))
    texts = []
    for words in (["hello w"], ["-"], ["--prompt-file", str(tmp_path / "prompt.txt")]):
        assert main(["generate", model, *words, "--max-tokens", "8"]) == 0
        texts.append(capsys.readouterr().out)
    assert len(set(texts)) == 1 and len(texts[0]) > 1


def test_several_samples_are_printed_one_after_the_other(model: str, capsys: Capture) -> None:
    assert main(["generate", model, "hello", "--n", "2", "--temperature", "1", "--seed", "1", "--max-tokens", "5"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("---")] == [
        "--- sample 1", "--- sample 2"]


def test_a_prediction_reaches_the_drafter(model: str, llm: LLM, tmp_path: Path, capsys: Capture) -> None:
    answer = llm.generate("hello w", max_tokens=30, ignore_eos=True).text
    (tmp_path / "answer.txt").write_text(answer)
    flags = ["--max-tokens", "30", "--ignore-eos", "--prediction", str(tmp_path / "answer.txt")]
    assert main(["generate", model, "hello w", *flags]) == 0
    assert capsys.readouterr().out == answer + "\n"


def test_interrupting_prints_what_came_and_the_statistics(model: str, llm: LLM, capsys: Capture,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    whole = llm.generate("hello w", max_tokens=40, ignore_eos=True).text
    step, calls = Engine.step, []

    def interrupted(engine: Engine) -> list[object]:
        calls.append(engine)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return list(step(engine))

    monkeypatch.setattr(Engine, "step", interrupted)
    assert main(["generate", model, "hello w", "--max-tokens", "40", "--ignore-eos", "--drafter", "none"]) == 130
    shown = capsys.readouterr()
    assert shown.out.strip() and whole.startswith(shown.out.rstrip("\n�"))
    assert shown.err.startswith("4 tokens · ") and shown.err.endswith("outrider: interrupted\n")


def test_chat_answers_one_message(model: str, llm: LLM, capsys: Capture) -> None:
    assert main(["chat", model, "--message", "hello", "--system", "12", "--max-tokens", "9"]) == 0
    messages = [{"role": "system", "content": "12"}, {"role": "user", "content": "hello"}]
    assert capsys.readouterr().out == llm.chat(messages, max_tokens=9).text + "\n"


def test_chat_reads_lines_and_remembers(model: str, llm: LLM, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n\nhello w\n"))
    assert main(["chat", model, "--max-tokens", "9"]) == 0
    messages = [{"role": "user", "content": "hello"}]
    first = llm.chat(messages, max_tokens=9).text
    second = llm.chat([*messages, {"role": "assistant", "content": first}, {"role": "user", "content": "hello w"}],
                      max_tokens=9).text
    assert capsys.readouterr().out == f"{first}\n{second}\n"


def test_the_commands_of_a_chat(model: str, llm: LLM, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    words = iter(["hello", "/clear", "/clera", "x" * 600, "hello", "/exit", "never asked"])
    monkeypatch.setattr(chat_verb, "_ask", lambda: next(words))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    assert main(["chat", model, "--max-tokens", "9"]) == 0
    shown = capsys.readouterr()
    assert shown.out.count(llm.chat([{"role": "user", "content": "hello"}], max_tokens=9).text) == 2
    assert "did you mean '/clear'?" in shown.out
    assert "the prompt has" in shown.err
    assert next(words) == "never asked"


def test_compare_ends_with_the_verdict(model: str, llm: LLM, capsys: Capture) -> None:
    assert main(["compare", model, "hello w", "--max-tokens", "30", "--temperature", "0.7", "--seed", "4"]) == 0
    shown = capsys.readouterr().out
    text = llm.chat([{"role": "user", "content": "hello w"}], max_tokens=30, temperature=0.7, seed=4).text
    assert shown.count(text) == 2
    assert shown.splitlines()[-1] == "identical: yes"
    assert "\x1b" not in shown and "--- plain · " in shown and "--- auto · " in shown and "tokens/round" in shown


def test_compare_has_a_prompt_of_its_own(model: str, capsys: Capture) -> None:
    assert main(["compare", model, "--max-tokens", "4"]) == 0
    assert capsys.readouterr().out.endswith("identical: yes\n")


def test_compare_tells_where_the_tokens_differ(llm: LLM, capsys: Capture) -> None:
    request = llm.prompts.request("hello", Sampling(seed=0))
    lanes = [SimpleNamespace(sequence=SimpleNamespace(output=output)) for output in ([5, 6, 7], [5, 6, 9])]
    assert compare_verb._verdict(llm.model, request, lanes) == 1  # type: ignore[arg-type]
    assert capsys.readouterr().out.startswith("identical: no: first difference at token 2, gap ")


def test_bench_run_ends_with_one_document(model: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "mine.jsonl").write_text(
        '{"prompt": "hello w"}\n{"messages": [{"role": "user", "content": "hello"}]}\n')
    flags = ["--prompts", str(tmp_path / "mine.jsonl"), "--max-tokens", "10", "--json"]
    assert main(["bench", "run", model, "--drafter", "suffix,recycling", *flags]) == 0
    shown = capsys.readouterr().out
    found = json.loads(shown.splitlines()[-1])
    assert [run["drafter"] for run in found["runs"]] == ["none", "suffix", "recycling"]
    assert all(run["identical"] and run["workload"] == "mine" for run in found["runs"])
    assert "tokens/round" in shown.splitlines()[0]


@pytest.mark.parametrize(("words", "complaint"), [
    (["generate", "MODEL"], "the prompt is empty"),
    (["generate", "MODEL", "hi", "--prompt-file", "x"], "give one of them"),
    (["generate", "MODEL", "hi", "--temprature", "1"], "did you mean '--temperature'?"),
    (["generate", "--temprature", "1"], "did you mean '--temperature'?"),
    (["generate", "MODEL", "hi", "--top-p", "3"], "top_p: got 3.0"),
    (["generate", "MODEL", "hi", "--logit-bias", "a=b"], "expected ID=BIAS"),
    (["generate", "MODEL", "hi", "--logprobs", "1"], "add --json"),
    (["generate", "MODEL", "hi", "--max-draft", "-1"], "--max-draft: got -1"),
    (["generate", "MODEL", "hi", "--rule", "ratio"], "drafter 'suffix+ngram_hash' has no distribution to draw from"),
    (["chat", "MODEL", "--message", "hi", "--rule", "typical"], "typical"),
    (["compare", "MODEL", "hi", "--rule", "ratio"], "--rule"),
    (["generate", "MODEL", "hi", "--prediction", "/nothing"], "no file at '/nothing'"),
    (["generate", "MODEL", "hi" * 600], "the prompt has"),
    (["generate", "MODEL", "hi", "--dtype", "float23"], "did you mean 'float32'?"),
    (["generate", "/nothing", "hi"], "/nothing"),
    (["chat", "MODEL", "--message", ""], "--message is empty"),
    (["compare", "MODEL", "hi", "--drafter", "sufix"], "did you mean 'suffix'?"),
    (["bench"], "no action given"),
    (["bench", "rnu"], "did you mean 'run'?"),
    (["bench", "run", "MODEL", "--prompts", "edti"], "did you mean 'edit'?"),
    (["bench", "run", "MODEL", "--drafter", "none,"], "expected names separated by commas"),
    (["bench", "run", "MODEL", "--batch", "0"], "--batch: got 0"),
    (["bench", "run", "MODEL", "--drafter", "auto@fixd:8"], "draft policy: got 'fixd:8'"),
    (["bench", "run", "MODEL", "--draft-policy", "fixed"], "draft policy: got 'fixed'"),
    (["chat", "MODEL", "--message", "hi", "--draft-policy", "adaptiv"], "expected adaptive or fixed:K"),
    (["compare", "MODEL", "hi", "--draft-policy", "fixed:-1"], "expected adaptive or fixed:K"),
])
def test_mistakes_are_one_line_and_exit_code_2(model: str, capsys: Capture, words: list[str], complaint: str) -> None:
    assert main([model if word == "MODEL" else word for word in words]) == 2
    shown = capsys.readouterr().err
    assert complaint in shown and shown.count("\n") == 1
