"""Large images in tiles, so that small defects keep their pixels."""

from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from course_utils.data.samples import DefectDataset, Sample

GRID = 8
"""Tiles begin at multiples of it: coarse maps, with a cell for 8 x 8 pixels, fit each other."""


class TiledDataset(Dataset[Sample]):
    """Each image of `dataset` cut into overlapping square tiles: for training.

    Tiles of one image follow each other, row by row, and cover it. Each is a `Sample` of its own:
    its label follows its own mask (0, or the class with most pixels), its group is that of its
    image, and its name is that of its image with the place, as in "017 at 128, 0" (pixels from the
    top and from the left).

    Args:
        dataset: a defect data set whose images are all of one size.
        tile: side in pixels, a multiple of 8.
        overlap: pixels that neighbors share at least; None: a quarter of the tile. A defect up to
            this size lies wholly in some tile.

    Raises:
        ValueError: for sides that do not fit, as `tile_starts` does; at an access, for an image
            that is labeled defective and whose mask is empty: no tile of it could be labeled.

    Example:
        >>> from course_utils.data import open_dataset
        >>> tiles = TiledDataset(open_dataset("synthetic", size=(64, 160), length=2), 64)
        >>> len(tiles), tiles[1].image.shape, tiles[1].name.split(" at ")[1]
        (6, torch.Size([3, 64, 64]), '0, 48')
    """

    def __init__(self, dataset: DefectDataset, tile: int, *, overlap: int | None = None) -> None:
        self.dataset, self.tile = dataset, tile
        self.class_names = dataset.class_names
        self.channels = dataset.channels
        height, width = dataset[0].image.shape[1:] if len(dataset) else (tile, tile)
        rows, columns = (tile_starts(side, tile, overlap) for side in (height, width))
        self.places: Sequence[tuple[int, int]] = [(y, x) for y in rows for x in columns]
        """Top and left of each tile of an image."""
        self.split_note = f"{dataset.split_note} Cut into {len(self.places)} tiles an image."
        self._last: tuple[int, Sample] | None = None

    def __len__(self) -> int:
        return len(self.dataset) * len(self.places)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"index must lie in 0..{len(self) - 1}, got {index}")
        number, place = divmod(index, len(self.places))
        whole = self._image(number)
        top, left = self.places[place]
        window = (..., slice(top, top + self.tile), slice(left, left + self.tile))
        mask = whole.mask[window]
        pixels = torch.bincount(mask.clamp(min=0).flatten(), minlength=2)
        defects = pixels[1 : len(self.class_names)]  # no class: borders that are not judged
        return whole._replace(
            image=whole.image[window],
            mask=mask,
            label=int(defects.argmax()) + 1 if defects.any() else 0,
            name=f"{whole.name} at {top}, {left}",
        )

    def _image(self, number: int) -> Sample:
        """Read an image, or keep the last one: its tiles are often read one after the other."""
        if self._last is None or self._last[0] != number:
            sample = self.dataset[number]
            if sample.label and not bool(sample.mask.any()):
                raise ValueError(
                    f"{sample.name} is labeled defective and its mask is empty at "
                    f"{tuple(sample.mask.shape)} pixels, so that no one knows which of its tiles "
                    "is: draw its mask, choose a larger height and width if the defect was lost, "
                    "or train without tiles"
                )
            self._last = number, sample
        return self._last[1]


def tile_starts(length: int, tile: int, overlap: int | None = None) -> list[int]:
    """Return where tiles begin that cover `length` pixels, each sharing `overlap` with the next.

    The last one ends at `length`, and may share more. A side that is shorter than the tile is one
    tile as it is.

    Args:
        length: of a side of the image.
        tile: side of the tiles, a multiple of 8.
        overlap: pixels that neighbors share at least; None: a quarter of the tile.

    Raises:
        ValueError: for a tile or an overlap that does not fit.

    Example:
        >>> tile_starts(256, 128, 32), tile_starts(100, 128)
        ([0, 96, 128], [0])
    """
    overlap = tile // 4 if overlap is None else overlap
    if tile < GRID or tile % GRID:
        raise ValueError(f"tile must be a multiple of {GRID}, got {tile}")
    if not 0 <= overlap <= tile - GRID:
        raise ValueError(f"overlap must lie in 0..{tile - GRID}, got {overlap}")
    stride = (tile - overlap) // GRID * GRID
    last = max(length - tile, 0)
    return [*range(0, last, stride), last]
