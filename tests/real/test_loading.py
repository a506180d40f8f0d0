"""How much memory a real model takes while it is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

import real_models

pytestmark = pytest.mark.real_model

# Anonymous memory as the kernel counts it, huge pages and shared mappings of no file included; sampled all the time.
PROGRAM = """
import re, sys, threading
from pathlib import Path
from outrider.target.load import load_model

def anonymous():
    text = Path("/proc/self/smaps_rollup").read_text() + Path("/proc/self/status").read_text()
    return sum(map(int, re.findall(r"^(?:Anonymous|RssShmem):\\s*(\\d+) kB", text, re.MULTILINE))) << 10

def watch():
    while not done.wait(0.005):
        seen.append(anonymous())

before, seen, done = anonymous(), [], threading.Event()
watcher = threading.Thread(target=watch)
watcher.start()
model = load_model(sys.argv[1], device="cpu", ops="native")
done.set()
watcher.join()
print(max(*seen, anonymous()) - before, model.target.weight_bytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is asked of Linux")
@pytest.mark.parametrize("name", ["qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct"])
def test_loading_takes_little_more_memory_than_the_file(name: str) -> None:
    path = real_models.path(name)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=True)
    growth, weights = map(int, done.stdout.split())
    assert weights < growth <= 1.3 * path.stat().st_size
