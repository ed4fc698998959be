"""What happened while training, and its curves for TensorBoard."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch


@dataclass
class History:
    """What happened while training: one entry per step, and one per evaluation.

    Example:
        >>> history = History([0.9, 0.5], [0.01, 0.01], [{"step": 2, "IoU": 0.25}])
        >>> history.metric("IoU")
        ([2], [0.25])
    """

    loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    evaluations: list[dict[str, float]] = field(default_factory=list)
    """Each holds `"step"` and whatever `evaluate` returned."""

    def metric(self, name: str) -> tuple[list[float], list[float]]:
        """Return the steps and the values of one evaluated metric."""
        return (
            [row["step"] for row in self.evaluations],
            [row[name] for row in self.evaluations],
        )

    def copy(self) -> "History":
        """Return a history of its own, which later steps do not change."""
        return History(
            list(self.loss), list(self.learning_rate), [dict(row) for row in self.evaluations]
        )

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain containers, for a checkpoint."""
        # A tensor of 100 000 numbers is read and written a hundred times faster than a list.
        return {
            "loss": torch.tensor(self.loss, dtype=torch.float64),
            "learning_rate": torch.tensor(self.learning_rate, dtype=torch.float64),
            "evaluations": [dict(row) for row in self.evaluations],
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> "History":
        """Return the history that `state_dict` was taken of."""
        return cls(state["loss"].tolist(), state["learning_rate"].tolist(), state["evaluations"])


class ScalarLog:
    """Writes `loss`, `learning_rate` and `evaluation/<metric>` of each step into `folder`.

    A run that goes on after `done` steps hides what was logged of later ones, so that no point
    appears twice. Without a folder, nothing is written and TensorBoard is not imported.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with ScalarLog(folder) as log:
        ...         log.add(History([0.5], [0.01]))
        ...     [path.name.split(".")[0] for path in Path(folder).iterdir()]
        ['events']
    """

    def __init__(self, folder: str | Path | None, *, done: int = 0) -> None:
        self._folder = folder
        self._done = done
        self._writer: Any = None

    def add(self, history: History) -> None:
        """Log the last step of `history`, and its evaluation if there was one."""
        if self._folder is None:
            return
        if self._writer is None:
            # Importing it takes seconds.
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=self._done + 1)
        step = len(history.loss)
        self._writer.add_scalar("loss", history.loss[-1], step)
        self._writer.add_scalar("learning_rate", history.learning_rate[-1], step)
        if history.evaluations and history.evaluations[-1]["step"] == step:
            for name, value in history.evaluations[-1].items():
                if name != "step":
                    self._writer.add_scalar(f"evaluation/{name}", value, step)

    def flush(self) -> None:
        """Bring everything to disk: what a checkpoint has passed is not logged again."""
        if self._writer is not None:
            self._writer.flush()

    def __enter__(self) -> "ScalarLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
