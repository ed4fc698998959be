"""`course batch`: many runs of lessons, and what became of them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from course_utils.batch.conduct import conduct
from course_utils.batch.executors.executing import available_threads
from course_utils.batch.executors.processes import Executor, Processes
from course_utils.batch.journal.reader import NOTEBOOKS, read_journal
from course_utils.batch.plan.estimate import estimate
from course_utils.batch.plan.plan_file import Plan, read_plan
from course_utils.batch.progress import BatchProgress, name_of
from course_utils.batch.standing import INTERRUPTED, RUNNING, TO_DO, Standing, standing
from course_utils.batch.tasks import Task
from course_utils.runs.durations import duration
from course_utils.runs.run import Outcome

BATCHES = Path("build/batches")
FAILED = (Outcome.ERROR, Outcome.TIMEOUT, Outcome.KILLED, Outcome.OUT_OF_MEMORY)


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
    with errors_told():
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
    with errors_told():
        again = tuple(outcome or FAILED)
        _run(plan, out, again, False, workers, scheduler, notebooks, quiet)


@app.command()
def status(folder: Folder) -> None:
    """Tell how a batch stands, while it runs or afterwards."""
    with errors_told():
        found = standing(folder)
        console = Console(soft_wrap=True)
        console.print(_whether_it_runs(found), markup=False, highlight=False)
        _print_outcomes(console, found.counts())
        for row in found.rows:
            outcome = found.outcome(row)
            if outcome not in (Outcome.OK, TO_DO):
                told = row.message or f"on {row.host}, begun at {_time(row.started)}"
                console.print(f"{outcome}  {name_of(row)}: {told}", markup=False, highlight=False)


@app.command()
def report(
    folder: Folder,
    against: Annotated[
        Path | None, typer.Option(help="Folder of an earlier batch to compare with.")
    ] = None,
) -> None:
    """Write the report of a batch anew, perhaps compared with an earlier one."""
    with errors_told():
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
    console = Console()
    plan = read_plan(path, notebooks=notebooks)
    for note in plan.notes:
        console.print(f"note  {note}", markup=False, highlight=False)
    tasks = plan.tasks()
    folder = out or BATCHES / plan.name
    lengths = _earlier_lengths(folder, plan.profile)
    if dry_run:
        _print_plan(console, tasks, folder, lengths, _workers(plan, workers))
        return
    executor = _executor(plan, workers, scheduler)
    progress = BatchProgress(console, workers=executor.workers, lengths=lengths, quiet=quiet)
    with progress:
        conduct(tasks, folder, executor, retries=plan.retries, again=again, follower=progress)
    show_end(console, folder)


def show_end(console: Console, folder: Path) -> None:
    """Print the outcomes of a batch and where its report is; end with status 1 if any failed."""
    with read_journal(folder) as journal:
        rows = journal.latest()
    _print_outcomes(console, Counter(str(row.outcome or TO_DO) for row in rows))
    console.print(f"open {_report(folder, None)}", soft_wrap=True, highlight=False, markup=False)
    if any(row.outcome is not Outcome.OK for row in rows):
        raise typer.Exit(1)


def _executor(plan: Plan, workers: int | None, scheduler: str | None) -> Executor:
    asked = plan.executor
    if scheduler or asked.kind == "dask":
        from course_utils.batch.executors.dask_cluster import DaskCluster

        if scheduler and workers:
            raise ValueError("--workers and --scheduler: a scheduler brings its own workers")
        return DaskCluster(scheduler or asked.scheduler or None, workers=_workers(plan, workers))
    return Processes(_workers(plan, workers))


def _workers(plan: Plan, workers: int | None) -> int:
    if workers or plan.executor.workers:
        return workers or plan.executor.workers or 1
    return 1 if plan.executor.kind == "serial" else max(1, available_threads() // 2)


def _earlier_lengths(folder: Path, profile: str) -> dict[tuple[str, str], float]:
    """Return how long runs took before, in this batch and in others beside it."""
    lengths: dict[tuple[str, str], float] = {}
    for place in [*sorted(folder.parent.glob("*/")), folder]:
        try:
            with read_journal(place) as journal:
                found = journal.durations(profile)
        except (ValueError, OSError):  # no batch, or one that is not ours to judge
            continue
        lengths.update({(lesson, data or ""): time for (lesson, data), time in found.items()})
    return lengths


def _print_plan(
    console: Console,
    tasks: list[Task],
    folder: Path,
    lengths: dict[tuple[str, str], float],
    workers: int,
) -> None:
    waiting = tasks
    try:
        with read_journal(folder) as journal:
            waiting = journal.to_do(tasks, again=[Outcome.CANCELLED])
    except FileNotFoundError:
        pass
    to_do = {task.id for task in waiting}
    for task in tasks:
        done = "" if task.id in to_do else "  (done)"
        console.print(f"{task.id}  {name_of(task)}{done}", markup=False, highlight=False)
    expected = estimate(waiting, lengths, workers)
    time = (
        f"about {duration(expected.wall_clock)} with {workers} at a time" if expected.known else ""
    )
    unknown = f"{expected.unknown} of unknown length" if expected.unknown else ""
    told = ", ".join(filter(None, [f"{len(waiting)} of {len(tasks)} runs to do", time, unknown]))
    console.print(told, markup=False, highlight=False)


def _whether_it_runs(found: Standing) -> str:
    counts = found.counts()
    open_runs = counts[RUNNING] + counts[INTERRUPTED] + counts[TO_DO]
    if found.doubt:
        return f"whether this batch is running cannot be told ({found.doubt})"
    if found.since:
        ended = f"{len(found.rows) - open_runs} of {len(found.rows)} runs have ended"
        return f"this batch is running, since {_time(found.since.isoformat())}; {ended}"
    if open_runs + counts[Outcome.CANCELLED]:
        return "this batch is not running: `course batch` with its plan goes on from there"
    return "this batch is not running: all its runs have ended"


def _time(utc: str) -> str:
    return datetime.fromisoformat(utc).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _print_outcomes(console: Console, counts: Mapping[str, int]) -> None:
    table = Table("outcome", "runs", box=None)
    for name, count in counts.items():
        table.add_row(name, str(count))
    console.print(table)


def _report(folder: Path, against: Path | None) -> Path:
    from course_utils.batch.report import write_report  # it loads Arrow, which takes time

    with read_journal(folder) as journal:
        rows = journal.latest()
    earlier = None
    if against is not None:
        with read_journal(against) as journal:
            earlier = journal.latest()
    return write_report(rows, folder / NOTEBOOKS, folder / "report", earlier=earlier)


@contextmanager
def errors_told() -> Iterator[None]:
    """Tell an error in one line, with the exit status that belongs to it."""
    try:
        yield
    except KeyboardInterrupt:
        _tell("stopped. What has ended is recorded: the same command goes on from there")
        raise typer.Exit(130) from None
    except (ValueError, OSError, ModuleNotFoundError) as error:
        _tell(f"error: {error}")
        raise typer.Exit(2) from None


def _tell(message: str) -> None:
    Console(stderr=True, soft_wrap=True).print(message, style="red", markup=False, highlight=False)
