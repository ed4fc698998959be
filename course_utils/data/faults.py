"""All faults of a set of files at once, since people mend files one round at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

MOST_SHOWN = 20


class Faults:
    """What is wrong with the files of a set: each fault names file, cause and cure.

    Example:
        >>> faults = Faults()
        >>> for text in ("1", "one", "2.0"):
        ...     with faults.collect():
        ...         number = int(text)
        >>> faults.raise_any()
        Traceback (most recent call last):
        ...
        ValueError: 2 faults:
          invalid literal for int() with base 10: 'one'
          invalid literal for int() with base 10: '2.0'
    """

    def __init__(self) -> None:
        self.found: list[Exception] = []

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keep a `ValueError` or `OSError` of the block, and go on after it."""
        try:
            yield
        except (ValueError, OSError) as error:
            self.found.append(error)

    def add(self, *texts: str) -> None:
        """Keep faults that are known by their text."""
        self.found += map(ValueError, texts)

    def raise_any(self) -> None:
        """Raise one error that lists all faults, if there are any.

        It is a `FileNotFoundError` if all of them say that something is missing, else a
        `ValueError`.
        """
        if self.found:
            missing = all(isinstance(fault, FileNotFoundError) for fault in self.found)
            texts = [str(fault) for fault in self.found]
            raise (FileNotFoundError if missing else ValueError)(fault_list(texts))


def fault_list(faults: Sequence[str], most: int = MOST_SHOWN) -> str:
    r"""Return `faults` as lines, at most `most` of them and how many more; one stands for itself.

    Example:
        >>> fault_list(["a.png is damaged", "b.png is damaged", "c.png is damaged"], most=1)
        '3 faults:\n  a.png is damaged\n  and 2 more'
    """
    if len(faults) == 1:
        return faults[0]
    more = [f"and {len(faults) - most} more"] if len(faults) > most else []
    return "\n  ".join([f"{len(faults)} faults:", *faults[:most], *more])
