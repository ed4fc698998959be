"""What a person sees in the terminal while lessons run, and the table at the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from course_utils.course.ledger import Entry
from course_utils.runs.durations import duration
from course_utils.runs.notebooks import Lesson

STYLE = {
    "ok": "green",
    "error": "red",
    "timeout": "yellow",
    "killed": "red",
    "cancelled": "cyan",
    "out-of-memory": "red",
}
SIGN = {"ok": "✔", "cancelled": "-"}
HEADLINE_METRICS = 3  # in the table of a terminal; the pages show all


class Report:
    """Follow a run of `total` lessons on `console`; `quiet` keeps failures and the table."""

    def __init__(self, console: Console, total: int, *, quiet: bool = False) -> None:
        self._console = console
        self._total = total
        self._quiet = quiet

    @contextmanager
    def lesson(self, lesson: Lesson, number: int) -> Iterator[Callable[[int, int], None]]:
        """Show a bar while a lesson runs; yields the function that moves it."""
        label = f"lesson {number} of {self._total}  [bold]{escape(lesson.name)}[/bold]"
        if self._quiet:
            yield lambda cell, cells: None
            return
        if not self._console.is_terminal:
            self._console.print(f"{label} …")
            yield lambda cell, cells: None
            return
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[cell]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        with bar:
            task = bar.add_task(label, total=None, cell="starting")

            def show(cell: int, cells: int) -> None:
                bar.update(task, total=cells, completed=cell - 1, cell=f"cell {cell} of {cells}")

            yield show

    def note(self, text: str) -> None:
        """Say something that a person should know."""
        self._console.print(f"[cyan]note[/cyan] {escape(text)}")

    def finished(self, entry: Entry) -> None:
        """Say how one lesson ended; a failure with the cell and the end of its traceback."""
        if not self._quiet or entry.outcome != "ok":
            color = STYLE[entry.outcome]
            self._console.print(
                f"[{color}]{SIGN.get(entry.outcome, '✘')} {entry.outcome}[/{color}]  "
                f"{entry.lesson}  [dim]{duration(entry.seconds)}[/dim]"
            )
        if entry.outcome not in ("ok", "cancelled"):
            self._console.print(_failure_panel(entry))

    def end(self, entries: Sequence[Entry], not_started: Sequence[Lesson], out: Path) -> None:
        """Print the table of the run and where its pages are."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("lesson")
        table.add_column("outcome")
        table.add_column("time", justify="right")
        table.add_column("metrics", style="dim", overflow="fold")
        for entry in entries:
            outcome = Text(entry.outcome, style=STYLE[entry.outcome])
            table.add_row(entry.lesson, outcome, duration(entry.seconds), _headline(entry))
        for lesson in not_started:
            table.add_row(lesson.name, Text("not started", style="dim"), "", "")
        self._console.print(table)
        good = sum(entry.outcome == "ok" for entry in entries)
        spent = duration(sum(entry.seconds for entry in entries))
        self._console.print(f"{good} of {self._total} lessons ok in {spent}")
        self._console.print(f"open {out / 'index.html'}", soft_wrap=True, highlight=False)


def _failure_panel(entry: Entry) -> Panel:
    if not entry.failure:
        return Panel(Text(entry.message), title=entry.lesson, border_style="red", expand=False)
    source = Syntax(entry.failure["source"], "python", theme="ansi_light", line_numbers=True)
    return Panel(
        Group(source, Text(), Text(entry.failure["excerpt"], style="red")),
        title=f"{entry.lesson}, cell {entry.failure['cell']}",
        subtitle=escape(entry.failure["error"].splitlines()[0][:90]),
        border_style="red",
    )


def _headline(entry: Entry) -> str:
    shown = entry.metrics[:HEADLINE_METRICS]
    parts = [f"{m['name']} {m['value']:.4g}{' ' + m['unit'] if m['unit'] else ''}" for m in shown]
    more = len(entry.metrics) - len(shown)
    return ", ".join(parts) + (f" … and {more} more" if more else "")
