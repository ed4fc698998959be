"""The folder of one training: what belongs to it, and what is refused."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from course_utils.trainers.configs import TrainingConfig

CONFIG, SCORES, CHECKPOINT, LOCK = "config.json", "scores.json", "checkpoint.pt", ".training.lock"
PREDICTIONS = "predictions.csv"
DATA = "data.json"
"""Which images and masks were trained on: `files`, see `data_fingerprint`, and the
`CachedDataset.fingerprint` of each part."""
FILES = ("weights", "foreground")
"""Settings that may be the path of a file."""
CHANGES_NOTHING = {"workers"}
"""Settings that may differ when a training goes on."""


def check_folder(folder: Path, config: TrainingConfig) -> None:
    """Raise unless `folder` is free for `config` or holds its training; write nothing.

    Raises:
        ValueError: if it holds a training by another config.
        FileExistsError: if it holds anything else or is a file.

    Example:
        >>> from course_utils.trainers import UNetConfig
        >>> check_folder(Path("nowhere"), UNetConfig())
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise FileExistsError(f"{nearest} is a file: choose another folder")
    if not folder.exists():
        return
    file, wanted = folder / CONFIG, config.model_dump()
    if not file.exists():
        # A process that was killed in its first write leaves a draft.
        names = sorted(path.name for path in folder.iterdir())
        others = [name for name in names if name != LOCK and not name.startswith(f".{CONFIG}.")]
        if others:
            raise FileExistsError(
                f"{folder} holds {others[0]} and no {CONFIG}: choose an empty or new folder"
            )
        return
    found = read_json(file)
    if found.keys() != wanted.keys():
        raise FileExistsError(
            f"{file} is no config of this version of course_utils: choose another folder"
        )
    different = [
        name for name in wanted if name not in CHANGES_NOTHING and found[name] != wanted[name]
    ]
    if different and is_started(folder):
        name = different[0]
        raise ValueError(
            f"{folder} holds a training with {name} {found[name]!r}, and this one has "
            f"{wanted[name]!r}: choose another folder, or delete that one"
        )


def is_started(folder: Path) -> bool:
    """Return whether a training in `folder` has left anything that another one may go on from.

    Example:
        >>> is_started(Path("nowhere"))
        False
    """
    return any(folder.glob(f"*{CHECKPOINT}")) or (folder / SCORES).exists()


def read_data(folder: Path) -> dict[str, Any]:
    """Return what the training in `folder` remembers of its images.

    Raises:
        FileExistsError: if it remembers nothing, as those of older versions do not.
        ValueError: if the file is damaged.

    Example:
        >>> read_data(Path("nowhere"))
        Traceback (most recent call last):
            ...
        FileExistsError: ...
    """
    if not (folder / DATA).exists():
        raise FileExistsError(
            f"{folder} holds a training and no {DATA}, so that its images cannot be compared: "
            "choose another folder (--out), or delete that one"
        )
    return read_json(folder / DATA)


def check_data(folder: Path, data: str, found: Mapping[str, str]) -> None:
    """Raise unless the training in `folder` has seen these images and files.

    Args:
        folder: that of the training.
        data: name of the data set, for the error.
        found: the fingerprint of each part, and of each file of `FILES`.

    Raises:
        ValueError: if images, masks, labels or groups of a part, or a file, are others now.
        FileExistsError: as `read_data` does.
    """
    there = read_data(folder)
    parts = [name for name, digest in found.items() if there.get(name) != digest]
    if parts:
        files = [name for name in parts if name in FILES]
        what = f"file of {files[0]} has" if files else f"images or masks of {data} have"
        raise ValueError(
            f"the {what} changed since the training in {folder} ({', '.join(parts)}): choose "
            "another folder (--out), or delete that one to train anew"
        )


def read_scores(folder: Path) -> dict[str, float]:
    """Return the scores of the finished training in `folder`.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: if the file is damaged.

    Example:
        >>> read_scores(Path("nowhere"))
        Traceback (most recent call last):
            ...
        FileNotFoundError: ...
    """
    scores = read_json(folder / SCORES).get("scores")
    if not isinstance(scores, dict):
        raise ValueError(f"{folder / SCORES} holds no scores: delete it to score the test again")
    return {name: math.nan if value is None else value for name, value in scores.items()}


def collect_scores(out: Path) -> list[dict[str, Any]]:
    """Return a row for each finished training in `out`/NAME/seed_N: its config and its scores.

    `weights_used` says which weights an encoder had in the end. A score that is not defined, of a
    class that the test images do not show, is None.

    Example:
        >>> collect_scores(Path("nowhere"))
        []
    """
    found = sorted(
        (file.parent for file in out.glob(f"*/seed_*/{SCORES}")),
        key=lambda folder: (folder.parent.name, len(folder.name), folder.name),
    )
    return [_row(folder) for folder in found]


def _row(folder: Path) -> dict[str, Any]:
    report = read_json(folder / SCORES)
    used = {name: report[name] for name in ("weights_used",) if name in report}
    return read_json(folder / CONFIG) | used | without_nan(read_scores(folder))


def without_nan(scores: dict[str, float]) -> dict[str, float | None]:
    """Return `scores` with None for NaN, which JSON does not have.

    Example:
        >>> without_nan({"iou": 0.5, "ap": math.nan})
        {'iou': 0.5, 'ap': None}
    """
    return {name: None if math.isnan(value) else value for name, value in scores.items()}


def read_json(file: Path) -> dict[str, Any]:
    """Return what a file of a run folder holds.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is damaged, or something else.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}): choose another folder") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file} is not of a training of this course: choose another folder")
    return found
