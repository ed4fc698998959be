"""Toy panes of glass: a folder for each pane, with its shots and their masks side by side."""

from pathlib import Path

import numpy as np

from course_utils.data.image_files import list_by_suffix
from course_utils.data.image_set import Entry, ImageSet
from course_utils.data.readers.masks import (
    label_by_masks,
    nonzero_mask_classes,
    require_folder,
    require_images,
    require_pairs,
)
from course_utils.data.registry import TOY_GLASS

_MASK_ENDING = "_defect"


def read(folder: Path) -> ImageSet:
    """Return all shots below `folder`, gray, grouped by pane; every mask is read for its label.

    Raises:
        FileNotFoundError: for a missing or empty folder and a missing mask.
        ValueError: for a mask without an image and a file that is no PNG.
    """
    entries = list_entries(folder)
    panes = [entry.image.parent.name for entry in entries]
    return ImageSet(
        entries=label_by_masks(entries),
        groups=np.unique(panes, return_inverse=True)[1],
        grouping="shots of one pane",
        class_names=TOY_GLASS.class_names,
        channels=1,
        read_mask=nonzero_mask_classes,
    )


def list_entries(folder: Path) -> list[Entry]:
    """Return all shots below `folder`, opening none; the labels are not known yet (0)."""
    require_folder(folder, TOY_GLASS.layout)
    panes = sorted(p for p in folder.glob("pane_*") if p.is_dir())
    require_images(len(panes), folder, TOY_GLASS.layout)
    return [entry for pane in panes for entry in _list_pane(pane)]


def _list_pane(pane: Path) -> list[Entry]:
    (files,) = list_by_suffix(pane, (".png",))
    images = {stem: path for stem, path in files.items() if not stem.endswith(_MASK_ENDING)}
    masks = {
        stem.removesuffix(_MASK_ENDING): path
        for stem, path in files.items()
        if stem.endswith(_MASK_ENDING)
    }
    require_images(len(files), pane, TOY_GLASS.layout)
    require_pairs(images, masks, pane, mask_ending=_MASK_ENDING)
    return [Entry(path, masks[stem], 0, f"{pane.name}/{stem}") for stem, path in images.items()]
