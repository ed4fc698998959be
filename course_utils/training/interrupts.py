"""Ctrl-C between two steps, and not within one."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class StepInterrupts:
    """While entered, a step finishes before an interrupt (Ctrl-C, SIGINT) takes effect.

    Steps are marked with `with interrupts.step():`. An interrupt that comes within one takes
    effect at its end, or at once when it comes a second time; outside of steps it takes effect at
    once. `finish` is called before the `KeyboardInterrupt` leaves, if every step that was begun
    has ended well. Without `finish`, and in other threads than the main one (interrupts reach only
    that), nothing changes.

    Example:
        >>> before = signal.signal(signal.SIGINT, signal.default_int_handler)
        >>> try:
        ...     with StepInterrupts(finish=lambda: print("saved")) as interrupts:
        ...         with interrupts.step():
        ...             signal.raise_signal(signal.SIGINT)
        ...             print("the step goes on")
        ... except KeyboardInterrupt:
        ...     print("interrupted")
        the step goes on
        saved
        interrupted
        >>> _ = signal.signal(signal.SIGINT, before)
    """

    def __init__(self, finish: Callable[[], None] | None) -> None:
        self._finish = finish
        self._complete = True
        self._within = False
        self._asked = False
        self._previous: Any = None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Mark a step that is not to be interrupted."""
        self._complete, self._within = False, True
        yield
        self._complete, self._within = True, False
        if self._asked:
            self._previous(signal.SIGINT, None)

    def __enter__(self) -> "StepInterrupts":
        previous = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        if self._finish and main and callable(previous):
            self._previous = previous
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
        if self._finish and kind is KeyboardInterrupt and self._complete:
            self._finish()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._within and not self._asked:
            self._asked = True
        else:
            self._previous(number, frame)
