"""What a person sees in the terminal while a batch runs."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from course_utils.batch.journal.rows import Row
from course_utils.batch.plan.estimate import estimate
from course_utils.batch.tasks import Record, Task
from course_utils.runs.durations import duration
from course_utils.runs.run import Outcome

SHOWN = 8  # runs in progress
SIGNS = {Outcome.OK: "[green]✔[/green]"}
NOT_OK = "[red]✘[/red]"


class BatchProgress:
    """Follows a batch: a bar, what is running, what failed, and how long it will still take.

    Where there is no terminal, a line for each run that ends. `quiet` shows failures only.
    `lengths` are seconds of earlier runs, for the estimate; see `estimate`.
    """

    def __init__(
        self,
        console: Console,
        *,
        workers: int,
        lengths: Mapping[tuple[str, str], float],
        quiet: bool = False,
    ) -> None:
        self._console = console
        self._workers = workers
        self._lengths = dict(lengths)
        self._quiet = quiet
        self._done_before = 0
        self._ended: set[str] = set()
        self._left: dict[str, Task] = {}
        self._running: dict[str, tuple[Task, str, str, float]] = {}
        self.outcomes: Counter[str] = Counter()
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

    def __enter__(self) -> "BatchProgress":
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

    def begin(self, to_do: Sequence[Task], done: int) -> None:
        self._left = {task.id: task for task in to_do}
        self._done_before = done
        self._bar.update(self._task, total=done + len(to_do), completed=done)
        if not self._quiet:
            before = f", {done} are done already" if done else ""
            at_a_time = f"{self._workers} at a time" if self._workers else "waiting for a worker"
            self._say(f"{len(to_do)} runs to do{before}" + (f"; {at_a_time}" if to_do else ""))

    def started(self, task: Task, where: str) -> None:
        self._running[task.id] = (task, where, "starting", time.monotonic())
        self._left[task.id] = task
        self._ended.discard(task.id)  # another attempt at it
        self._draw()

    def cell(self, task: Task, cell: int, cells: int) -> None:
        if task.id in self._running:
            one, where, _, since = self._running[task.id]
            self._running[task.id] = (one, where, f"cell {cell} of {cells}", since)

    def ended(self, task: Task, record: Record) -> None:
        self._running.pop(task.id, None)
        self._left.pop(task.id, None)
        self.outcomes[str(record.outcome)] += 1
        if record.outcome is Outcome.OK:
            key = task.lesson, str(task.parameters.get("dataset", ""))
            self._lengths[key] = record.seconds
        self._ended.add(task.id)
        self._draw()
        if not self._quiet or record.outcome is not Outcome.OK:
            sign = SIGNS.get(record.outcome, NOT_OK)
            again = f", attempt {record.attempt}" if record.attempt > 1 else ""
            self._say(
                f"{sign} {record.outcome}  {escape(name_of(task))}  "
                f"{duration(record.seconds)}{again}"
            )
            if record.message:
                self._say(f"    {escape(record.message)}")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def _draw(self) -> None:
        done = self._done_before + len(self._ended)
        self._bar.update(self._task, completed=done, left=self._time_left())

    def _time_left(self) -> str:
        expected = estimate(list(self._left.values()), self._lengths, max(1, self._workers))
        if not self._left or not expected.known:
            return ""
        more = f" and {expected.unknown} runs of unknown length" if expected.unknown else ""
        return f"about {duration(expected.wall_clock)} left{more}"

    def _picture(self) -> Group:
        table = Table(box=None, pad_edge=False, show_header=False)
        now = time.monotonic()
        for task, where, cell, since in list(self._running.values())[:SHOWN]:
            place = f"[dim]{escape(where)}[/dim]"
            table.add_row(escape(name_of(task)), cell, duration(now - since), place)
        more = len(self._running) - SHOWN
        if more > 0:
            table.add_row(f"[dim]and {more} more[/dim]", "", "", "")
        return Group(table, self._bar)


def name_of(task: Task | Row) -> str:
    """Return what people call a run: its lesson and what it was told.

    Example:
        >>> name_of(Task("id", "03_unet", "", {"profile": "smoke", "dataset": "synthetic", "seed": 1}))
        '03_unet · dataset synthetic · seed 1'
    """
    values = [f"{key} {value}" for key, value in task.parameters.items() if key != "profile"]
    return " · ".join([task.student or task.lesson, *values])
