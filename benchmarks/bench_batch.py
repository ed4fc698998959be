"""How long a batch of equal, short runs takes with one and with two workers, and each run's cost.

Run from the project's root: `python benchmarks/bench_batch.py`. The notebook records one metric
and computes next to nothing, so what is measured is ours: the start of processes, the limits, the
run store. The bare start of a kernel (start it, execute one line, end it) is measured before and
after, in this run. Wall-clock time on all cores: leave the machine alone while it runs.
"""

import argparse
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client.manager import start_new_kernel
from nbformat.v4 import new_code_cell, new_notebook

from course_utils.runs import Processes, RunRecord, Task, read_store, run_batch
from course_utils.runs.execute import available_threads

RUNS, WORKERS, STARTS = 40, 2, 3
RATIO_WANTED, OVERHEAD_WANTED = 0.6, 1.0  # of the serial time; seconds per run
METRIC = """from IPython.display import display
bundle = {"name": "answer", "value": seed, "unit": None}
display({"application/vnd.course.metric+json": bundle, "text/plain": "answer"}, raw=True)"""


class Silent:
    def on_begin(self, to_do: Sequence[Task], done: int) -> None: ...

    def on_start(self, task: Task, where: str) -> None: ...

    def on_cell(self, task: Task, cell: int, cells: int) -> None: ...

    def on_end(self, record: RunRecord, kept: Path | None) -> None: ...


def make_tasks(runs: int) -> list[Task]:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    cells = [new_code_cell("seed = 0", metadata={"tags": ["parameters"]}), new_code_cell(METRIC)]
    text = nbformat.writes(new_notebook(cells=cells, metadata={"kernelspec": kernel}))
    return [Task(f"run{seed}", "90_tiny", text, {"seed": seed}) for seed in range(runs)]


def seconds_of_batch(tasks: list[Task], workers: int, folder: Path) -> float:
    started = time.perf_counter()
    run_batch(tasks, folder, Processes(workers), callbacks=Silent())
    seconds = time.perf_counter() - started
    values = [[metric["value"] for metric in run.metrics] for run in read_store(folder)]
    if values != [[seed] for seed in range(len(tasks))]:
        raise SystemExit(f"not all runs went well: {values}")
    return seconds


def seconds_of_kernel() -> float:
    started = time.perf_counter()
    manager, client = start_new_kernel(kernel_name="python3", stderr=subprocess.DEVNULL)
    client.execute_interactive("1", timeout=120, output_hook=lambda message: None)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    runs = parser.parse_args().runs
    if runs < 1:
        parser.error(f"--runs must be at least 1, got {runs}")
    print(f"{runs} runs on {available_threads()} cores")
    seconds_of_kernel()  # the disk is warm from here on
    tasks = make_tasks(runs)
    with TemporaryDirectory() as folder:
        bare = [seconds_of_kernel() for _ in range(STARTS)]
        serial = seconds_of_batch(tasks, 1, Path(folder, "serial"))
        bare += [seconds_of_kernel() for _ in range(STARTS)]
        parallel = seconds_of_batch(tasks, WORKERS, Path(folder, "parallel"))
    start, ratio = statistics.median(bare), parallel / serial
    overhead = serial / runs - start
    print(f"  bare start of a kernel   {start:6.2f} s")
    print(f"  one run, one worker      {serial / runs:6.2f} s")
    print(
        f"  overhead of a run        {overhead:6.2f} s   "
        f"({overhead / OVERHEAD_WANTED:.2f} x wanted, at most 1 is good)"
    )
    print(f"  all, one worker          {serial:6.2f} s")
    print(f"  all, {WORKERS} workers           {parallel:6.2f} s")
    print(
        f"  ratio                    {ratio:6.2f}     "
        f"({ratio / RATIO_WANTED:.2f} x wanted, at most 1 is good)"
    )


if __name__ == "__main__":
    main()
