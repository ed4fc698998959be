"""Images and masks that lie on disk, as a data set of `Sample`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from course_utils.data.image_files import read_gray, read_image, resize_image, resize_mask
from course_utils.data.image_set import ImageSet, require_same_size
from course_utils.data.samples import Sample

_FAULTS_SHOWN = 20


class ImageMaskDataset(Dataset[Sample]):
    """Some entries of an `ImageSet`, read from disk at each access.

    Images are stretched to `size` (height, width), averaged where they shrink; masks keep hard
    classes (nearest). With `cache=True`, resized images and masks stay in memory as uint8 after
    their first reading: (channels + 1) * height * width bytes each. Worker processes of a
    `DataLoader` share what was read before they started: call `validate()` first.

    The data set pickles, with what it has in its cache. Reading raises `ValueError` naming the
    file that is damaged, does not fit its mask, or holds a class that there is not.
    """

    def __init__(
        self,
        image_set: ImageSet,
        indices: Sequence[int] | np.ndarray,
        *,
        size: tuple[int, int],
        split_note: str,
        cache: bool = False,
    ) -> None:
        self.class_names: Sequence[str] = image_set.class_names
        self.channels = image_set.channels
        self.split_note = split_note
        self.size = size
        self.entries = [image_set.entries[index] for index in indices]
        self.groups = _group_names(image_set, indices)
        self._read_mask = image_set.read_mask
        self._cache: dict[int, tuple[np.ndarray, np.ndarray]] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside a data set of {len(self)} images")
        index %= len(self)
        image, mask = self._pixels(index)
        entry = self.entries[index]
        planes = image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)
        return Sample(
            image=torch.from_numpy(np.ascontiguousarray(planes)).float().div_(255),
            mask=torch.from_numpy(mask).long(),
            label=entry.label,
            group=self.groups[index],
            name=entry.name,
        )

    def validate(self) -> None:
        """Read every image and mask once (which also fills the cache).

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
        for index in range(len(self)):
            try:
                self._pixels(index)
                yield ""
            except (ValueError, OSError) as error:
                yield str(error)

    def _pixels(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the image, uint8 (h, w) or (h, w, 3), and the mask, uint8 (h, w)."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        entry = self.entries[index]
        image = read_gray(entry.image) if self.channels == 1 else _read_color(entry.image)
        mask = self._read_mask(entry) if entry.mask else np.zeros(image.shape[:2], np.uint8)
        require_same_size(entry, image.shape[:2], mask.shape)
        pixels = resize_image(image, self.size), resize_mask(mask, self.size)
        if self._cache is not None:
            self._cache[index] = pixels
        return pixels


def _read_color(path: Path) -> np.ndarray:
    image = read_image(path)
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def _group_names(image_set: ImageSet, indices: Sequence[int] | np.ndarray) -> list[str]:
    # Named after its first image in the whole set, hence the same in every split.
    first = dict(zip(image_set.groups[::-1], image_set.entries[::-1], strict=True))
    return [first[image_set.groups[index]].name for index in indices]
