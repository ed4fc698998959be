"""A number to beat at the end of a lesson, and a table of the student's own runs."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course_utils.io import write_atomic
from course_utils.lessons.cards import Tone, quiet_html, show_card, table_html
from course_utils.lessons.frontend import is_interactive
from course_utils.lessons.metrics import finite_number

FOLDER = Path("my_runs")


@dataclass
class Challenge:
    """Numbers to beat, and the student's own runs, of which the best stands first."""

    name: str
    score: str
    to_beat: dict[str, float]
    higher_is_better: bool = True
    runs: list[tuple[str, float]] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """Where a person's runs are kept, beside the notebook."""
        return FOLDER / f"{self.name}.csv"

    def enter(self, tried: str, value: Any) -> None:
        """Add a run: what was tried, and the number it got; show the table.

        The same words again replace the earlier number. For a person the runs are kept in
        `my_runs/`; a batch keeps nothing.

        Raises:
            ValueError: for words that say nothing, and where `value` is not one finite number.
        """
        if not isinstance(tried, str) or not tried.strip():
            raise ValueError(f"say in a few words what you tried, got {tried!r}")
        number = float(finite_number(tried, value))
        self.runs = [run for run in self.runs if run[0] != tried] + [(tried, number)]
        if is_interactive():
            FOLDER.mkdir(exist_ok=True)
            rows = "".join(f"{_quoted(what)},{number!r}\n" for what, number in self.runs)
            write_atomic(self.file, "tried,value\n" + rows)
        self._show()

    def _show(self) -> None:
        sign = 1 if self.higher_is_better else -1
        rows = [(what, number, "to beat") for what, number in self.to_beat.items()]
        rows += [(what, number, "you") for what, number in self.runs]
        rows.sort(key=lambda row: -sign * row[1])
        best = max(sign * number for number in self.to_beat.values())
        beaten = any(sign * number > best for _, number in self.runs)
        lines = [f"{number:.3f}  {what} ({who})" for what, number, who in rows]
        shown = [
            (what, f"**{n:.3f}**" if who == "you" else f"{n:.3f}", who) for what, n, who in rows
        ]
        order = "higher is better" if self.higher_is_better else "lower is better"
        enter = f'`board.enter("what you tried", number)` adds your run; {order}.'
        body = table_html(("", self.score, ""), shown) + quiet_html(enter)
        title = "Challenge: beaten!" if beaten else f"Challenge: beat {sign * best:.3f}"
        show_card(Tone.RIGHT if beaten else Tone.ASK, title, body, lines=[*lines, enter])


def challenge(
    name: str, *, score: str, to_beat: Mapping[str, Any], higher_is_better: bool = True
) -> Challenge:
    """Show the numbers to beat and the student's runs so far; `enter` adds one.

    Args:
        name: of the challenge, made of `a-z 0-9 _`; of the file with the runs, too.
        score: what the numbers are.
        to_beat: what reached them -> number.
        higher_is_better: or lower.

    Raises:
        ValueError: for nothing to beat, and for what is not one finite number.

    Example:
        >>> board = challenge("doctest", score="IoU on test images", to_beat={"threshold .5": 0.1})
        ? Challenge: beat 0.100
          0.100  threshold .5 (to beat)
          `board.enter("what you tried", number)` adds your run; higher is better.
        >>> board.enter("threshold from validation", 0.2)
        ✔ Challenge: beaten!
          0.200  threshold from validation (you)
          0.100  threshold .5 (to beat)
          `board.enter("what you tried", number)` adds your run; higher is better.
    """
    if not to_beat:
        raise ValueError(f"challenge {name!r} needs at least one number to beat")
    numbers = {what: float(finite_number(what, value)) for what, value in to_beat.items()}
    found = Challenge(name, score, numbers, higher_is_better)
    if is_interactive() and found.file.is_file():
        with found.file.open(newline="", encoding="utf-8") as file:
            found.runs = [(row["tried"], float(row["value"])) for row in csv.DictReader(file)]
    found._show()
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
