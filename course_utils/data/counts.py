"""How often each class occurs, and what weight that gives it in a loss."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Literal, get_args

import numpy as np
import torch

from course_utils.data.samples import Sample

Scheme = Literal["inverse", "balanced", "median_frequency", "sqrt", "effective_number"]


def count_pixels(
    source: Any,
    num_classes: int,
    *,
    batches: int | None = None,
    one_hot_axis: int | None = None,
    ignore_index: int | None = None,
) -> np.ndarray:
    """Return the number of pixels of each class in `source`, int64, (num_classes,).

    `source` is one of

    - an integer array or tensor of any shape, holding classes 0..num_classes-1;
    - a data set or a sequence, of `Sample`, of (image, mask) or of masks. A list counts as a pair
      only if it holds arrays or tensors, else it is a mask, row by row;
    - a `DataLoader` or another iterable of batches of these. An iterator may have no end and does
      not know its length, so it needs `batches`, the number of batches that make up the set.

    `batches` also limits a source that has a length. With `one_hot_axis`, masks are one-hot along
    that axis: exactly one 1 per pixel, any number type. Pixels of the value `ignore_index` (255,
    say) are not counted; one-hot masks have no such value.

    Raises:
        ValueError: for values outside the range (naming them), fewer batches than asked for, masks
            that hold no whole numbers, a source without pixels that count, or `one_hot_axis` and
            `ignore_index` together.
        TypeError: for what cannot be iterated.

    Example:
        >>> count_pixels(np.array([[0, 0], [2, 0]]), 3).tolist()
        [3, 0, 1]
        >>> count_pixels(np.array([[0, 0], [1, 255]]), 2, ignore_index=255).tolist()
        [2, 1]
        >>> endless = (np.array([0, 1]) for _ in iter(int, 1))
        >>> count_pixels(endless, 2, batches=5).tolist()
        [5, 5]
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    if one_hot_axis is not None and ignore_index is not None:
        raise ValueError(
            "a one-hot mask holds 0 and 1, and no value to ignore: pass one_hot_axis or "
            f"ignore_index, got {one_hot_axis} and {ignore_index}"
        )
    counts = np.zeros(num_classes, np.int64)
    if _is_array(source):
        counts += _count(source, num_classes, one_hot_axis, ignore_index, "the mask")
    else:
        for position, item in enumerate(_items(source, batches)):
            mask = _mask_of(item)
            counts += _count(mask, num_classes, one_hot_axis, ignore_index, f"item {position}")
    if not counts.any():
        raise ValueError("the source holds no pixels that count: there is nothing to count")
    return counts


def class_weights(
    counts: np.ndarray | torch.Tensor | Iterable[int],
    scheme: Scheme = "balanced",
    *,
    cap: float | None = None,
    absent: Literal["error", "zero"] = "error",
    beta: float = 0.9999,
) -> torch.Tensor:
    """Return a weight for each class from its number of pixels, float32, (K,).

    With n_c the count of class c, N their sum and K the number of classes that occur:

    - `"inverse"`: N / n_c. At least 1, without bound.
    - `"balanced"`: N / (K n_c), as scikit-learn. The average weight of a pixel is 1.
    - `"median_frequency"`: median(n) / n_c. The class in the middle weighs 1. (Eigen and Fergus,
      ICCV 2015, section 6.3.2, who count only images that hold the class.)
    - `"sqrt"`: proportional to 1 / sqrt(n_c), scaled so that the average weight of a pixel is 1.
    - `"effective_number"`: proportional to (1 - beta) / (1 - beta^n_c), scaled to sum to K (Cui et
      al., CVPR 2019, section 3.2). Beyond 1 / (1 - beta) pixels all classes weigh the same, so
      pixel counts want a beta much nearer to 1 than image counts.

    `cap` then lowers every weight above `cap` times the smallest to that value; nothing is scaled
    afterwards. Count over the whole training set: weights per batch explode on a class that has
    one pixel in it. A class that never occurs is an error, or with `absent="zero"` weighs 0.

    Raises:
        ValueError: for counts that are not whole numbers >= 0, an absent class, or an option out of
            range.

    Example:
        >>> class_weights([90, 10], "inverse").tolist()
        [1.1111111640930176, 10.0]
        >>> class_weights([90, 10], "balanced", cap=5)
        tensor([0.5556, 2.7778])
    """
    number = _checked_counts(counts)
    if absent not in ("error", "zero"):
        raise ValueError(f'absent must be "error" or "zero", got {absent!r}')
    if cap is not None and not cap >= 1:
        raise ValueError(f"cap must be at least 1 (largest by smallest weight), got {cap}")
    if not 0 <= beta < 1:
        raise ValueError(f"beta must lie in [0, 1), got {beta}")
    present = number > 0
    if absent == "error" and not present.all():
        raise ValueError(
            f"class {_listed(np.flatnonzero(~present))} never occurs, so no finite weight balances "
            f'it: count more images, or pass absent="zero" to leave it out of the loss'
        )
    weights = np.zeros(len(number))
    weights[present] = _weights(number[present], scheme, beta)
    if cap is not None:
        weights = np.minimum(weights, cap * weights[present].min())
    return torch.tensor(weights, dtype=torch.float32)


