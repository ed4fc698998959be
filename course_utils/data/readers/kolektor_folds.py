"""The three folds of KolektorSDD: those of its authors from their file, or our own."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

FOLDS = 3
_PLAIN = {"set": set, "frozenset": frozenset}  # containers that older pickles name as functions


def read_folds(split_file: Path, items: set[str]) -> dict[str, int]:
    """Return the fold, 1 to 3, in which each of `items` is tested, from the authors' split file.

    The file is a pickle of (items to train on, items to test on, all items), the first two with
    one list of names for each fold. Opening a pickle can run any code in it, so this one is opened
    by a reader that knows lists, tuples, dicts, sets, texts and numbers, and refuses all else.

    Raises:
        ValueError: naming the file, if it holds anything else or is damaged, if an item is tested
            in no fold or in two, is trained on where it is tested, or has no images here.
    """
    train, test = _two_lists_of_folds(split_file, _read_plain(split_file))
    fold_of: dict[str, int] = {}
    for number, names in enumerate(test, start=1):
        for name in sorted(names):
            if name in fold_of:
                raise _wrong(split_file, f"tests {name} in folds {fold_of[name]} and {number}")
            if name in train[number - 1]:
                raise _wrong(split_file, f"both trains and tests on {name} in fold {number}")
            fold_of[name] = number
    for name in sorted(set(fold_of) ^ items):
        raise _wrong(
            split_file,
            f"tests {name} in no fold" if name in items else f"lists {name}, which is not here",
        )
    return fold_of


def deal_folds(groups: Sequence[str]) -> np.ndarray:
    """Return the fold, (N,) in 1 to 3, of each item: groups are dealt out in turn, by name.

    Every item of the set has one or two defects, so folds with as many items are balanced, too.

    Example:
        >>> deal_folds(["kos01", "kos02", "kos03", "kos04", "kos01"]).tolist()
        [1, 2, 3, 1, 1]
    """
    return np.unique(groups, return_inverse=True)[1] % FOLDS + 1


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in ("builtins", "__builtin__") and name in _PLAIN:
            return _PLAIN[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _read_plain(split_file: Path) -> Any:
    try:
        with split_file.open("rb") as file:
            return _PlainUnpickler(file).load()
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise almost anything
        raise _wrong(split_file, f"is no pickle of plain lists and names ({error})") from error


def _two_lists_of_folds(split_file: Path, content: Any) -> tuple[list[set[str]], list[set[str]]]:
    if not isinstance(content, list | tuple) or len(content) != 3:
        raise _wrong(split_file, "does not hold (train, test, all)")
    train, test = (_names_by_fold(part) for part in content[:2])
    if train is None or test is None:
        raise _wrong(split_file, f"does not hold {FOLDS} lists of item names for train and test")
    return train, test


def _names_by_fold(part: Any) -> list[set[str]] | None:
    if not isinstance(part, list | tuple) or len(part) != FOLDS:
        return None
    for names in part:
        if not isinstance(names, list | tuple | set | frozenset):
            return None
        if not all(isinstance(name, str) for name in names):
            return None
    return [set(names) for names in part]


def _wrong(split_file: Path, what: str) -> ValueError:
    return ValueError(
        f"{split_file} {what}: take split.pyb of KolektorSDD-training-splits.zip as it was "
        f"published, or take it away for folds made by this course"
    )
