"""The files of a synthetic set: chosen, written beside their place, and moved there as a whole."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count as count_from
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from course_utils.data.image_files import resize_image, resize_mask, to_gray
from course_utils.data.run_lengths import encode_runs
from course_utils.data.synthetic import SURFACES, SyntheticProducts, SyntheticSurfaces
from course_utils.data.synthetic_layouts.layouts import Layout, Part

_SCANNED_PER_IMAGE, _SCANNED_AT_LEAST = 20, 1000
"""The rarest kinds take 8 images to find one; a kind that there is not ends the search."""
_JPEG_QUALITY = 95
_SAMPLED = 3


@dataclass(frozen=True)
class Picture:
    """One image of the synthetic set and the files that it becomes."""

    source: SyntheticSurfaces | SyntheticProducts
    index: int
    image: str
    mask: str | None
    """None: the layout has none for this image."""
    defective: bool


def lay_out(
    layout: Layout,
    *,
    count: int,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    defect_share: float | None = None,
    surfaces: Sequence[str] = SURFACES,
) -> list[Picture]:
    """Return each image with the files that it becomes, without making any image.

    Args:
        layout: one of `LAYOUTS`, or what `of_product` made of it.
        count: images in all.
        size: (height, width), 32..1024 pixels each; None: that of the layout.
        seed: of the synthetic set.
        defect_share: share of images with a defect, 0..1; None: half of them, or the layout's.
        surfaces: kinds of surface to choose from, unless the layout is of a product.

    Raises:
        ValueError: for what the layout cannot have, for fewer images than it needs, and for kinds
            that are too rare.

    Example:
        >>> from course_utils.data.synthetic_layouts import LAYOUTS
        >>> pictures = lay_out(LAYOUTS["mvtec_ad"], count=9, size=(64, 64))
        >>> pictures[0].image, pictures[-1].mask
        ('synthetic/train/good/000.png', 'synthetic/ground_truth/spot/000_mask.png')
    """
    if layout.made_at is not None and size not in (None, layout.size):
        given, only_size = ("x".join(map(str, one or ())) for one in (size, layout.size))
        raise ValueError(
            f"images of {layout.title} are all {only_size}, got size {given}: leave the size out"
        )
    only = layout.defect_share
    if only is not None and defect_share not in (None, only):
        raise ValueError(
            f"of {layout.title} a share of {only:g} has a defect, got defect_share "
            f"{defect_share:g}: leave the share out"
        )
    share = 0.5 if defect_share is None else defect_share
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if not 0 <= share <= 1:
        raise ValueError(f"defect_share must lie in 0..1, got {share}")
    if len(set(surfaces)) < len(surfaces):
        raise ValueError(f"surfaces must differ, got {', '.join(surfaces)}")
    make: Callable[..., SyntheticSurfaces | SyntheticProducts] = (
        partial(SyntheticProducts, layout.product)
        if layout.product
        else partial(SyntheticSurfaces, surfaces=surfaces)
    )
    sources = {
        split: make(
            split=split,
            size=layout.made_at or size or layout.size,
            seed=seed,
            length=max(_SCANNED_AT_LEAST, _SCANNED_PER_IMAGE * count),
            labels="ellipse" if layout.ellipses else "exact",
        )
        for split in ("train", "test")
    }
    if count < layout.least:
        raise ValueError(
            f"{count} images cannot fill every part of {layout.title}: ask for {layout.least} or "
            f"more"
        )
    parts = layout.parts(count, share, surfaces)
    return [one for part in parts for one in _choose(layout, part, sources[part.split])]


def _choose(
    layout: Layout, part: Part, source: SyntheticSurfaces | SyntheticProducts
) -> Iterator[Picture]:
    """Yield the first images of `source` that fill the quotas of `part`, in their order."""
    left = Counter(part.quotas)
    numbers = count_from(part.first)
    item_numbers = (number for number in count_from(1) if number not in layout.skipped)
    items: dict[str, int] = {}
    earlier: Counter[str | None] = Counter()
    for index in range(len(source)):
        if not left.total():
            return
        shown = source.describe(index)
        sort = layout.sort(shown) if layout.all_shots or shown.shot == 0 else None
        if sort is None or not left[sort]:
            continue
        left[sort] -= 1
        if shown.group not in items:
            items[shown.group] = next(item_numbers)
        kind, item = layout.kind(shown), items[shown.group]
        names = {
            **part.names,
            "split": part.split,
            "number": next(numbers),
            "kind": kind,
            "nth": part.first + earlier[kind],
            "item": item,
            "shot": shown.shot,
            # Shots of one magnetic tile have neighboring numbers, and tiles are far apart.
            "exposure": 1 + shown.shot,
            "frame": 1000 * item + 20 * shown.shot,
        }
        earlier[kind] += 1
        defective = bool(shown.kinds)
        mask = layout.mask if defective or layout.good_has_mask else None
        paths = layout.image.format(**names), mask and mask.format(**names)
        yield Picture(source, index, *paths, defective)
    if left.total():
        missing = ", ".join(f"{number} more {name}" for name, number in left.items() if number)
        shown_on = getattr(source, "surfaces", ("the product",))
        raise ValueError(
            f"{len(source)} images are not enough to find {missing} on "
            f"{', '.join(shown_on)}: ask for more kinds of surface (not every surface has "
            f"every defect)"
        )


def write_set(
    layout: Layout,
    pictures: Sequence[Picture],
    root: Path,
    *,
    tick: Callable[[], None] | None = None,
) -> Path:
    """Write `pictures` to the folder of the set in `root`, and return that folder.

    Images are rounded to 8 bits. `tick` is called after each. Whatever stops the writing, there
    is nothing afterwards, or all: the files grow in a hidden folder of `root` and are moved as one.

    Raises:
        OSError: as `check_target`, and what the disk raises.
    """
    target = check_target(layout, root)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".synthetic-") as draft:
        built = Path(draft) / layout.folder
        built.mkdir()
        if layout.class_list:
            for name in ("images", "masks"):  # even if all images are good
                (built / name).mkdir()
            classes = [f"{name}\n" for name in pictures[0].source.class_names[1:]]
            (built / layout.class_list).write_bytes("".join(classes).encode())
        rows = ["ImageId,ClassId,EncodedPixels"]
        for picture in pictures:
            image, mask = _pixels(layout, picture)
            for name, content in _files(layout, picture, image, mask):
                (built / name).parent.mkdir(parents=True, exist_ok=True)
                (built / name).write_bytes(content)
            name = PurePosixPath(picture.image).name
            labels = np.unique(mask[mask > 0]) if layout.table else ()
            rows += [f"{name},{label},{encode_runs(mask == label)}" for label in labels]
            if tick:
                tick()
        if layout.table:
            (built / layout.table).write_bytes("\n".join([*rows, ""]).encode())
        check_target(layout, root)
        if target.exists():
            target.rmdir()  # Windows moves onto no folder, not even an empty one
        try:
            return built.rename(target)
        except OSError:
            check_target(layout, root)  # Somebody else was faster.
            raise


def check_target(layout: Layout, root: Path) -> Path:
    """Return the folder of the set in `root`, where nothing is yet: an empty folder is nothing.

    Raises:
        FileExistsError: if anything is there.
        NotADirectoryError: if a file is where `root` should be.
    """
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(f"{root} is a file: name a folder to write to")
    target = root / layout.folder
    empty = target.is_dir() and not target.is_symlink() and next(target.iterdir(), None) is None
    if not empty and (target.is_symlink() or target.exists()):
        raise FileExistsError(
            f"{target} exists already, and nothing is overwritten: move it away, or name another "
            f"folder to write to"
        )
    return target


def estimate_bytes(layout: Layout, pictures: Sequence[Picture]) -> int:
    """Return about how many bytes `pictures` take, from a few of them."""
    sampled = np.linspace(0, len(pictures) - 1, min(_SAMPLED, len(pictures))).round().astype(int)
    sizes = [
        len(content)
        for index in sampled
        for _, content in _files(layout, pictures[index], *_pixels(layout, pictures[index]))
    ]
    return round(sum(sizes) / len(sampled) * len(pictures))


def _pixels(layout: Layout, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Return the image, uint8 (H, W) or RGB (H, W, 3), and its classes, uint8 (H, W)."""
    sample = picture.source[picture.index]
    image = np.rint(sample.image.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
    mask = sample.mask.numpy().astype(np.uint8)
    if layout.made_at is not None:
        image, mask = resize_image(image, layout.size), resize_mask(mask, layout.size)
    return to_gray(image) if layout.gray else image, mask


def _files(
    layout: Layout, picture: Picture, image: np.ndarray, mask: np.ndarray
) -> Iterator[tuple[str, bytes]]:
    yield picture.image, _encoded(image, picture.image)
    if picture.mask is not None:
        value = layout.mask_value
        marked = mask if value is None else np.uint8(value) * (mask > 0)
        yield picture.mask, _encoded(marked, picture.mask)


def _encoded(pixels: np.ndarray, name: str) -> bytes:
    """Return the file `name` with `pixels`, uint8 (H, W) or RGB (H, W, 3)."""
    if pixels.ndim == 3:
        pixels = np.ascontiguousarray(pixels[..., ::-1])  # OpenCV's order of channels
    ending = PurePosixPath(name).suffix.lower()
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if ending == ".jpg" else []
    done, content = cv2.imencode(ending, pixels, quality)
    if not done:
        raise OSError(f"{name} could not be made")
    return content.tobytes()
