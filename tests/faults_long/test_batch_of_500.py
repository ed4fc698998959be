"""Five hundred short runs, of which one in seven has a fault of its own, while somebody kills
workers, kernels and the batch itself: none is lost, none falsely green, and the rest is done once.

What was really done is told by files that the notebooks write themselves.
"""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import nbformat
import psutil
import pytest
from batch_place import GARBLE, Place, end
from tiny_notebooks import METRIC

RUNS = 500
KILL_EVERY, BATCH_EVERY = 5, 60  # runs that begin between two kills of anything, and of the batch
LONGEST = 7200.0  # seconds: something hangs

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals")

BEGIN = """import ctypes, os, pathlib, signal, sys
folder, me = pathlib.Path({folder!r}), f"{name}-{{seed}}"
(folder / f"begun/{{me}}-{{os.getpid()}}").touch()
if not (folder / "gate").exists():
    {fault}
"""
DONE = '(folder / f"done/{me}-{os.getpid()}").touch()'
# Lesson -> how many runs, what it does until the gate is open, and how a run then ends.
LESSONS = {
    "10_good": (RUNS - 74, "pass", "ok"),
    "20_kernel_dies": (12, "os.kill(os.getpid(), signal.SIGKILL)", "killed"),
    "30_worker_dies": (12, "os.kill(os.getppid(), signal.SIGKILL)", "killed"),
    "40_hangs": (12, "ctypes.PyDLL(None).pause()", "timeout"),
    "50_eats": (
        12,
        "hoard = [bytearray(os.urandom(1) * 50_000_000) for _ in range(80)]",
        "out-of-memory",
    ),
    "60_prints": (2, "for _ in range(200): sys.stdout.write('x' * 999_999 + chr(10))", "ok"),
    "70_raises": (12, "raise ValueError('not yet')", "error"),
    "80_garbles": (12, indent(GARBLE, " " * 4).lstrip(), "killed"),
}
PLAN = "executor: {kind: processes, workers: 2}\nlimits: {memory_gb: 1}\nruns:\n" + "".join(
    f"  - {{lesson: {name}, seeds: 0-{runs - 1}"
    + (", limits: {seconds: 20}}\n" if name == "40_hangs" else "}\n")
    for name, (runs, _, _) in LESSONS.items()
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    for name in ("begun", "done"):
        (tmp_path / name).mkdir()
    for name, (_, fault, _) in LESSONS.items():
        begin = BEGIN.format(folder=str(tmp_path), name=name, fault=fault)
        place.lesson(name, begin, METRIC, DONE)
    place.plan(PLAN)
    yield place
    place.end_all()


def marks(place: Place, kind: str) -> Counter[tuple[str, int]]:
    """How often each run got as far as that, by the files that it left."""
    names = (path.name.split("-") for path in (place.folder / kind).iterdir())
    return Counter((name, int(seed)) for name, seed, _ in names)


def kill_one(place: Place, batch: subprocess.Popen[str], chosen: random.Random) -> bool:
    """Kill a worker or a kernel of `batch`, if there is one."""
    others = [process for process in place.running() if process.pid != batch.pid]
    if others:
        try:
            chosen.choice(sorted(others, key=lambda process: process.pid)).kill()
        except psutil.NoSuchProcess:
            return False
    return bool(others)


def run_among_killers(place: Place) -> tuple[str, int, int]:
    """Run the plan to its end; return what its last call printed, and how often a run's process
    and the batch itself were killed.
    """
    chosen, kills, deaths = random.Random(0), 0, 0

    def begins() -> int:
        return sum(marks(place, "begun").values())

    log, started = place.folder / "log", time.monotonic()
    while True:
        with log.open("w") as printed:
            batch = place.batch("plan.yml", output=printed)
        next_kill, until = begins() + 2, begins() + BATCH_EVERY
        while batch.poll() is None:
            assert time.monotonic() < started + LONGEST, log.read_text()
            number = begins()
            if number >= until:
                batch.send_signal(chosen.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT]))
                until = number + BATCH_EVERY
            elif number >= next_kill:
                time.sleep(2 * chosen.random())  # at any moment of a run
                kills += kill_one(place, batch, chosen)
                next_kill = number + KILL_EVERY
            time.sleep(0.1)
        if batch.returncode in (0, 1):
            return log.read_text(), kills, deaths
        deaths += 1
        assert batch.returncode in (-signal.SIGKILL, 130), log.read_text()
        assert "Traceback" not in log.read_text()


def test_five_hundred_runs_and_many_faults(place: Place) -> None:
    text, kills, deaths = run_among_killers(place)
    assert kills > RUNS / 50, "the test itself: nobody was killed"
    assert deaths > 2, "the test itself: the batch was not killed"
    assert place.running() == []

    rows = {(row.lesson, row.seed): row for row in place.latest()}
    planned = {(name, seed) for name, (runs, _, _) in LESSONS.items() for seed in range(runs)}
    assert set(rows) == planned
    assert len(planned) == RUNS
    begun, done = marks(place, "begun"), marks(place, "done")
    for key, row in rows.items():
        wanted = LESSONS[key[0]][2]
        assert row.outcome in (wanted, "killed"), (key, row.outcome, row.message, text)
        if row.outcome == "ok":
            assert done[key], f"{key} is green and was never done"
            assert [metric["value"] for metric in row.metrics] == [0.25 * row.seed]
            notebook = nbformat.read(place.folder / "out" / row.notebook, as_version=4)
            code = [cell for cell in notebook.cells if cell.cell_type == "code"]
            assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    by_others = sum(
        row.outcome == "killed" and LESSONS[lesson][2] != "killed"
        for (lesson, _), row in rows.items()
    )
    garbled = [row for (lesson, _), row in rows.items() if lesson == "80_garbles"]
    told = sum(
        "something else wrote where only the worker reports" in run.message for run in garbled
    )
    assert told >= len(garbled) - kills, [run.message for run in garbled]
    assert by_others <= kills, "more runs are called killed than were"
    # A run whose end was not recorded yet when the batch was killed is done again: two at most.
    assert sum(times - 1 for times in done.values() if times > 1) <= 2 * deaths

    (place.folder / "gate").touch()
    rest = {key for key, row in rows.items() if row.outcome != "ok"}
    status, text = end(place.batch("retry", "plan.yml"), patience=LONGEST)
    assert status == 0, text
    assert {row.outcome for row in place.latest()} == {"ok"}
    assert marks(place, "begun") - begun == Counter(dict.fromkeys(rest, 1)), "exactly the rest"
    assert set(marks(place, "done")) == planned
    assert list((place.folder / "tmp").glob("course-run-*")) == []
    assert len(list((place.folder / "out/pages").glob("*.html"))) == RUNS

    begun = marks(place, "begun")
    status, text = end(place.batch("plan.yml"))
    assert (status, marks(place, "begun")) == (0, begun), "all is done"
    print(f"{kills} processes of runs and {deaths} batches killed, {len(rest)} runs done again")