def _weights(number: np.ndarray, scheme: str, beta: float) -> np.ndarray:
    match scheme:
        case "inverse":
            return number.sum() / number
        case "balanced":
            return number.sum() / (len(number) * number)
        case "median_frequency":
            return np.median(number) / number
        case "sqrt":
            return number.sum() / np.sqrt(number).sum() / np.sqrt(number)
        case "effective_number":
            raw = (1 - beta) / (1 - beta**number)
            return raw * len(number) / raw.sum()
    known = ", ".join(get_args(Scheme))
    raise ValueError(f"scheme {scheme!r} is unknown: choose one of {known}")


def _checked_counts(counts: np.ndarray | torch.Tensor | Iterable[int]) -> np.ndarray:
    if isinstance(counts, torch.Tensor):
        counts = counts.detach().cpu().numpy()
    number = np.asarray(counts if isinstance(counts, np.ndarray) else list(counts), np.float64)
    whole = number.ndim == 1 and np.isfinite(number).all() and (number == np.floor(number)).all()
    if not whole or (number < 0).any() or not number.any():
        raise ValueError(
            f"counts must be one whole number >= 0 per class, not all 0, got {number.tolist()}"
        )
    return number


def _items(source: Any, batches: int | None) -> Iterator[Any]:
    if batches is not None and batches < 1:
        raise ValueError(f"batches must be at least 1, got {batches}")
    try:
        length = len(source)
    except TypeError:  # as iterators do, and loaders of data sets without a length
        length = None
    if length is None and batches is None:
        raise ValueError(
            f"a {type(source).__name__} does not say where the set ends: pass batches=, the "
            f"number of batches that make up the set"
        )
    done = 0
    # Never past the length: Python iterates over a data set until an IndexError, and not every
    # data set raises one.
    for item in islice(source, length if batches is None else batches):
        done += 1
        yield item
    if batches is not None and done < batches:
        raise ValueError(f"the source ended after {done} of {batches} batches")


def _mask_of(item: Any) -> Any:
    if isinstance(item, Sample):
        return item.mask
    if isinstance(item, tuple) or (isinstance(item, list) and any(map(_is_array, item))):
        if len(item) != 2:
            raise ValueError(
                f"an item must be a Sample, (image, mask) or a mask, got {len(item)} things"
            )
        return item[1]
    return item


def _is_array(thing: Any) -> bool:
    return isinstance(thing, np.ndarray | torch.Tensor)


def _count(
    mask: Any, num_classes: int, one_hot_axis: int | None, ignore_index: int | None, what: str
) -> np.ndarray:
    if isinstance(mask, torch.Tensor):
        if mask.dtype == torch.bfloat16:  # NumPy has no such type
            mask = mask.float()
        mask = mask.detach().cpu().numpy()
    values = np.asarray(mask)
    if not values.size:
        return np.zeros(num_classes, np.int64)
    if one_hot_axis is not None:
        return _count_one_hot(values, num_classes, one_hot_axis, what)
    if values.dtype.kind not in "iub":
        raise ValueError(
            f"{what} holds {values.dtype} values, classes must be whole numbers: threshold soft "
            f"masks, cast to an integer type, or name the one_hot_axis"
        )
    if ignore_index is not None:
        values = values[values != ignore_index]
        if not values.size:
            return np.zeros(num_classes, np.int64)
    if values.min() < 0 or values.max() >= num_classes:
        outside = np.unique(values[(values < 0) | (values >= num_classes)])
        raise ValueError(
            f"{what} holds {_listed(outside)}, outside the classes 0..{num_classes - 1}"
        )
    return np.bincount(values.ravel(), minlength=num_classes)


def _count_one_hot(values: np.ndarray, num_classes: int, axis: int, what: str) -> np.ndarray:
    if not -values.ndim <= axis < values.ndim or values.shape[axis] != num_classes:
        raise ValueError(
            f"{what} has shape {values.shape}: axis {axis} must hold the {num_classes} classes"
        )
    classes_last = np.moveaxis(values, axis, -1).reshape(-1, num_classes)
    is_one = classes_last == 1
    if not ((is_one | (classes_last == 0)).all() and (is_one.sum(axis=1) == 1).all()):
        raise ValueError(f"{what} is not one-hot along axis {axis}: each pixel needs exactly one 1")
    return is_one.sum(axis=0)


def _listed(values: np.ndarray, most: int = 8) -> str:
    shown = ", ".join(str(value) for value in values[:most].tolist())
    return shown + (f" and {len(values) - most} more" if len(values) > most else "")
