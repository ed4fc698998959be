"""A person's own images and masks: `folder:<path>`."""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from course_utils.data.image_files import FileStamp, file_stamps, list_images, read_mask
from course_utils.data.image_set import Entry, ImageSet, require_same_size
from course_utils.data.near_duplicates import survey_images
from course_utils.data.readers.masks import require_images, require_pairs

FOLDER_LAYOUT = (
    "images/ and masks/ with files of the same names; if you like, good/ for images without "
    "defects, and classes.txt with one name per line"
)
_VALUES_SHOWN = 8


def read(folder: Path) -> ImageSet:
    """Return all images below `folder`, grouped by near-duplicates.

    - `images/` and `masks/`: matched by the name before the ending.
    - `good/`: images without defects and without masks; may be left out.
    - `classes.txt`: one name per line, for mask values 1, 2, ...; background is always 0. Without
      this file a mask holds 0 and one other value, 1 or 255: `background` and `defect`.

    Every file is read once, until it changes, since only pixels show the class of an image and
    which images are near-duplicates. An image with an empty mask is good; one with several classes
    counts as the one with the most pixels. The set is gray if all its images are, else RGB.

    Raises:
        FileNotFoundError: for a missing folder or mask.
        ValueError: for a damaged image, a mask without an image, of another size or with an unknown
            value, and a faulty classes.txt. All name the file.
    """
    entries = list_entries(folder)
    names = _read_class_names(folder / "classes.txt")
    survey = survey_images([entry.image for entry in entries])
    masks = [entry.mask for entry in entries if entry.mask is not None]
    summaries = dict(zip(masks, _survey_masks(file_stamps(masks), len(names)), strict=True))
    labeled = []
    for entry, shape in zip(entries, survey.shapes, strict=True):
        label = 0
        if entry.mask is not None:
            mask_shape, label = summaries[entry.mask]
            require_same_size(entry, shape, mask_shape)
        labeled.append(Entry(entry.image, entry.mask, label, entry.name))
    return ImageSet(
        entries=labeled,
        groups=survey.groups,
        grouping="near-identical images",
        class_names=("background", *(names or ("defect",))),
        channels=survey.channels,
        read_mask=partial(_entry_classes, named_classes=len(names)),
    )


def list_entries(folder: Path) -> list[Entry]:
    """Return all images below `folder`, opening none; the labels are not known yet (0)."""
    for needed in (folder, folder / "images", folder / "masks"):
        if not needed.is_dir():
            raise FileNotFoundError(f"{needed} does not exist: want a folder with {FOLDER_LAYOUT}")
    images, masks = list_images(folder / "images"), list_images(folder / "masks")
    good = list_images(folder / "good").values() if (folder / "good").is_dir() else ()
    require_images(len(images) + len(good), folder, FOLDER_LAYOUT)
    require_pairs(images, masks, folder / "masks")
    return [
        *(Entry(path, masks[stem], 0, f"images/{path.name}") for stem, path in images.items()),
        *(Entry(path, None, 0, f"good/{path.name}") for path in good),
    ]


def read_classes(mask: Path, named_classes: int) -> np.ndarray:
    """Return the classes of a mask file, uint8, (H, W).

    With `named_classes` = 0 the mask is binary: 0 and either 1 or 255. Else it holds 0 to
    `named_classes`. Raises `ValueError` that names any other value.
    """
    values = read_mask(mask)
    found = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    if named_classes:
        unknown = found[found > named_classes]
        if len(unknown):
            raise ValueError(
                f"{mask} holds {_listed(unknown)}, but classes.txt names the values "
                f"1..{named_classes}: add a name or correct the mask"
            )
        return values
    if not (set(found.tolist()) <= {0, 1} or set(found.tolist()) <= {0, 255}):
        raise ValueError(
            f"{mask} holds {_listed(found)}: without a classes.txt a mask holds 0 and one other "
            f"value, 1 or 255. JPEG and smoothing blur masks: threshold them and save as PNG"
        )
    return (values > 0).astype(np.uint8)


def _entry_classes(entry: Entry, *, named_classes: int) -> np.ndarray:
    assert entry.mask is not None
    return read_classes(entry.mask, named_classes)


@lru_cache(maxsize=8)
def _survey_masks(
    stamps: tuple[FileStamp, ...], named_classes: int
) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Return (shape, most frequent defect class or 0) of each mask."""
    summaries = []
    for mask, *_ in stamps:
        classes = read_classes(mask, named_classes)
        counts = np.bincount(classes.ravel(), minlength=2)
        counts[0] = 0
        summaries.append((classes.shape, int(counts.argmax())))
    return tuple(summaries)


def _read_class_names(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names or "" in names or len(set(names)) < len(names) or len(names) > 255:
        raise ValueError(f"{path} must hold 1 to 255 different names, one per line, no empty line")
    if names[0].lower() == "background":
        raise ValueError(f"{path} names the background: leave it out, its value is always 0")
    return tuple(names)


def _listed(values: np.ndarray) -> str:
    shown = ", ".join(str(value) for value in values[:_VALUES_SHOWN])
    more = len(values) - _VALUES_SHOWN
    noun = "value" if len(values) == 1 else "values"
    return f"{noun} {shown}" + (f" and {more} more" if more > 0 else "")
