"""Learning curves that grow while a person watches; one finished figure for everybody."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from time import monotonic
from types import TracebackType
from typing import Any
from uuid import uuid4

from IPython.display import display
from matplotlib.figure import Figure

from course_utils.lessons.frontend import execution_id, is_interactive
from course_utils.plots import as_png, show, training_curves
from course_utils.training.history import History

DRAWING_SHARE = 0.1
"""Of the time: after drawing for a second, the next nine belong to the training."""
MOVED = "(These curves go on below another cell.)"


class LiveCurves:
    """Curves of one or more runs of `fit`: drawn while they train, and kept as one figure.

    Where a person runs the cell in a notebook, one figure is drawn anew after evaluations, in its
    place. Where nobody can watch (`make test`, papermill, a page), nothing is shown until the
    end. Both leave one figure in the stored cell: the finished one, with its alternative text.

        with LiveCurves(alt="The focal loss learns faster: ...") as curves:
            for name, loss in losses.items():
                fit(..., loss, evaluate=evaluate, on_evaluation=curves.run(name))

    Args:
        alt: what a person sees in the finished figure, and should notice.
        title: of the figure.
        smooth: each loss drawn is the mean of so many steps.
        metrics: which evaluated metrics to draw; None draws all.

    Leaving the `with` block calls `finish`; where an error or Ctrl-C ends it, what was drawn so
    far stays, and nothing more is shown. Raises `ValueError` for an empty `alt`, and from `finish`
    where no run was watched.

    Example:
        >>> history = History([0.9, 0.5], [0.01, 0.01], [{"step": 2, "IoU": 0.25}])
        >>> with LiveCurves(alt="Both curves rise.") as curves:
        ...     curves.run("focal")(history)
    """

    def __init__(
        self,
        *,
        alt: str,
        title: str | None = None,
        smooth: int = 10,
        metrics: Sequence[str] | None = None,
    ) -> None:
        if not alt.strip():
            raise ValueError("alt is empty: say in a sentence what a person sees in the curves")
        self.alt, self.title, self.smooth, self.metrics = alt, title, smooth, metrics
        self.histories: dict[str, dict[int, History]] = {}
        self._display: str | None = None
        self._cell: str | None = None
        self._next_drawing = 0.0
        self._finished = False

    def run(self, name: str, *, seed: int = 0) -> Callable[[History], None]:
        """Return what `fit` takes as `on_evaluation`, for one run.

        Runs of one name with different seeds become one line, with a band from the smallest to
        the largest; a seed that runs again replaces what it drew before.

        Raises:
            ValueError: once the curves are finished.
        """
        if self._finished:
            raise ValueError("these curves are finished: make new ones with LiveCurves(...)")

        def watch(history: History) -> None:
            self.histories.setdefault(name, {})[seed] = history.copy()
            if is_interactive() and monotonic() >= self._next_drawing:
                self._draw()

        return watch

    def finish(self) -> None:
        """Show the finished figure; once only.

        Raises:
            ValueError: where no run was watched.
        """
        if self._finished:
            return
        if not self.histories:
            raise ValueError(
                "no curves to show: give fit on_evaluation=curves.run(name) and evaluate=..."
            )
        if is_interactive():
            self._draw()
        else:
            show(self._figure(), self.alt)
        self._finished = True

    def __enter__(self) -> LiveCurves:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish()

    def _runs(self) -> dict[str, list[History]]:
        """Return the histories by name; a seed that is still behind the others by itself.

        A line shows the steps that all its seeds have done: a seed that has just begun would cut
        the others short.
        """
        together: dict[str, list[History]] = {}
        behind: dict[str, list[History]] = {}
        for name, seeds in self.histories.items():
            longest = max(len(history.loss) for history in seeds.values())
            together[name] = []
            for seed, history in seeds.items():
                if len(history.loss) == longest:
                    together[name].append(history)
                else:
                    behind[f"{name}, seed {seed}"] = [history]
        return together | behind  # those behind come last, so that no other color changes

    def _figure(self) -> Figure:
        return training_curves(
            self._runs(), smooth=self.smooth, metrics=self.metrics, title=self.title
        )

    def _draw(self) -> None:
        """Draw where the curves are already, or below this cell if they are not."""
        started = monotonic()
        png = base64.b64encode(as_png(self._figure())).decode("ascii")
        if self._display and self._cell != execution_id():
            # Two cells would keep two figures, one of them unfinished.
            _publish({"text/plain": MOVED}, self._display, update=True)
            self._display = None
        new = self._display is None
        self._display = self._display or uuid4().hex
        self._cell = execution_id()
        alt = " ".join(self.alt.split())
        _publish(
            {"image/png": png, "text/plain": alt},
            self._display,
            update=not new,
            metadata={"image/png": {"alt": alt}},
        )
        ended = monotonic()
        self._next_drawing = ended + (ended - started) * (1 / DRAWING_SHARE - 1)


def _publish(
    bundle: dict[str, str], place: str, *, update: bool, metadata: dict[str, Any] | None = None
) -> None:
    display(bundle, raw=True, metadata=metadata or {}, display_id=place, update=update)
