"""Steel strips of the Severstal competition (Kaggle, 2019): masks as runs in a table."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from course_utils.data.image_files import JPEG_SUFFIXES, FileStamp, file_stamps, list_by_suffix
from course_utils.data.image_set import Entry, ImageSet
from course_utils.data.near_duplicates import survey_images
from course_utils.data.readers.masks import require_folder, require_images
from course_utils.data.registry import SEVERSTAL
from course_utils.data.run_lengths import decode_runs, run_bounds

_SIZE = (256, 1600)
"""(height, width) of every image; without it the runs mean nothing."""
_COLUMNS = ("ImageId", "ClassId", "EncodedPixels")
_EARLY_COLUMNS = ("ImageId_ClassId", "EncodedPixels")
"""Of the table at the competition's start, with a row for each image and class, many empty."""

Runs = Mapping[str, Mapping[int, str]]
"""Text of the runs by image file name and class."""


def read(folder: Path) -> ImageSet:
    """Return the images of `train_images/`, grouped by near-duplicates.

    All rows of an image make up its mask. Where two classes claim a pixel, it goes to the one that
    has fewer pixels in this image (at a draw, to the higher number), so that a small defect on a
    large one is not lost. The label is the class with the most pixels of the mask, and 0 without
    any row. Both versions of the table are read: ImageId, ClassId, EncodedPixels, and the early
    ImageId_ClassId, EncodedPixels, in which an empty row says that there is none of this class.

    Every image is opened once, to find near-duplicates: a minute or two for all 12 568, and not
    again until a file changes. Lighting, and the black beyond the edge of a strip, can make
    different strips look alike, so a group may hold more than one strip.

    Raises:
        FileNotFoundError: for a missing folder, table or image.
        ValueError: for a damaged image, an image of another size than 1600 x 256 that has runs,
            and, naming the line, a row that repeats another, names no class or an image that is not
            there, or has faulty runs.
    """
    entries = list_entries(folder)
    survey = survey_images([entry.image for entry in entries])
    for entry, shape in zip(entries, survey.shapes, strict=True):
        if entry.mask is not None and shape != _SIZE:
            raise ValueError(
                f"{entry.image} is {shape[1]} x {shape[0]} pixels, but the runs of "
                f"{entry.mask.name} count the pixels of {_SIZE[1]} x {_SIZE[0]}: take the images "
                f"as published"
            )
    table = folder / "train.csv"
    runs, labels = _runs_and_labels(*file_stamps([table]))
    return ImageSet(
        entries=[replace(entry, label=labels.get(entry.image.name, 0)) for entry in entries],
        groups=survey.groups,
        grouping="near-identical images",
        class_names=SEVERSTAL.class_names,
        channels=1,
        read_mask=MasksFromRuns(runs),
    )


def list_entries(folder: Path) -> list[Entry]:
    """Return all images of `train_images/`, opening none; the labels are not known yet (0).

    The mask of an image with runs is the table. Errors as above, but for sizes and faulty runs.
    """
    image_folder, table = folder / "train_images", folder / "train.csv"
    require_folder(image_folder, SEVERSTAL.layout)
    if not table.is_file():
        raise FileNotFoundError(f"{table} is missing: want {SEVERSTAL.layout}")
    images = {path.name: path for path in list_by_suffix(image_folder, JPEG_SUFFIXES)[0].values()}
    require_images(len(images), image_folder, SEVERSTAL.layout)
    marked = set()
    for row in _rows(*file_stamps([table])):
        if row.image not in images:
            raise _wrong(table, row.line, f"there is no image {image_folder / row.image}")
        if row.runs:
            marked.add(row.image)
    return [
        Entry(path, table if name in marked else None, 0, path.stem)
        for name, path in images.items()
    ]


@dataclass(frozen=True)
class MasksFromRuns:
    """Draws the masks of images from their runs; what `ImageSet.read_mask` asks for."""

    runs: Runs

    def __call__(self, entry: Entry) -> np.ndarray:
        """Return uint8 classes, (256, 1600)."""
        return _draw(self.runs[entry.image.name])


class _Row(NamedTuple):
    line: int
    image: str
    label: int
    runs: str
    """Empty if there are none, in the early version of the table."""


@lru_cache(maxsize=2)
def _runs_and_labels(table: FileStamp) -> tuple[Runs, Mapping[str, int]]:
    """Return the runs, and the label, of each image that has any."""
    runs: dict[str, dict[int, str]] = {}
    labels: dict[str, int] = {}
    for row in _rows(table):
        try:
            run_bounds(row.runs, _SIZE)
        except ValueError as error:
            raise _wrong(table[0], row.line, str(error)) from error
        if row.runs:
            runs.setdefault(row.image, {})[row.label] = row.runs
    for image, by_class in runs.items():
        labels[image] = min(by_class)
        if len(by_class) > 1:
            labels[image] = int(np.bincount(_draw(by_class).ravel())[1:].argmax()) + 1
    return runs, labels


def _draw(runs: Mapping[int, str]) -> np.ndarray:
    covered = {label: decode_runs(text, _SIZE) for label, text in runs.items()}
    mask = np.zeros(_SIZE, np.uint8)
    for label in sorted(covered, key=lambda label: (-covered[label].sum(), label)):
        mask[covered[label]] = label
    return mask


@lru_cache(maxsize=2)
def _rows(table: FileStamp) -> tuple[_Row, ...]:
    path = table[0]
    rows: dict[tuple[str, int], _Row] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            columns = next(reader, [])
            if sorted(columns) not in (sorted(_COLUMNS), sorted(_EARLY_COLUMNS)):
                wanted = f"{', '.join(_COLUMNS)} (or {', '.join(_EARLY_COLUMNS)})"
                raise _wrong(path, 1, f"want the columns {wanted}, got {', '.join(columns)}")
            for values in filter(None, reader):  # the last line may be empty
                row = _row(path, reader.line_num, columns, values)
                first = rows.setdefault((row.image, row.label), row)
                if first is not row:
                    raise _wrong(
                        path,
                        row.line,
                        f"{row.image}, class {row.label} is in line {first.line} already",
                    )
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path} cannot be read after line {reader.line_num} ({error}): want the table as "
                f"published, values separated by commas, in UTF-8"
            ) from error
    return tuple(rows.values())


def _row(path: Path, line: int, columns: list[str], values: list[str]) -> _Row:
    if len(values) != len(columns):
        raise _wrong(path, line, f"want {len(columns)} values, got {len(values)}")
    value = dict(zip(columns, values, strict=True))
    early = _EARLY_COLUMNS[0] in value
    if early:
        value["ImageId"], _, value["ClassId"] = value[_EARLY_COLUMNS[0]].rpartition("_")
    known = {str(label): label for label in range(1, len(SEVERSTAL.class_names))}
    if value["ClassId"] not in known:
        raise _wrong(path, line, f"want a class from 1 to {len(known)}, got {value['ClassId']!r}")
    runs = value["EncodedPixels"].strip()
    if not runs and not early:
        raise _wrong(path, line, "there are no runs: an image without defects has no row")
    return _Row(line, value["ImageId"], known[value["ClassId"]], runs)


def _wrong(table: Path, line: int, what: str) -> ValueError:
    return ValueError(f"{table}, line {line}: {what}")
