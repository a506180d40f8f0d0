"""lm-eval on two small tasks that need no network. Usage: lm_eval_scores.py URL MODEL FOLDER; prints the scores.

`local-completions` scores the log-probabilities of given answers (`echo` with `logprobs`, token ids as prompts), and
generates; `local-chat-completions` generates. The first sends token ids, from our `/tokenize`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

QUESTIONS = [
    ("The capital of France is", ["Paris", "Rome", "Berlin"], 0), ("Two and two are", ["five", "four", "nine"], 1),
    ("Fire is", ["cold", "wet", "hot"], 2), ("Snow is", ["white", "green", "black"], 0),
    ("Cats like to drink", ["milk", "petrol", "sand"], 0), ("The sun rises in the", ["north", "east", "cellar"], 1),
    ("Bees make", ["honey", "bread", "glass"], 0), ("A week has", ["seven days", "nine days", "two days"], 0),
    ("Ice is frozen", ["water", "wood", "air"], 0), ("Birds can", ["fly", "read", "melt"], 0),
]
CHOICE = """task: toy_choice
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
WORDS = """task: toy_words
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {max_gen_toks: 24, temperature: 0.0, do_sample: false, until: ["\\n\\n"]}
metric_list: [{metric: bleu, aggregation: bleu, higher_is_better: true}]
"""
DATA = """dataset_path: json
dataset_name: null
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
"""


def write_tasks(folder: Path) -> None:
    """The questions and the two descriptions of tasks."""
    rows = [{"question": question, "choices": choices, "answer": answer} for question, choices, answer in QUESTIONS]
    data = folder / "toy.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows))
    for name, text in (("toy_choice", CHOICE), ("toy_words", WORDS)):
        (folder / f"{name}.yaml").write_text(text + DATA.replace("FILE", str(data)))


def scores(url: str, model: str, folder: Path) -> dict[str, object]:
    """By kind of model and task; samples of generation are told too, as scores of a toy say little."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    found: dict[str, object] = {}
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    for kind, path, tasks in (("local-completions", "completions", ["toy_choice", "toy_words"]),
                              ("local-chat-completions", "chat/completions", ["toy_words"])):
        arguments = {"base_url": f"{url}/{path}", "model": model, "num_concurrent": 4, "max_retries": 1,
                     "tokenizer_backend": "remote" if path == "completions" else None,
                     "tokenized_requests": path == "completions"}
        result = lm_eval.simple_evaluate(model=kind, model_args=arguments, tasks=tasks, task_manager=manager,
                                         apply_chat_template=kind != "local-completions")
        for task, metrics in result["results"].items():
            found[f"{kind}/{task}"] = {key: value for key, value in metrics.items() if key.endswith(",none")}
        for task, samples in result["samples"].items():
            found[f"{kind}/{task}/answers"] = [sample["filtered_resps"] for sample in samples]
    return found


if __name__ == "__main__":
    place = Path(sys.argv[3])
    write_tasks(place)
    print(json.dumps(scores(sys.argv[1], sys.argv[2], place), sort_keys=True, default=str))
