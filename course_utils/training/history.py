"""What happened while training."""

from dataclasses import dataclass, field
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
