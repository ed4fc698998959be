"""Several trainings by one command: their errors, their folders, and the table of their scores."""

import json
import os
import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from course_utils.config import pick_device
from course_utils.trainers import Recipe, collect_scores, require_place, run_in_folder
from course_utils.training import launch

COUNTS = ("fp", "fn")
"""Scores that count images."""
Scores: TypeAlias = dict[tuple[str, int], dict[str, float]]
"""Of the test images, by (loss or variant, seed)."""


@contextmanager
def errors_told(out: Path | None, to_lower: str) -> Iterator[None]:
    """Tell an error in one line, with the exit status that belongs to it."""
    try:
        yield
    except KeyboardInterrupt:
        kept = (
            f" {out} keeps what was done: give the same command again to go on from there"
            if out
            else ""
        )
        Console(stderr=True, soft_wrap=True).print(f"stopped.{kept}", style="yellow", markup=False)
        raise typer.Exit(130) from None
    except (ValueError, OSError, MemoryError) as error:
        raise _failure(error, 2) from None
    except torch.OutOfMemoryError as error:
        reason = str(error).splitlines()[0]
        raise _failure(f"{reason} Lower {to_lower}.", 1) from None
    except FloatingPointError as error:
        raise _failure(error, 1) from None


def train_all(
    recipes: Mapping[tuple[str, int], Recipe],
    out: Path,
    looks: int,
    quiet: bool,
    device: str,
    devices: str,
    precision: str | None,
) -> Scores:
    """Train by each recipe in OUT/NAME/seed_N, all of them checked before the first begins."""
    where = pick_device(device)
    folders = {key: out / key[0] / f"seed_{key[1]}" for key in recipes}
    _require_rows(out / "scores.json")
    for key, recipe in recipes.items():
        require_place(folders[key], recipe)
    scores: Scores = {}
    for key, recipe in recipes.items():
        scores[key] = launch(
            run_in_folder,
            recipe,
            folders[key],
            looks,
            not quiet,
            devices=int(devices) if devices.isdecimal() else devices,
            device=where,
            precision=precision,
        )
        _write_scores(out)
    return scores


def print_table(
    scores: Scores,
    heading: str,
    titles: Mapping[str, str],
    shown: Mapping[str, str],
    data: str,
    out: Path | None,
) -> None:
    """Print a row for each loss or variant: the median of its seeds and, of several, their range.

    `titles` has the names of the rows, `shown` those of the columns by score.
    """
    names = list(dict.fromkeys(name for name, _ in scores))
    seeds = len(scores) // len(names)
    title = f"{escape(data)}, test images" + (
        f", median of {seeds} seeds (range)" if seeds > 1 else ""
    )
    table = Table(heading, *shown.values(), title=title)
    for name in names:
        cells = []
        for score in shown:
            values = [found[score] for (one, _), found in scores.items() if one == name]
            form = "g" if score in COUNTS else ".3f"  # the median of two counts may be a half
            cell = f"{statistics.median(values):{form}}"
            spread = f" ({min(values):{form}}-{max(values):{form}})"
            cells.append(cell + (spread if seeds > 1 else ""))
        table.add_row(titles[name], *cells)
    console = Console(soft_wrap=True)
    console.print(table)
    if out:
        console.print(f"pictures, curves and checkpoints: {out}", highlight=False, markup=False)


def _failure(message: object, code: int) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(f"error: {message}", style="red", markup=False)
    return typer.Exit(code)


def _require_rows(file: Path) -> None:
    """Raise `FileExistsError` if a file that is not ours stands where the scores will go."""
    if not file.exists():
        return
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        rows = None
    if not isinstance(rows, list) or any("data" not in row or "seed" not in row for row in rows):
        raise FileExistsError(f"{file} is no list of scores of trainings: choose another --out")


def _write_scores(out: Path) -> None:
    draft = out / "scores.json.part"
    draft.write_text(json.dumps(collect_scores(out), indent=2) + "\n", encoding="utf-8")
    os.replace(draft, out / "scores.json")
