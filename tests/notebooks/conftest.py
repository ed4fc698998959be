"""Fixtures of the notebook tests, and the list of how long each lesson took."""

from collections.abc import Callable
from pathlib import Path

import pytest

TIME = "time of a lesson"
SMOKE_LIMIT = 60  # seconds on two cores, by the design; shown, not asserted


@pytest.fixture
def note_time(record_property: Callable[[str, object], None]) -> Callable[[str, float], None]:
    """Record how long a lesson ran, for the list at the end."""
    return lambda what, seconds: record_property(TIME, (what, seconds))


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> Path:
    """Root of the checkout."""
    return request.config.rootpath


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # Properties travel with the reports, also from the processes that share the tests.
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.getreports(kind)]
    times = [
        value
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == TIME
    ]
    if not times:
        return
    terminalreporter.section("time of each lesson, smoke profile")
    for what, seconds in sorted(times):
        over = f"  over {SMOKE_LIMIT} s" if seconds > SMOKE_LIMIT else ""
        terminalreporter.write_line(f"{seconds:6.1f} s  {what}{over}")
