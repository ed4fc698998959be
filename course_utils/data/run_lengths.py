"""Masks written as runs of pixels, as in the tables of some competitions."""

import numpy as np


def decode_runs(text: str, shape: tuple[int, int], *, allow_empty: bool = False) -> np.ndarray:
    """Return the bool mask, (H, W) = `shape`, that is True within the runs of `text`.

    `text` holds whole numbers, separated by spaces: start and length of the first run, of the
    second, and so on. Pixels are counted from 1, down the first column, then down the second: the
    encoding of the Severstal competition (kaggle.com/c/severstal-steel-defect-detection,
    Evaluation). Runs may come in any order and may touch.

    Raises:
        ValueError: as `run_bounds`, and for a text without runs, unless `allow_empty` says that
            this is an empty mask.

    Example:
        >>> decode_runs("2 1 4 3", (3, 2)).astype(int).tolist()
        [[0, 1], [1, 1], [0, 1]]
    """
    starts, ends = run_bounds(text, shape)
    if not len(starts) and not allow_empty:
        raise ValueError("there are no runs: want a start and a length for each")
    # Gaps and runs take turns, beginning and ending with a gap.
    bounds = np.stack([starts, ends], axis=1).ravel()
    stretches = np.diff(bounds, prepend=0, append=shape[0] * shape[1])
    is_run = np.arange(len(stretches)) % 2 == 1
    return np.ascontiguousarray(np.repeat(is_run, stretches).reshape(shape, order="F"))


def encode_runs(mask: np.ndarray) -> str:
    """Return the runs of `mask`, (H, W), as `decode_runs` reads them: the fewest, in order.

    Raises:
        ValueError: unless `mask` is an array (H, W) of bool, or of 0 and 1.

    Example:
        >>> encode_runs(np.array([[0, 1], [1, 1], [0, 1]]))
        '2 1 4 3'
    """
    is_run = np.asarray(mask) == 1
    if is_run.ndim != 2 or (mask != is_run).any():
        raise ValueError(
            f"want one mask (H, W) of 0 and 1, got shape {is_run.shape} with values "
            f"{np.unique(mask)[:8].tolist()}: encode each class by itself, as mask == class"
        )
    column_by_column = is_run.ravel(order="F").astype(np.int8)
    bounds = np.flatnonzero(np.diff(column_by_column, prepend=0, append=0))
    starts, ends = bounds[::2], bounds[1::2]
    return " ".join(map(str, np.stack([starts + 1, ends - starts], axis=1).ravel().tolist()))


def run_bounds(text: str, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the first pixel of each run of `text` and the one after its last, sorted, from 0.

    Both are int64, (runs,). This checks the runs of a mask (H, W) = `shape` without drawing it.

    Raises:
        ValueError: for an odd number of values, a value that is no whole number from 1 on, a run
            that ends beyond the mask, and runs that overlap.

    Example:
        >>> starts, ends = run_bounds("4 3 2 1", (3, 2))
        >>> starts.tolist(), ends.tolist()
        ([1, 3], [2, 6])
    """
    values = text.split()
    for value in values:
        if not (value.isascii() and value.isdigit() and value.strip("0")):
            raise ValueError(f"{value!r} is no start or length: both are whole numbers from 1 on")
    if len(values) % 2:
        raise ValueError(f"{len(values)} values are no pairs: want a start and a length for each")
    height, width = shape
    pixels = height * width
    runs = np.array([min(int(value), pixels + 1) for value in values], np.int64)
    starts, ends = runs[::2] - 1, runs[::2] - 1 + runs[1::2]
    for run in np.flatnonzero(ends > pixels):
        raise ValueError(
            f"the run {' '.join(values[2 * run : 2 * run + 2])!r} ends beyond the {pixels} pixels "
            f"of a mask of {width} x {height}: give the size for which it was written"
        )
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], ends[order]
    for pixel in starts[1:][starts[1:] < ends[:-1]]:
        raise ValueError(f"two runs hold pixel {pixel + 1}: each pixel belongs to one run at most")
    return starts, ends
