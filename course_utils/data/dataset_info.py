"""What the course knows of a published data set before it is on disk."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DatasetInfo:
    """The facts that people need to decide on a data set, to get it and to place it."""

    name: str
    title: str
    class_names: tuple[str, ...]
    """Classes of the mask, background first."""
    licence: str
    page: str
    """Where its authors publish it; empty if it is made by this course."""
    layout: str
    """What lies where, seen from its folder; empty if it needs no disk."""
    remark: str = ""
    """What to keep in mind when judging results."""
    folds: int = 0
    """How many folds it has for cross-validation; 0: none."""

    def folder(self, root: Path) -> Path:
        """Return where the set lies, or would lie, under the data root."""
        return root / self.name

    def require_folder(self, root: Path) -> Path:
        """Return the folder of the set; raise `FileNotFoundError` with the way to get it."""
        folder = self.folder(root)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{self.title} is not here: {folder} does not exist.\n{self.how_to_get()}"
            )
        return folder

    def how_to_get(self) -> str:
        """Return, in words for people, the command that fetches the set, and how it lies."""
        return (
            f"Fetch it with: course data fetch {self.name}\n"
            f"It is published at {self.page} ({self.licence}). If you have it elsewhere, lay it "
            f"out as {self.name}/ with {self.layout}, and set COURSE_DATA_ROOT to the folder that "
            f"holds {self.name}/."
        )
