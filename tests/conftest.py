"""What all tests share: how hypothesis searches, and how many threads torch may take."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import settings

# No deadline: the machines that run the tests are shared, and timings are never asserted.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("ci" if os.environ.get("CI") else "local")
    torch.set_num_threads(min(2, os.cpu_count() or 1))
