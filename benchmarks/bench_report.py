"""What the report of a thousand runs costs, and the page of one run.

Run from the project's root: `python benchmarks/bench_report.py`. The runs are made up; store,
executed notebooks, pages and report are written by the project's own code. CPU seconds: other work
on the machine matters little. `--out FOLDER` keeps what was written, to be looked at.
"""

import argparse
import io
import resource
import time
from base64 import b64encode
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_utils.lessons import METRIC_MIME
from course_utils.runs import Failure, Limits, Outcome, RunRecord, Task, open_store, read_store
from course_utils.runs.report import write_report
from course_utils.runs.run_pages import PageWriter

RUNS, PAGES = 1000, 20
CPU_WANTED, SIZE_WANTED = 10.0, 5e6  # seconds; bytes of the page beside its figures
LOSSES = ("cross_entropy", "weighted", "focal", "dice")
SETS = ("synthetic", "magnetic_tile", "sd_saliency_900", "mvtec_ad/bottle", "kolektor_sdd")
METRICS = [
    f"{part}/{name}" for part in ("unet", "detector") for name in ("iou", "ap", "dice", "f1")
]
FAILURES = {
    7: Outcome.ERROR,
    11: Outcome.TIMEOUT,
    13: Outcome.OUT_OF_MEMORY,
    17: Outcome.KILLED,
}
"""By what is left of a run's number, divided by 40."""
SHOWN = 25  # figures that differ


def figure(number: int) -> str:
    rng = np.random.default_rng(number)
    drawn, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    axes[0].plot(np.cumsum(rng.normal(size=200)) - np.linspace(0, 9, 200))
    axes[0].set(xlabel="step", ylabel="loss", title=f"made up, number {number}")
    axes[1].imshow(rng.random((48, 48)), cmap="cividis")
    out = io.BytesIO()
    drawn.savefig(out, format="png", dpi=100)
    plt.close(drawn)
    return b64encode(out.getvalue()).decode()


def make_run(number: int, figures: list[str]) -> tuple[Task, RunRecord]:
    rng = np.random.default_rng(number)
    seed, rest = number % 10, number // 10
    lesson = ("02_focal_and_reweighted_losses", "03_unet_training")[rest % 2]
    rest //= 2
    parameters = {"profile": "smoke", "dataset": SETS[rest % 5], "loss": LOSSES[rest // 5 % 4]}
    parameters |= {"gamma": float(rest // 20), "seed": seed}
    values = [{"name": name, "value": float(rng.random()), "unit": None} for name in METRICS]
    outputs = [new_output("display_data", {METRIC_MIME: each}) for each in values]
    shown = new_output("display_data", {"image/png": figures[number % SHOWN]})
    text = [
        new_markdown_cell("## Section\n\n" + "A sentence of the lesson. " * 12) for _ in range(20)
    ]
    code = [new_code_cell("x = [i**2 for i in range(100)]\nprint(sum(x))") for _ in range(20)]
    cells = [cell for pair in zip(text, code, strict=True) for cell in pair]
    cells.append(new_code_cell("train()", outputs=[*outputs, shown]))
    notebook = nbformat.writes(new_notebook(cells=cells))
    task = Task(f"{number:016x}", lesson, notebook, parameters, Limits())
    outcome = FAILURES.get(number % 40, Outcome.OK)
    failure = Failure(12, "train()", "RuntimeError: made up", "line\n" * 12)
    return task, RunRecord.of(
        task,
        outcome=outcome,
        message="" if outcome is Outcome.OK else f"cell 12: RuntimeError: made up {number}",
        failure=None if outcome is Outcome.OK else failure,
        metrics=tuple(values) if outcome is Outcome.OK else (),
        versions={"python": "3.11.7", "torch": "2.15.0"},
        device="cpu, 2 threads",
        host="node1",
        started="2031-05-06T07:08:09+00:00",
        seconds=round(20 + 20 * float(rng.random()), 1),
        peak_memory_gb=round(0.8 + 0.4 * float(rng.random()), 2),
        text=notebook,
    )


def cpu(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument(
        "--pages", type=int, default=PAGES, help="of so many runs a page is written"
    )
    parser.add_argument("--out", type=Path, help="folder that keeps all")
    given = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = given.out or Path(temporary, "thousand")
        figures = [figure(number) for number in range(SHOWN)]
        made = [make_run(number, figures) for number in range(given.runs)]
        with open_store(folder) as store:
            store.plan([task for task, _ in made])
            for _, record in made:
                store.end(record)
        runs = read_store(folder)
        before = cpu(resource.RUSAGE_CHILDREN)
        with PageWriter(folder) as pages:
            for run in runs[: given.pages]:
                pages.write(run)
        of_pages = cpu(resource.RUSAGE_CHILDREN) - before
        started, before = time.perf_counter(), cpu(resource.RUSAGE_SELF)
        page = write_report(read_store(folder), folder, folder / "report")
        seconds = cpu(resource.RUSAGE_SELF) - before
        wall = time.perf_counter() - started
        size = page.stat().st_size
    print(f"{given.runs} runs")
    print(
        f"  report   {seconds:6.2f} CPU s, {wall:.1f} s   "
        f"({seconds / CPU_WANTED:.2f} x wanted, at most 1 is good)"
    )
    print(
        f"  its page {size / 1e6:6.2f} MB beside the figures   "
        f"({size / SIZE_WANTED:.2f} x wanted, at most 1 is good)"
    )
    print(f"  page of a run {of_pages / max(given.pages, 1):.2f} CPU s, of {given.pages} together")


if __name__ == "__main__":
    main()
