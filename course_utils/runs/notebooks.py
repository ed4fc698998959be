"""What a lesson's notebook says of itself, read from the file before any kernel starts."""

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from course_utils.runs.parameters import read_literal

LESSON_FILES = "[0-9][0-9]_*.ipynb"
_CHECK = re.compile(r"""\bexercise\(\s*["'](\w+)["']\s*\)\.check\(\s*(\w+)\s*\)""")


@dataclass(frozen=True)
class Lesson:
    """One lesson: its notebook file and what the notebook's metadata say."""

    path: Path
    title: str
    summary: str
    """One line."""
    minutes_reading: int
    minutes_exercises: int
    compared_cells: int
    """Cells whose stored output is a fact that every run must reproduce."""
    parameters: Mapping[str, Any]
    """Name and default of every parameter of the cell tagged `parameters`."""
    exercises: Mapping[str, str] = field(default_factory=dict)
    """Each exercise that it checks, with the name of the answer."""

    @property
    def name(self) -> str:
        """File name without its ending, such as `01_class_imbalance`."""
        return self.path.stem

    @property
    def number(self) -> str:
        """The two digits that the name starts with."""
        return self.name.split("_")[0]


def notebooks_folder() -> Path:
    """Return the folder of the lessons in the checkout that `course_utils` is installed from.

    Raises:
        FileNotFoundError: when the package was installed without its checkout.
    """
    folder = Path(__file__).parents[2] / "notebooks"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no lessons at {folder}: install the package from its checkout with "
            "'pip install -e .', or name the folder with --notebooks"
        )
    return folder


def find_lessons(folder: str | Path, selection: Iterable[str] = ()) -> list[Lesson]:
    """Return the lessons in `folder`, in order; only those named in `selection` if there are any.

    A lesson is named by its number (`1`, `01`), its name (`01_class_imbalance`) or its file.

    Raises:
        FileNotFoundError: when there is no lesson.
        ValueError: for an unknown name.
    """
    paths = sorted(Path(folder).glob(LESSON_FILES))
    if not paths:
        raise FileNotFoundError(f"no lessons (NN_topic.ipynb) in {folder}")
    wanted = [_pick(paths, name) for name in selection]
    return [read_lesson(path) for path in paths if not wanted or path in wanted]


def read_lesson(path: str | Path) -> Lesson:
    """Read one notebook's own description.

    Raises:
        ValueError: when the file is no notebook or lacks the `course` metadata.
    """
    path = Path(path)
    try:
        notebook = nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise ValueError(f"{path} cannot be read as a notebook: {error}") from error
    about = notebook.metadata.get("course", {})
    missing = [key for key in ("title", "summary") if key not in about]
    if missing:
        raise ValueError(
            f"{path}: the notebook's metadata lack course.{missing[0]}: add it to the header of "
            f"notebooks/source/{path.stem}.py, then run 'make notebooks LESSON={path.stem[:2]}'"
        )
    return Lesson(
        path=path,
        title=about["title"],
        summary=about["summary"],
        minutes_reading=int(about.get("minutes_reading", 0)),
        minutes_exercises=int(about.get("minutes_exercises", 0)),
        compared_cells=int(about.get("compared_cells", 0)),
        parameters=_defaults(path, notebook),
        exercises={
            exercise: answer
            for cell in notebook.cells
            if cell.cell_type == "code"
            for exercise, answer in _CHECK.findall(cell.source)
        },
    )


def _pick(paths: list[Path], name: str) -> Path:
    stem = Path(name).stem
    if stem.isdecimal():
        stem = f"{int(stem):02d}"
    for path in paths:
        if stem in (path.stem, path.stem.split("_")[0]):
            return path
    known = ", ".join(path.stem for path in paths)
    raise ValueError(f"unknown lesson {name!r}: the lessons are {known}")


def _defaults(path: Path, notebook: nbformat.NotebookNode) -> dict[str, Any]:
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    try:
        statements = ast.parse(tagged[0].source).body if tagged else []
    except SyntaxError as error:
        raise ValueError(f"{path}: the cell tagged parameters is no Python: {error}") from error
    return {
        target.id: read_literal(ast.unparse(statement.value))
        for statement in statements
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value
        for target in getattr(statement, "targets", [getattr(statement, "target", None)])
        if isinstance(target, ast.Name)
    }
