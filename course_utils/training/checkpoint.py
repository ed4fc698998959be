"""Everything that a training run needs to go on, in one file that is never half written."""

import io
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_utils.io import write_atomic
from course_utils.training.history import History

# What the parts of this file raise when it is cut short, changed, or something else altogether.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)
FORMAT = "course_utils checkpoint, version 3"


@dataclass(frozen=True)
class Checkpoint:
    """A training run after one of its steps.

    `fit(..., checkpoint=path)` writes and reads these. By hand, one is good for the weights of a
    run: `model.load_state_dict(Checkpoint.load(path).model)`.

    Example:
        >>> import tempfile
        >>> model = torch.nn.Conv2d(1, 1, 1)
        >>> rest = {}, {}, {}, {}, History([0.5]), {}
        >>> saved = Checkpoint(1, {"steps": 1}, model.state_dict(), *rest)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     saved.save(f"{folder}/run.pt")
        ...     found = Checkpoint.load(f"{folder}/run.pt")
        >>> found.history.loss, bool((found.model["weight"] == model.weight).all())
        ([0.5], True)
    """

    step: int
    """Steps that were done."""
    settings: dict[str, Any]
    """What a run that goes on from here must agree with."""
    model: dict[str, Tensor]
    """The model's `state_dict`: parameters and buffers."""
    hidden_buffers: dict[str, Tensor]
    """Buffers that a `state_dict` leaves out (`persistent=False`)."""
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    precision: dict[str, Any]
    """The state of the loss scaling, where the precision has one."""
    history: History
    batches: dict[str, Any]
    """The state of an `EpochLoader`; of other batches there is none."""
    loss: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Buffers and parameters of a loss that is a module, those of its `state_dict` and others."""

    def save(self, path: str | Path) -> None:
        """Write the file in one piece, see `write_atomic`."""
        fields = {**vars(self), "history": self.history.state_dict()}
        # torch's writer turns the OSError of a full disk into a RuntimeError: it writes to memory.
        content = io.BytesIO()
        torch.save({"format": FORMAT, **fields}, content)
        write_atomic(path, content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "Checkpoint":
        """Read a file that `save` wrote, onto the CPU, without running code from it.

        Raises:
            FileNotFoundError: if there is none, another `OSError` if it cannot be read.
            ValueError: if it is damaged or something else.

        Example:
            >>> Checkpoint.load("nowhere.pt")
            Traceback (most recent call last):
                ...
            FileNotFoundError: there is no checkpoint nowhere.pt
        """
        path = Path(path)
        try:
            content = io.BytesIO(path.read_bytes())
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no checkpoint {path}") from None
        except OSError as error:
            raise OSError(
                error.errno,
                f"the checkpoint {path} could not be read, and may be whole ({error.strerror}): "
                "mend that and try again",
            ) from error
        try:
            # torch writes checksums and does not read them.
            with zipfile.ZipFile(content) as archive:
                if damaged := archive.testzip():
                    raise ValueError(f"its part {damaged} is damaged")
            content.seek(0)
            found = torch.load(content, map_location="cpu", weights_only=True)
            if not isinstance(found, Mapping) or found.get("format") != FORMAT:
                raise ValueError("it was not written by this version of course_utils")
            fields = {name: found[name] for name in cls.__dataclass_fields__}
            return cls(**{**fields, "history": History.from_state_dict(fields["history"])})
        except UNREADABLE as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"{path} cannot be read as a checkpoint ({reason}): delete it or choose another "
                "path"
            ) from error
