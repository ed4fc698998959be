"""Images and masks that lie on disk, as a data set of `Sample`."""

import hashlib
import pickle
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from course_utils.data.disk_cache import load_or_make
from course_utils.data.image_files import (
    file_stamps,
    read_gray,
    read_image,
    resize_image,
    resize_mask,
)
from course_utils.data.image_set import Entry, ImageSet, require_same_size
from course_utils.data.samples import Sample

_FAULTS_SHOWN = 20


class ImageMaskDataset(Dataset[Sample]):
    """Some entries of an `ImageSet`, read from disk at each access.

    Images are stretched to `size` (height, width), averaged where they shrink; masks keep hard
    classes (nearest). Where the file of an image is larger than what is left of it, image and mask
    are read once, and kept on disk for the next time (see `disk_cache`).

    The data set pickles. Reading raises `ValueError` naming the file that is damaged, does not fit
    its mask, or holds a class that there is not.
    """

    def __init__(
        self,
        image_set: ImageSet,
        indices: Sequence[int] | np.ndarray,
        *,
        size: tuple[int, int],
        split_note: str,
    ) -> None:
        self.class_names: Sequence[str] = image_set.class_names
        self.channels = image_set.channels
        self.split_note = split_note
        self.size = size
        self.entries = [image_set.entries[index] for index in indices]
        self.groups = _group_names(image_set, indices)
        self._read_mask = image_set.read_mask

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside a data set of {len(self)} images")
        index %= len(self)
        entry = self.entries[index]
        image, mask = self._kept_pixels(entry)
        planes = image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)
        return Sample(
            image=torch.from_numpy(np.ascontiguousarray(planes)).float().div_(255),
            mask=torch.from_numpy(mask).long(),
            label=entry.label,
            group=self.groups[index],
            name=entry.name,
        )

    def validate(self) -> None:
        """Read every file once.

        Raises one `ValueError` that lists all files that cannot be used.
        """
        faults = [fault for fault in self.faults() if fault]
        if faults:
            hidden = len(faults) - _FAULTS_SHOWN
            shown = faults[:_FAULTS_SHOWN] + ([f"and {hidden} more"] if hidden > 0 else [])
            raise ValueError(
                f"{len(faults)} of {len(self)} images cannot be used:\n  " + "\n  ".join(shown)
            )

    def faults(self) -> Iterator[str]:
        """Read one image and its mask after the other; yield why it cannot be used, or nothing."""
        for entry in self.entries:
            try:
                self._pixels(entry)
                yield ""
            except (ValueError, OSError) as error:
                yield str(error)

    def _kept_pixels(self, entry: Entry) -> Sequence[np.ndarray]:
        """Return what `_pixels` does, from the disk cache where that pays."""
        stamps = file_stamps([path for path in (entry.image, entry.mask) if path])
        height, width = self.size
        if stamps[0][2] <= height * width * (self.channels + 1):
            return self._pixels(entry)
        return load_or_make("pixels", (*self._reading, entry), stamps, lambda: self._pixels(entry))

    @cached_property
    def _reading(self) -> tuple[object, ...]:
        """What the pixels depend on besides the files of an entry."""
        how = hashlib.sha256(pickle.dumps(self._read_mask)).hexdigest()  # it may hold all masks
        return (how, self.size, self.channels)

    def _pixels(self, entry: Entry) -> tuple[np.ndarray, np.ndarray]:
        """Return the image, uint8 (h, w) or (h, w, 3), and the mask, uint8 (h, w)."""
        image = read_gray(entry.image) if self.channels == 1 else _read_color(entry.image)
        mask = self._read_mask(entry) if entry.mask else np.zeros(image.shape[:2], np.uint8)
        require_same_size(entry, image.shape[:2], mask.shape)
        return resize_image(image, self.size), resize_mask(mask, self.size)


def _read_color(path: Path) -> np.ndarray:
    image = read_image(path)
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def _group_names(image_set: ImageSet, indices: Sequence[int] | np.ndarray) -> list[str]:
    # Named after its first image in the whole set, hence the same in every split.
    first = dict(zip(image_set.groups[::-1], image_set.entries[::-1], strict=True))
    return [first[image_set.groups[index]].name for index in indices]
