"""`course batch`: many runs of lessons, and what became of them."""

import json
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from course_utils.io import report_errors
from course_utils.runs.records import Outcome, Task, format_duration, format_run
from course_utils.runs.status import TO_DO, batch_status, format_time
from course_utils.runs.store import open_reader, read_store

if TYPE_CHECKING:  # plans and executors take seconds to load, which `status` need not wait
    from course_utils.runs.executors import Executor
    from course_utils.runs.plan import Plan

BATCHES = Path("build/batches")
FAILED = (Outcome.ERROR, Outcome.TIMEOUT, Outcome.KILLED, Outcome.OUT_OF_MEMORY)
STOPPED = "What has ended is recorded: the same command goes on from there"


class _RunByDefault(TyperGroup):
    """`course batch plan.yml` means `course batch run plan.yml`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunByDefault,
    help="Run a plan of lessons, parameters and seeds: course batch plan.yml",
    no_args_is_help=True,
)
Out: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder of the batch, if not build/batches/NAME.")
]
Folder: TypeAlias = Annotated[Path, typer.Argument(help="Folder of a batch.")]
Workers: TypeAlias = Annotated[
    int | None, typer.Option(help="Runs at a time, in place of the plan's.", min=1)
]
Scheduler: TypeAlias = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler, in place of the plan's executor.")
]
Notebooks: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder of the lessons, if not the checkout's.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Only what failed.")]


@app.command()
def run(
    plan: Annotated[Path, typer.Argument(help="A plan file (YAML).")],
    out: Out = None,
    dry_run: Annotated[bool, typer.Option(help="Show the runs and how long they take.")] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    notebooks: Notebooks = None,
    quiet: Quiet = False,
) -> None:
    """Execute a plan; what is done already is not done again."""
    with report_errors(STOPPED):
        _run(plan, out, (), dry_run, workers, scheduler, notebooks, quiet)


@app.command()
def retry(
    plan: Annotated[Path, typer.Argument(help="A plan file (YAML).")],
    outcome: Annotated[
        list[Outcome] | None,
        typer.Option(help="Which runs, by their outcome; repeatable. All that failed if none."),
    ] = None,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    notebooks: Notebooks = None,
    quiet: Quiet = False,
) -> None:
    """Execute a plan, runs that failed before included."""
    with report_errors(STOPPED):
        again = tuple(outcome or FAILED)
        _run(plan, out, again, False, workers, scheduler, notebooks, quiet)


@app.command()
def status(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="For other programs.")] = False,
) -> None:
    """Tell how a batch stands, while it runs or afterwards."""
    with report_errors():
        found = batch_status(folder)
        if as_json:
            print(json.dumps(found.as_dict(), indent=1))
            return
        console = Console(soft_wrap=True)
        console.print(found.summary(), markup=False, highlight=False)
        _print_outcomes(console, found.counts())
        for run in found.runs:
            state = found.state(run)
            if state not in (Outcome.OK, TO_DO):
                why = run.message or f"on {run.host}, begun at {format_time(run.started)}"
                console.print(f"{state}  {format_run(run)}: {why}", markup=False, highlight=False)


@app.command()
def report(
    folder: Folder,
    against: Annotated[
        Path | None, typer.Option(help="Folder of an earlier batch to compare with.")
    ] = None,
) -> None:
    """Write the report of a batch anew, perhaps compared with an earlier one."""
    with report_errors():
        console = Console(soft_wrap=True)
        console.print(f"open {_report(folder, against)}", highlight=False, markup=False)


def _run(
    path: Path,
    out: Path | None,
    again: tuple[Outcome, ...],
    dry_run: bool,
    workers: int | None,
    scheduler: str | None,
    notebooks: Path | None,
    quiet: bool,
) -> None:
    from course_utils.runs.plan import read_plan

    console = Console(soft_wrap=True)
    plan = read_plan(path, notebooks=notebooks)
    for note in plan.notes:
        console.print(f"note  {note}", markup=False, highlight=False)
    folder = out or BATCHES / plan.name
    lengths = _earlier_lengths(folder, plan.profile)
    if dry_run:
        _print_plan(console, plan.tasks, folder, lengths, _workers(plan, workers))
        return
    executor = _executor(plan, workers, scheduler)
    run_and_report(
        plan.tasks,
        folder,
        executor,
        retries=plan.retries,
        again=again,
        lengths=lengths,
        quiet=quiet,
    )


def run_and_report(
    tasks: Sequence[Task],
    folder: Path,
    executor: "Executor",
    *,
    retries: int = 0,
    again: Sequence[Outcome] = (),
    lengths: Mapping[tuple[str, str], float],
    quiet: bool,
) -> None:
    """Run a batch, print its outcomes and where its report is; status 1 if any run failed."""
    from course_utils.runs.batch import run_batch
    from course_utils.runs.display import RunDisplay
    from course_utils.runs.run_pages import PageWriter

    console = Console()
    shown = RunDisplay(console, workers=executor.workers, lengths=lengths, quiet=quiet)
    with _interrupted_by_sigterm(), shown as display:
        run_batch(
            tasks,
            folder,
            executor,
            retries=retries,
            again=again,
            callbacks=display,
            pages=PageWriter(folder),
        )
    found = batch_status(folder)
    _print_outcomes(console, found.counts())
    console.print(f"open {_report(folder, None)}", soft_wrap=True, highlight=False, markup=False)
    if any(run.outcome is not Outcome.OK for run in found.runs):
        raise typer.Exit(1)


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """End a batch that is told to end by its system as if by Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():  # nobody else gets signals
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _executor(plan: "Plan", workers: int | None, scheduler: str | None) -> "Executor":
    if scheduler or plan.executor.kind == "dask":
        from course_utils.runs.dask_executor import DaskExecutor

        if scheduler and workers:
            raise ValueError("--workers and --scheduler: a scheduler brings its own workers")
        return DaskExecutor(scheduler or plan.executor.scheduler, workers=_workers(plan, workers))
    from course_utils.runs.executors import Processes

    return Processes(_workers(plan, workers))


