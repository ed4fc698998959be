"""What a person sees in the terminal while lessons or a batch run."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from course_utils.runs.plan import estimate
from course_utils.runs.records import Outcome, RunRecord, Task, format_duration, format_run

SHOWN = 8  # runs in progress
COLORS = {Outcome.OK: "green", Outcome.TIMEOUT: "yellow", Outcome.CANCELLED: "cyan"}
SIGNS = {Outcome.OK: "✔", Outcome.CANCELLED: "-"}
HEADLINE_METRICS = 3  # in the table of a terminal; the pages show all


class RunDisplay:
    """Callbacks of a batch: a bar, what is running, what failed, how long it will still take.

    Where there is no terminal, a line for each run that ends.

    Args:
        console: where to draw.
        workers: how many runs are executed at a time.
        lengths: seconds of earlier runs by lesson and data set; see `estimate`.
        quiet: show failures only.
        in_full: show the cell that failed, too, and say which run starts where nothing is drawn.
    """

    def __init__(
        self,
        console: Console,
        *,
        workers: int = 1,
        lengths: Mapping[tuple[str, str], float] | None = None,
        quiet: bool = False,
        in_full: bool = False,
    ) -> None:
        self._console = console
        self._workers = workers
        self._lengths = dict(lengths or {})
        self._quiet = quiet
        self._in_full = in_full
        self._done_before = 0
        self.records: dict[str, RunRecord] = {}
        """By id: the last attempt at each run that has ended."""
        self._left: dict[str, Task] = {}
        self._running: dict[str, tuple[Task, str, str, float]] = {}
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
        )
        self._task = self._bar.add_task("runs", total=0, left="")
        self._live = Live(console=console, get_renderable=self._picture, refresh_per_second=4)
        self._drawn = console.is_terminal and not quiet

    def __enter__(self) -> "RunDisplay":
        if self._drawn:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._drawn:
            self._live.stop()

    def on_begin(self, to_do: Sequence[Task], done: int) -> None:
        """Say how many runs there are."""
        self._left = {task.id: task for task in to_do}
        self._done_before = done
        self._bar.update(self._task, total=done + len(to_do), completed=done)
        if not self._quiet:
            before = f", {done} are done already" if done else ""
            at_a_time = f"{self._workers} at a time" if self._workers else "waiting for a worker"
            self._print(f"{len(to_do)} runs to do{before}" + (f"; {at_a_time}" if to_do else ""))

    def on_start(self, task: Task, where: str) -> None:
        """Show the run among those that are running."""
        self._running[task.id] = (task, where, "starting", time.monotonic())
        self._left[task.id] = task
        self.records.pop(task.id, None)  # another attempt at it
        self._update_bar()
        if self._in_full and not self._drawn and not self._quiet:
            self._print(f"… {escape(format_run(task))}")

    def on_cell(self, task: Task, cell: int, cells: int) -> None:
        """Show how far the run is."""
        if task.id in self._running:
            one, where, _, since = self._running[task.id]
            self._running[task.id] = (one, where, f"cell {cell} of {cells}", since)

    def on_end(self, record: RunRecord, kept: Path | None) -> None:
        """Say how the run ended, and why if it failed."""
        self._running.pop(record.id, None)
        self._left.pop(record.id, None)
        self.records[record.id] = record
        if record.outcome is Outcome.OK:
            self._lengths[record.lesson, record.dataset or ""] = record.seconds or 0.0
        self._update_bar()
        if kept:
            name = kept.stem.partition(".edited-")[0]
            self._print(f"[cyan]note[/cyan] you have edited {name}.ipynb: kept as {kept.name}")
        if self._quiet and record.outcome is Outcome.OK:
            return
        again = f", attempt {record.attempt}" if record.attempt > 1 and not self._in_full else ""
        self._print(
            f"{_colored(record.outcome, sign=True)}  {escape(format_run(record))}  "
            f"{format_duration(record.seconds or 0)}{again}"
        )
        if self._in_full and record.failure:
            self._console.print(_failure_panel(record))
        elif record.message:
            self._print(f"    {escape(record.message)}")

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def _update_bar(self) -> None:
        done = self._done_before + len(self.records)
        self._bar.update(self._task, completed=done, left=self._time_left())

    def _time_left(self) -> str:
        expected = estimate(list(self._left.values()), self._lengths, max(1, self._workers))
        if not self._left or not expected.known:
            return ""
        more = f" and {expected.unknown} runs of unknown length" if expected.unknown else ""
        return f"about {format_duration(expected.wall_clock)} left{more}"

    def _picture(self) -> Group:
        table = Table(box=None, pad_edge=False, show_header=False)
        now = time.monotonic()
        for task, where, cell, since in list(self._running.values())[:SHOWN]:
            host = f"[dim]{escape(where)}[/dim]"
            table.add_row(escape(format_run(task)), cell, format_duration(now - since), host)
        more = len(self._running) - SHOWN
        if more > 0:
            table.add_row(f"[dim]and {more} more[/dim]", "", "", "")
        return Group(table, self._bar)


def print_lessons(
    console: Console, records: Sequence[RunRecord], lessons: Sequence[str], out: Path
) -> None:
    """Print how each of `lessons` ended, by its record, and where their pages are."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("lesson")
    table.add_column("outcome")
    table.add_column("time", justify="right")
    table.add_column("metrics", style="dim", overflow="fold")
    by_lesson = {record.lesson: record for record in records}
    for name in lessons:
        if record := by_lesson.get(name):
            seconds = format_duration(record.seconds or 0)
            table.add_row(name, _colored(record.outcome), seconds, _headline(record))
        else:
            table.add_row(name, "[dim]not started[/dim]", "", "")
    console.print(table)
    good = sum(record.outcome is Outcome.OK for record in records)
    spent = format_duration(sum(record.seconds or 0 for record in records))
    console.print(f"{good} of {len(lessons)} lessons ok in {spent}")
    console.print(f"open {out / 'index.html'}", soft_wrap=True, highlight=False)


def _colored(outcome: Outcome | None, *, sign: bool = False) -> str:
    color = COLORS.get(outcome, "red") if outcome else "dim"
    text = f"{SIGNS.get(outcome, '✘')} {outcome}" if sign and outcome else str(outcome)
    return f"[{color}]{text}[/{color}]"


def _failure_panel(record: RunRecord) -> Panel:
    assert record.failure
    source = Syntax(record.failure.source, "python", theme="ansi_light", line_numbers=True)
    return Panel(
        Group(source, Text(), Text(record.failure.excerpt, style="red")),
        title=f"{escape(record.lesson)}, cell {record.failure.cell}",
        subtitle=escape(record.failure.error.splitlines()[0][:90]),
        border_style="red",
    )


def _headline(record: RunRecord) -> str:
    shown = []
    for metric in record.metrics[:HEADLINE_METRICS]:
        value = metric.get("value")
        number = f"{value:.4g}" if isinstance(value, int | float) else value
        shown.append(f"{metric['name']} {number} {metric.get('unit') or ''}".rstrip())
    more = len(record.metrics) - len(shown)
    return escape(", ".join(shown)) + (f" … and {more} more" if more else "")
