"""The files of a synthetic set: written beside their place, and moved there as a whole."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from course_utils.data.image_files import resize_image, resize_mask, to_gray
from course_utils.data.synthetic_layouts.layouts import Layout
from course_utils.data.synthetic_layouts.pictures import Picture

_JPEG_QUALITY = 95
_SAMPLED = 3


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
    Raises as `require_place`, and what the disk raises.
    """
    require_place(layout, root)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".synthetic-") as draft:
        built = Path(draft) / layout.folder
        for name in ("", *layout.folders):
            (built / name).mkdir()
        for name, text in layout.texts.items():
            (built / name).write_bytes(text.encode())
        rows = [layout.table.header] if layout.table else []
        for picture in pictures:
            image, classes = _pixels(layout, picture)
            for name, content in _files(layout, picture, image, classes):
                file = built / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            if layout.table:
                rows += layout.table.rows(picture.image, classes)
            if tick:
                tick()
        if layout.table:
            (built / layout.table.file).write_bytes("\n".join([*rows, ""]).encode())
        return _move(built, layout, root)


def require_place(layout: Layout, root: Path) -> Path:
    """Return the folder of the set in `root`; raise `FileExistsError` if anything is there.

    An empty folder is nothing. Raises `NotADirectoryError` if a file is where `root` should be.
    """
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(f"{root} is a file: name a folder to write to")
    target = root / layout.folder
    if target.is_symlink() or (target.exists() and not (target.is_dir() and _is_empty(target))):
        raise FileExistsError(
            f"{target} exists already, and nothing is overwritten: move it away, or name another "
            f"folder to write to"
        )
    return target


def estimate_bytes(layout: Layout, pictures: Sequence[Picture]) -> int:
    """Return about how many bytes `pictures` take, from a few of them."""
    places = np.linspace(0, len(pictures) - 1, min(_SAMPLED, len(pictures))).round().astype(int)
    sizes = [
        len(content)
        for place in places
        for _, content in _files(layout, pictures[place], *_pixels(layout, pictures[place]))
    ]
    return round(sum(sizes) / len(places) * len(pictures))


def _pixels(layout: Layout, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Return the image, uint8 (H, W) or RGB (H, W, 3), and its classes, uint8 (H, W)."""
    sample = picture.source[picture.index]
    image = np.rint(sample.image.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
    classes = sample.mask.numpy().astype(np.uint8)
    if layout.made_at is not None:
        image, classes = resize_image(image, layout.size), resize_mask(classes, layout.size)
    return to_gray(image) if layout.gray else image, classes


def _files(
    layout: Layout, picture: Picture, image: np.ndarray, classes: np.ndarray
) -> Iterator[tuple[str, bytes]]:
    yield picture.image, _encoded(image, picture.image)
    if picture.mask is not None:
        value = layout.mask_value
        marked = classes if value is None else np.uint8(value) * (classes > 0)
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


def _move(built: Path, layout: Layout, root: Path) -> Path:
    target = require_place(layout, root)
    if target.exists():
        target.rmdir()  # Windows moves onto no folder, not even an empty one
    try:
        return built.rename(target)
    except OSError:
        require_place(layout, root)  # Somebody else was faster.
        raise


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None
