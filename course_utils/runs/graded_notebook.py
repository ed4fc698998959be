"""A student's notebook made ready to be graded: it runs on after errors, and is checked at its end.

Every exercise of the lesson is checked by a cell of the batch, by the name of its answer, whatever
the notebook says of itself. A check that was deleted, renamed or forged changes nothing then.
"""

import ast
import re
from collections.abc import Iterable, Mapping, Set

import nbformat
from nbformat.v4 import new_code_cell

from course_utils.runs.notebooks import Lesson

CHECKED = "course_check"
"""In the metadata of a cell of the batch: the exercise that it checks."""
PYTHON = {"display_name": "Python 3", "language": "python", "name": "python3"}
LONGEST_ANSWER = 10_000  # characters
_CHECK = """from course_utils.lessons import exercise
exercise("{exercise}").check(globals().get("{answer}", ...))"""
_START = re.compile(r"""^[^#\n]*\bstart_lesson\(\s*["']([^"']+)["']""", re.MULTILINE)
_MAGIC = re.compile(r"^\s*[%!].*$", re.MULTILINE)
_BINDS = re.compile(r"^(?:def |class )?(\w+)\s*(?:[=(:]|$)", re.MULTILINE)


def prepare(notebook: nbformat.NotebookNode, lesson: Lesson) -> str:
    """Return the text of `notebook` with all that the batch needs in it.

    Raises:
        AttributeError: or `KeyError`, `TypeError` for what is no notebook after all.
    """
    for cell in notebook.cells:
        cell.metadata.pop(CHECKED, None)
        if cell.cell_type == "code":
            unwanted = {"parameters", "injected-parameters", "raises-exception"}
            tags = [tag for tag in cell.metadata.get("tags") or [] if tag not in unwanted]
            cell.metadata["tags"] = [*tags, "raises-exception"]
    if lesson.parameters:
        _tag_parameters(notebook, lesson.parameters)
    # Some editors leave out what language it is, which papermill must know.
    notebook.metadata["kernelspec"] = PYTHON
    notebook.cells += [
        _cell(_CHECK.format(exercise=exercise, answer=answer), **{CHECKED: exercise})
        for exercise, answer in lesson.exercises.items()
    ]
    return nbformat.writes(notebook)


def started_lesson(notebook: nbformat.NotebookNode) -> str:
    """Return the lesson that a notebook starts, as it calls it; empty if it starts none."""
    found = (_START.search(cell.source) for cell in notebook.cells if cell.cell_type == "code")
    return next((match[1] for match in found if match), "")


def answer_sources(notebook: nbformat.NotebookNode, exercises: Mapping[str, str]) -> dict[str, str]:
    """Return, of each exercise, the last cell that defines its answer."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return {
        exercise: source[:LONGEST_ANSWER]
        for source in cells
        for exercise, answer in exercises.items()
        if answer in bound_names(source)
    }


def bound_names(source: str) -> set[str]:
    r"""Return the names that a cell defines at its top level.

    Example:
        >>> sorted(bound_names("%pip list\na, b = 1, 2\ndef f(x): y = x"))
        ['a', 'b', 'f']
    """
    source = without_magics(source)
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(_BINDS.findall(source))
    return {name for statement in statements for name in _bound(statement)}


def without_magics(source: str) -> str:
    """Return the Python of a cell, without what IPython alone understands."""
    return _MAGIC.sub("", source)


def _bound(statement: ast.stmt) -> Iterable[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    return [
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]


def _tag_parameters(notebook: nbformat.NotebookNode, defaults: Mapping[str, object]) -> None:
    """Tag the cell behind which papermill puts the parameters: it comes before the lesson starts.

    It is the lesson's own cell wherever that is whole; else a new one.
    """
    start = _find_start(notebook, defaults.keys())
    before = [cell for cell in notebook.cells[:start] if cell.cell_type == "code"]
    own = [cell for cell in before if defaults.keys() & bound_names(cell.source)]
    if own and defaults.keys() <= {name for cell in own for name in bound_names(cell.source)}:
        own[0 if start is None else -1].metadata["tags"].append("parameters")
        return
    lines = [f"globals().setdefault({name!r}, {value!r})" for name, value in defaults.items()]
    cell = _cell("\n".join(lines))
    cell.metadata["tags"].append("parameters")
    notebook.cells.insert(start or 0, cell)


def _find_start(notebook: nbformat.NotebookNode, names: Set[str]) -> int | None:
    """Return the position of the cell that starts the lesson.

    A cell that sets parameters before it does so, as of two that were merged, is split there.
    """
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and (match := _START.search(cell.source)):
            before, after = cell.source[: match.start()], cell.source[match.start() :]
            if not names & bound_names(before) or after[0].isspace():
                return position
            cell.source = after
            notebook.cells.insert(position, _cell(before))
            return position + 1
    return None


def _cell(source: str, **metadata: str) -> nbformat.NotebookNode:
    return new_code_cell(source, metadata={"tags": ["raises-exception"], **metadata})
