"""A person's own images: `folder:<path>`, with masks, sorted by hand, or good ones only."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from course_utils.data.faults import Faults
from course_utils.data.fixed_cameras import LookGroups, group_by_looks
from course_utils.data.image_files import turn
from course_utils.data.image_set import Entry, ImageSet, Parts
from course_utils.data.near_duplicates import ImageSurvey, survey_images
from course_utils.data.readers.folder.layout import FOLDER_LAYOUT, Found, list_layout
from course_utils.data.readers.folder.masks import MaskSummary, read_classes, survey_masks
from course_utils.data.readers.folder.texts import (
    ClassList,
    plain,
    read_class_list,
    read_groups,
)
from course_utils.data.readers.folder.turning import find_turned_masks

__all__ = ["FOLDER_LAYOUT", "list_entries", "read"]

_ANY_NAMES = tuple(map(str, range(1, 256)))
_MOSTLY = 0.5
"""Share of an image above which a mask marks more than a defect usually covers."""


def read(folder: Path) -> ImageSet:
    """Return all images below `folder`.

    - `images/` and `masks/`: matched by the name before the ending; the mask's may have a common
      word for masks before or after it, as `001_mask.png`.
    - `good/`: images without defects and without masks.
    - `defective/`: images with defects and without masks, whose masks come empty; folders in it are
      kinds of defects. Each of these places may be left out, but not `images/` or `masks/` alone.
    - `train/`, `val/`, `test/` around these or in each of them state the parts. Without `val/`, a
      fifth of train, in whole groups, is for validation. Folders as MVTec AD's (`test/<kind>` and
      `ground_truth/<kind>`) are understood, too.
    - `classes.txt`: one name per line, for mask values 1, 2, ...; background is always 0. Without
      this file a mask holds 0 and one other value, 1 or 255: `background` and `defect`, or the
      kinds of `defective/` by the alphabet.
    - `groups.csv`, columns `file` and `group`: which images show the same thing. Without this file
      looks decide (`group_by_looks`).
    - `exif.txt`: `shown` or `stored`, if nothing else tells how the masks of turned images lie.

    Junk of systems is passed over. How masks may be written says `masks.stored_values`. Every file
    is read once, until it changes, since only pixels show the class of an image and which images
    are near-duplicates. An image with an empty mask is good; one with several classes counts as the
    one with the most pixels. The set is gray if all its images are, else RGB. What was seen and
    done beyond that stands in `remarks`.

    Raises:
        FileNotFoundError: if all that is wrong is missing folders, images and masks.
        ValueError: for all that is wrong, file by file: damaged images, masks without an image, of
            another size or with an unknown value, faulty text files, parts without images.
    """
    faults = Faults()
    listing = list_layout(folder, faults)
    images = listing.images
    classes = ClassList(_ANY_NAMES)  # if the file is faulty, no mask is blamed for it
    with faults.collect():
        classes = read_class_list(folder / "classes.txt")
    kinds = _kinds(folder, images, classes, faults)
    names = classes.names or kinds
    entries = [_entry(folder, one, names) for one in images]
    survey = survey_images([entry.image for entry in entries], faults=faults)
    of_kinds = any(one.kind and one.mask for one in images)  # then masks say where, not what
    mask_classes = 0 if of_kinds else len(classes.names)
    masks = [entry.mask for entry in entries if entry.mask is not None]
    summaries = dict(zip(masks, survey_masks(masks, mask_classes, classes.has_void), strict=True))
    faults.add(*(summary.fault for summary in summaries.values() if summary.fault))
    turned = find_turned_masks(folder, entries, survey, summaries, faults)
    if not of_kinds:
        entries = [_labeled(entry, summaries) for entry in entries]
    stated = np.array([one.part for one in images])
    table = folder / "groups.csv"
    grouping = table.name if table.is_file() else "near-identical images"
    if table.is_file():
        with faults.collect():
            groups, group_remarks = read_groups(table, [e.name for e in entries], faults)
        faults.raise_any()
    else:
        faults.raise_any()
        look = group_by_looks([e.image for e in entries], [e.label for e in entries])
        groups, group_remarks = look.groups, ()
        if "val" not in stated:  # else no group decides anything
            group_remarks = _look_remarks(look, len(entries))
    return ImageSet(
        entries=entries,
        groups=groups,
        grouping=grouping,
        class_names=("background", *(names or ("defect",))),
        channels=survey.channels,
        read_mask=partial(
            _entry_classes,
            named_classes=mask_classes,
            has_void=classes.has_void,
            of_kinds=of_kinds,
            turned=turned.masks,
        ),
        parts=Parts(stated, "as your folders state it") if (stated != "").any() else None,
        remarks=(
            *group_remarks,
            *classes.remarks,
            *turned.remarks,
            *_mask_remarks(summaries),
            *_image_remarks(survey),
            *([f"Not read: {', '.join(listing.not_read)}."] if listing.not_read else []),
        ),
    )


def list_entries(folder: Path) -> list[Entry]:
    """Return all images below `folder`, opening none; labels that only pixels show are 0.

    Raises as `read`, but for what stands in files.
    """
    faults = Faults()
    listing = list_layout(folder, faults)
    faults.raise_any()
    return [_entry(folder, one, ()) for one in listing.images]


def _kinds(
    folder: Path, images: Sequence[Found], classes: ClassList, faults: Faults
) -> tuple[str, ...]:
    """Return the kinds of defects that folders state, by the alphabet."""
    kinds = sorted({one.kind for one in images if one.kind})
    known = set(map(plain, classes.names))
    if kinds and classes.names:
        for kind in kinds:
            if plain(kind) not in known:
                faults.add(
                    f"{folder} has a folder {kind}, which {folder / 'classes.txt'} does not name: "
                    f"add a line, or rename the folder"
                )
    elif kinds and any(one.mask and not one.kind for one in images):
        faults.add(
            f"{folder} has masks/ and kinds of defects ({', '.join(kinds)}): write "
            f"{folder / 'classes.txt'}, one name per line, for mask values 1, 2, ..."
        )
    if kinds and any(one.defective and not one.kind for one in images):
        faults.add(
            f"{folder} has defective images with a kind ({', '.join(kinds)}) and without: put each "
            f"into the folder of its kind"
        )
    return tuple(kinds)


def _entry(folder: Path, one: Found, names: Sequence[str]) -> Entry:
    label = int(one.defective)
    if one.kind:
        label = 1 + next((n for n, name in enumerate(names) if plain(name) == plain(one.kind)), 0)
    return Entry(one.image, one.mask, label, one.image.relative_to(folder).as_posix())


def _labeled(entry: Entry, summaries: Mapping[Path, MaskSummary]) -> Entry:
    return entry if entry.mask is None else replace(entry, label=summaries[entry.mask].label)


def _entry_classes(
    entry: Entry,
    *,
    named_classes: int,
    has_void: bool,
    of_kinds: bool,
    turned: Mapping[str, int],
) -> np.ndarray:
    assert entry.mask is not None
    classes = read_classes(entry.mask, named_classes, has_void)
    if of_kinds:
        classes = classes * np.uint8(entry.label)
    return np.ascontiguousarray(turn(classes, turned.get(entry.name, 1)))


def _look_remarks(look: LookGroups, count: int) -> tuple[str, ...]:
    if not look.by_difference:
        return ()
    how = "were compared by what differs from their mean image"
    if look.alone:
        how += f", and {look.alone} of them, alike in that too, stand one by one"
    return (
        f"{look.by_difference} of {count} images look alike all over, as before a fixed camera: "
        f"they {how}. This does not find two shots of one thing if it moved by a pixel between "
        f"them, so if there are such shots, state them in groups.csv (columns file,group) or put "
        f"them into train/, val/ and test/ yourself.",
    )


def _mask_remarks(summaries: Mapping[Path, MaskSummary]) -> list[str]:
    remarks = []
    void = [mask for mask, summary in summaries.items() if summary.has_void]
    if void:
        remarks.append(
            f"{len(void)} masks hold void (255, __ignore__), such as {void[0].name}: it is read as "
            f"background."
        )
    most = [mask for mask, summary in summaries.items() if summary.share > _MOSTLY]
    if most:
        remarks.append(
            f"WARNING: {len(most)} of {len(summaries)} masks mark more than half of their image as "
            f"defect, such as {most[0].name}. If defects are black there, the masks are inverted: "
            f"invert each (Pillow: ImageOps.invert(mask.convert('L'))), since 0 is the background."
        )
    return remarks


def _image_remarks(survey: ImageSurvey) -> list[str]:
    remarks = []
    sizes = Counter(survey.shapes)
    if len(sizes) > 1:
        (height, width), most = sizes.most_common(1)[0]
        low, high = min(sizes), max(sizes)
        remarks.append(
            f"Images have {len(sizes)} sizes, height x width: {most} are {height} x {width}, all "
            f"from {low[0]} x {low[1]} to {high[0]} x {high[1]}; each is stretched to the size "
            f"asked for."
        )
    gray = sum(survey.gray)
    if 0 < gray < len(survey.gray):
        remarks.append(
            f"{gray} of {len(survey.gray)} images are gray and come as RGB like the rest."
        )
    return remarks