def _workers(plan: "Plan", workers: int | None) -> int:
    from course_utils.runs.execute import available_threads

    if workers or plan.executor.workers:
        return workers or plan.executor.workers or 1
    return 1 if plan.executor.kind == "serial" else max(1, available_threads() // 2)


def _earlier_lengths(folder: Path, profile: str) -> dict[tuple[str, str], float]:
    """Return how long runs took before, in this batch and in others beside it."""
    lengths: dict[tuple[str, str], float] = {}
    for place in [*sorted(folder.parent.glob("*/")), folder]:
        try:
            with open_reader(place) as store:
                lengths |= store.durations(profile)
        except (ValueError, OSError):  # no batch, or one that is not ours to judge
            continue
    return lengths


def _print_plan(
    console: Console,
    tasks: Sequence[Task],
    folder: Path,
    lengths: Mapping[tuple[str, str], float],
    workers: int,
) -> None:
    from course_utils.runs.plan import estimate

    waiting = list(tasks)
    try:
        with open_reader(folder) as store:
            waiting = store.to_do(tasks, again=[Outcome.CANCELLED])
    except FileNotFoundError:
        pass
    to_do = {task.id for task in waiting}
    for task in tasks:
        done = "" if task.id in to_do else "  (done)"
        console.print(f"{task.id}  {format_run(task)}{done}", markup=False, highlight=False)
    expected = estimate(waiting, lengths, workers)
    summary = [f"{len(waiting)} of {len(tasks)} runs to do"]
    if expected.known:
        summary.append(f"about {format_duration(expected.wall_clock)} with {workers} at a time")
    if expected.unknown:
        summary.append(f"{expected.unknown} of unknown length")
    console.print(", ".join(summary), markup=False, highlight=False)


def _print_outcomes(console: Console, counts: Mapping[str, int]) -> None:
    table = Table("outcome", "runs", box=None)
    for name, count in counts.items():
        table.add_row(name, str(count))
    console.print(table)


def _report(folder: Path, against: Path | None) -> Path:
    from course_utils.runs.report import write_report  # it loads Arrow, which takes time

    earlier = read_store(against) if against is not None else None
    return write_report(read_store(folder), folder, folder / "report", earlier=earlier)
