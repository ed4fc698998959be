"""Fixtures of the notebook tests, and the list of how long each lesson took."""

from collections.abc import Callable
from pathlib import Path

import pytest

TIMES = pytest.StashKey[list[tuple[str, float]]]()
SMOKE_LIMIT = 60  # seconds on two cores, by the design; shown, not asserted


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TIMES] = []


@pytest.fixture
def note_time(request: pytest.FixtureRequest) -> Callable[[str, float], None]:
    """Record how long a lesson ran, for the list at the end."""
    return lambda what, seconds: request.config.stash[TIMES].append((what, seconds))


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> Path:
    """Root of the checkout."""
    return request.config.rootpath


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not config.stash[TIMES]:
        return
    terminalreporter.section("time of each lesson, smoke profile")
    for what, seconds in config.stash[TIMES]:
        over = f"  over {SMOKE_LIMIT} s" if seconds > SMOKE_LIMIT else ""
        terminalreporter.write_line(f"{seconds:6.1f} s  {what}{over}")
