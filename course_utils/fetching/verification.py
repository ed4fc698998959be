"""Look through a data set on disk: is all there, can all be opened, do masks fit and mean it?"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from course_utils.data import Entry, ImageSet, read_image_set
from course_utils.data.image_files import read_mask
from course_utils.fetching.published import Part, PublishedSet


@dataclass
class Findings:
    """What a look through one part of a data set found."""

    name: str
    """As on the command line: `mvtec_ad/bottle`."""
    images: int = 0
    faults: list[str] = field(default_factory=list)
    """What is wrong; empty if nothing is."""
    notes: list[str] = field(default_factory=list)
    """What is worth knowing and not wrong."""


def verify(
    published: PublishedSet,
    part: Part,
    root: Path,
    *,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Findings:
    """Compare `part`, as it lies below `root`, with what was published, and open all of it.

    Counted are the images of each split and class, and defects without a marked pixel. Each image
    and its mask is read: both must be whole and of one size, and mask files hold values that were
    published. `tick` is called with how many of how many images were opened.
    """
    from course_utils.data import ImageMaskDataset  # and torch, which listing sets does not need

    findings = Findings(published.name_of(part))
    try:
        images = read_image_set(part.opens, root, **part.options)
    except (ValueError, OSError) as error:
        findings.faults.append(str(error))
        return findings
    findings.images = len(images.entries)
    _compare_counts(part, images, findings)
    dataset = ImageMaskDataset(
        images, np.arange(len(images.entries)), size=(8, 8), split_note="All images."
    )
    empty = []
    for done, (entry, fault) in enumerate(zip(images.entries, dataset.faults(), strict=True), 1):
        fault = fault or _odd_value(part, entry)
        if fault:
            findings.faults.append(fault)
        elif entry.label and entry.mask and not images.read_mask(entry).any():
            empty.append(entry)
        tick(done, len(images.entries))
    if len(empty) != part.empty_masks:
        which = f", such as that of {empty[0].name}" if empty else ""
        findings.faults.append(
            f"{len(empty)} masks of defective images are empty{which}; published are "
            f"{part.empty_masks}"
        )
    return findings


def count_images(images: ImageSet) -> Counter[str]:
    """Return how many images there are of each kind, under all names that apply.

    These are `"good"`, `"defective"` and the names of the classes; `"train"` and `"test"` where
    the authors split the set, alone and before one of the others, as in `"test good"`; and
    `"in banded"` for the folder that an image's name begins with.
    """
    counts: Counter[str] = Counter()
    for index, entry in enumerate(images.entries):
        kinds = ["good"] if entry.label == 0 else ["defective", images.class_names[entry.label]]
        if images.parts is not None:
            part = str(images.parts.part_of[index])
            kinds += [part, *(f"{part} {kind}" for kind in kinds)]
        folder, slash, _ = entry.name.partition("/")
        if slash:
            kinds.append(f"in {folder}")
        counts.update(kinds)
    return counts


def _compare_counts(part: Part, images: ImageSet, findings: Findings) -> None:
    found = count_images(images)
    absent = [kind for kind in part.counts if not found[kind]] if part.partial else []
    if absent:
        findings.notes.append(
            f"{len(absent)} of {len(part.counts)} folders are not here, such as "
            f"{absent[0].removeprefix('in ')}"
        )
    for kind, wanted in part.counts.items():
        if kind not in absent and found[kind] != wanted:
            findings.faults.append(f"{found[kind]} images {kind}, published are {wanted}")


def _odd_value(part: Part, entry: Entry) -> str:
    """Return what is wrong with the values of a mask file, or nothing."""
    if part.mask_values is None or entry.mask is None:
        return ""
    odd = set(np.unique(read_mask(entry.mask)).tolist()) - part.mask_values
    wanted = " and ".join(map(str, sorted(part.mask_values)))
    return f"{entry.mask} holds the value {min(odd)}: published are {wanted}" if odd else ""
