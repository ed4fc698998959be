"""Write images as viewers show them, and their masks, into the folder of an import."""

import io
import shutil
import unicodedata
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import cv2
import numpy as np
from PIL import Image, ImageOps

from course_utils.data.annotations.regions import AnnotatedImage, Region, Size
from course_utils.data.annotations.sources import ImageFinder
from course_utils.data.image_files import IMAGE_SUFFIXES, turn

BACKGROUND = ("__ignore__", "_background_", "background")
"""Labels, in lower case, that mark no defect."""
_ORIENTATION = 0x0112
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "WEBP": ".webp"}
_WHOLE_MODES = ("1", "L", "P", "RGB", "RGBA")  # 8 bits a channel or less
Content: TypeAlias = Path | bytes
"""An image file, or what would be in it."""


@dataclass
class Draft:
    """The folder that is being filled, and what is in it so far."""

    folder: Path
    names: Sequence[str]
    """Of the classes, in the order of their mask values 1, 2, ..."""
    finder: ImageFinder
    bare: list[tuple[str, Content]] = field(default_factory=list)
    """Images without a region: name and content."""
    used: dict[Path, Path] = field(default_factory=dict)
    """Annotation file of each image that has one."""
    regions: Counter[str] = field(default_factory=Counter)
    """How many of each class."""
    images: Counter[str] = field(default_factory=Counter)
    """How many show each class."""
    seen: Counter[str] = field(default_factory=Counter)
    """How often what the person ought to know was met."""
    _taken: set[str] = field(default_factory=set)

    def add(self, one: AnnotatedImage) -> None:
        """Write an image with its mask; keep one without regions for later.

        Raises:
            ValueError: or `OSError`, for all that is wrong with it.
        """
        content = self._find(one)
        regions = [region for region in one.regions if region.label.lower() not in BACKGROUND]
        self.seen["background"] += len(one.regions) - len(regions)
        if not regions:
            self.bare.append((one.file, content))
            return
        if any(not region.label for region in regions):
            raise ValueError(f"{one.source}: a region on {one.file} has no label: give it one")
        with closing(open_picture(content, one.file)) as picture:
            stored, orientation = (picture.height, picture.width), _orientation(picture)
        shown = stored[::-1] if orientation > 4 else stored
        drawn_on = one.size or shown
        if drawn_on not in (shown, stored):
            raise ValueError(
                f"{one.source} was drawn on {one.file} at {drawn_on[1]} x {drawn_on[0]}, but the "
                f"image is {shown[1]} x {shown[0]}: give --images with those that were annotated"
            )
        mask = self._draw(one, regions, drawn_on)
        if drawn_on != shown:
            mask = np.ascontiguousarray(turn(mask, orientation))
        elif orientation > 1:
            self.seen["turned"] += 1
        name = self.write(one.file, content, "images")
        (self.folder / "masks" / f"{name}.png").write_bytes(cv2.imencode(".png", mask)[1].tobytes())
        self.seen["annotated"] += 1
        self.seen.update(region.kind for region in regions)
        self.regions.update(region.label for region in regions)
        counts = np.bincount(mask.ravel(), minlength=len(self.names) + 1)[1:]
        self.images.update(self.names[int(place)] for place in np.flatnonzero(counts))

    def write(self, file: str, content: Content, place: str) -> str:
        """Write an image into the folder `place` as viewers show it, and return its stem."""
        with closing(open_picture(content, file)) as picture:
            suffix = _SUFFIXES.get(picture.format or "", "")
            stem = self._free_stem(file)
            path = self.folder / place / stem
            if _orientation(picture) == 1 and suffix:
                if isinstance(content, Path):
                    suffix = content.suffix if content.suffix.lower() in IMAGE_SUFFIXES else suffix
                    shutil.copyfile(content, path.with_name(stem + suffix))
                else:
                    path.with_name(stem + suffix).write_bytes(content)
                return stem
            if getattr(picture, "n_frames", 1) > 1 or picture.mode not in _WHOLE_MODES:
                raise ValueError(
                    f"{file} has several pages or more than 8 bits a channel ({picture.mode}): "
                    f"save it as PNG with 8 bits"
                )
            ImageOps.exif_transpose(picture).save(path.with_name(stem + ".png"), exif=b"")
        self.seen["converted"] += 1
        return stem

    def _find(self, one: AnnotatedImage) -> Content:
        path = self.finder.find(one.file, one.source.parent)
        if path is None:
            if one.embedded is not None:
                self.seen["embedded"] += 1
                return one.embedded()
            raise FileNotFoundError(
                f"{one.source} names the image {one.file}, which is not in {self.finder.folder}: "
                f"give --images with the folder of the images"
            )
        if (other := self.used.get(path.resolve())) is not None:
            raise ValueError(
                f"{path} is annotated twice, in {other} and in {one.source}: keep one of them"
            )
        self.used[path.resolve()] = one.source
        return path

    def _draw(self, one: AnnotatedImage, regions: Sequence[Region], size: Size) -> np.ndarray:
        """Return uint8 classes (H, W): higher layers on top, then smaller regions."""
        drawn: list[tuple[int, int, str, np.ndarray]] = []
        for region in regions:
            try:
                covered = region.draw(size)
                if not covered.any():
                    raise ValueError("it lies outside of the image: delete or redraw it")
            except ValueError as error:
                raise ValueError(
                    f"{one.source}, a region {region.label!r} on {one.file}: {error}"
                ) from None
            drawn.append((region.layer, -int(covered.sum()), region.label, covered))
        mask = np.zeros(size, np.uint8)
        for _, _, label, covered in sorted(drawn, key=lambda item: item[:2]):
            mask[covered] = self.names.index(label) + 1
        return mask

    def _free_stem(self, file: str) -> str:
        """Return a stem that no image has yet, with the names of folders where it must be."""
        path = PurePosixPath(unicodedata.normalize("NFC", file.replace("\\", "/")))
        parts = [part for part in (*path.parts[:-1], path.stem) if part not in ("/", ".", "..")]
        stem = next(
            (
                name
                for count in range(1, len(parts) + 1)
                if (name := "_".join(parts[-count:])).casefold() not in self._taken
            ),
            "",
        )
        number = 2
        while not stem or stem.casefold() in self._taken:
            stem, number = f"{path.stem}_{number}", number + 1
        self._taken.add(stem.casefold())
        return stem


def open_picture(content: Content, file: str) -> Image.Image:
    """Return a picture whose header was read. Raises `ValueError` for what is none."""
    try:
        return Image.open(content if isinstance(content, Path) else io.BytesIO(content))
    except Image.DecompressionBombError as error:
        raise ValueError(f"{file} is too large ({error}): cut it into smaller images") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(
            f"{content if isinstance(content, Path) else file} cannot be read as an image: it is "
            f"damaged or no picture"
        ) from error


def _orientation(picture: Image.Image) -> int:
    found = picture.getexif().get(_ORIENTATION, 1)
    return int(found) if found in range(1, 9) else 1
