"""What all tests share: how hypothesis searches, how many threads torch may take, and on which device it works."""

from __future__ import annotations

import gc
import os

import pytest
import torch
from hypothesis import settings

# No deadline: the machines that run the tests are shared, and timings are never asserted.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_collection_finish() -> None:
    """What was imported and collected stays: the garbage collector need not go through it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _threads(request: pytest.FixtureRequest) -> None:
    """One thread for toys: on a busy machine a second one costs a wait at every operation."""
    is_real = request.node.get_closest_marker("real_model") is not None
    torch.set_num_threads(min(2, os.cpu_count() or 1) if is_real else 1)


@pytest.fixture(autouse=True)
def _prices(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Prices of toys are measured once a session, and stay out of the user's cache."""
    home = tmp_path_factory.getbasetemp() / "prices"
    monkeypatch.setattr("outrider.policy.price_file.cache_home", lambda: home)


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Where tests that do not care for a device run: `OUTRIDER_DEVICE`, or the CPU. `scripts/gpu-check` sets it."""
    return torch.device(os.environ.get("OUTRIDER_DEVICE", "cpu"))
