"""Which lessons there are to test."""

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
SOURCES = sorted((FOLDER / "source").glob("[0-9][0-9]_*.py"))


def name_of(path: Path) -> str:
    """Name of a lesson in the list of tests."""
    return path.stem
