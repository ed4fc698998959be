"""Image files: list them, read them whole or not at all, resize them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

# No TIFF: OpenCV gives the first of several pages, and paints what is missing of a cut file.
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
JPEG_SUFFIXES = (".jpeg", ".jpg")
_NOT_PICTURES = ("Thumbs.db", "desktop.ini")  # what file managers leave behind


def list_images(folder: Path) -> dict[str, Path]:
    """Return the image files of `folder` by stem, sorted by name. Errors as `list_by_suffix`."""
    return list_by_suffix(folder, IMAGE_SUFFIXES)[0]


def list_by_suffix(folder: Path, *kinds: Sequence[str]) -> list[dict[str, Path]]:
    """Return the files of `folder` by stem, a dict for each of `kinds`, sorted by name.

    A kind is some suffixes in lower case; files may write them in capitals. Hidden files (and what
    file managers leave behind) are no part of a data set. Raises `ValueError` for anything else of
    no kind, and for two files of one kind and stem, since images and masks are matched by it.
    """
    kind_of = {suffix: number for number, kind in enumerate(kinds) for suffix in kind}
    found: list[dict[str, Path]] = [{} for _ in kinds]
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in _NOT_PICTURES:
            continue
        if path.suffix.lower() not in kind_of or path.is_dir():
            raise ValueError(
                f"{path} is not an image of a kind that is read here ({', '.join(kind_of)}): "
                f"convert it or take it out of the folder"
            )
        stems = found[kind_of[path.suffix.lower()]]
        if path.stem in stems:
            raise ValueError(
                f"{stems[path.stem]} and {path.name} differ only in their ending: masks are "
                f"matched by the name before it, so rename one"
            )
        stems[path.stem] = path
    return found


FileStamp = tuple[Path, int, int]
"""A file, when it was last written, and its length: enough to see that it has changed."""


def file_stamps(paths: Sequence[Path]) -> tuple[FileStamp, ...]:
    """Return the stamp of each file. Raises `FileNotFoundError` for one that is not there."""
    states = [(path, path.stat()) for path in paths]
    return tuple((path, state.st_mtime_ns, state.st_size) for path, state in states)


def read_image(path: Path) -> np.ndarray:
    """Return the picture in `path`: uint8, (H, W) if the file is gray, else (H, W, 3) in RGB.

    A fully opaque alpha channel is dropped. Raises `ValueError` when the file is damaged or is
    no picture, has more than 8 bits a channel, or has see-through pixels.
    """
    # Only JPEG carries the camera's "this side up", and only ANYCOLOR obeys it; only UNCHANGED
    # shows an alpha channel, which JPEG does not have.
    is_jpeg = path.suffix.lower() in JPEG_SUFFIXES
    pixels = _decode(path, cv2.IMREAD_ANYCOLOR if is_jpeg else cv2.IMREAD_UNCHANGED)
    if pixels.dtype != np.uint8:
        raise ValueError(
            f"{path} holds {pixels.dtype} values: choose the gray range that matters and save it "
            f"with 8 bits a channel"
        )
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] == 4:
        if pixels[..., 3].min() < 255:
            raise ValueError(f"{path} has see-through pixels: save it without an alpha channel")
        pixels = pixels[..., :3]
    return np.ascontiguousarray(pixels[..., ::-1])


def read_gray(path: Path) -> np.ndarray:
    """Return the picture in `path` as gray: uint8, (H, W). Errors as `read_image`."""
    return to_gray(read_image(path))


def read_mask(path: Path) -> np.ndarray:
    """Return the values of the mask in `path`: uint8, (H, W).

    Errors as `read_image`; raises `ValueError` too for a mask in colors, which names no class.
    """
    values = read_image(path)
    if values.ndim == 3:
        if (values != values[..., :1]).any():
            raise ValueError(f"{path} is a color picture: a mask is gray, its values are classes")
        values = np.ascontiguousarray(values[..., 0])
    return values


def to_gray(image: np.ndarray) -> np.ndarray:
    """Return (H, W) of an (H, W), (H, W, 1) or RGB (H, W, 3) array, uint8 or float32."""
    if image.ndim == 2:
        return image
    return image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return `image` (H, W) or (H, W, 3) stretched to `size` (height, width).

    A side that shrinks is averaged, a side that grows is interpolated linearly. Each side for
    itself: OpenCV averages nothing as soon as one of the two sides grows.

    Example:
        >>> resize_image(np.eye(4, dtype=np.float32), (2, 2)).tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    height, width = size
    smaller = min(height, image.shape[0]), min(width, image.shape[1])
    if smaller != image.shape[:2]:
        image = cv2.resize(image, smaller[::-1], interpolation=cv2.INTER_AREA)
    if size != image.shape[:2]:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return image


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return `mask` (H, W) stretched to `size` (height, width): each pixel keeps one old value.

    The value is that of the pixel nearest to the new center, so the mask stays on its image.

    Example:
        >>> resize_mask(np.array([[0, 3]], np.uint8), (1, 4)).tolist()
        [[0, 0, 3, 3]]
    """
    if mask.shape == size:
        return mask
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def _decode(path: Path, flags: int) -> np.ndarray:
    # cv2.imread cannot open names outside the system's code page on Windows; reading the bytes
    # ourselves can.
    data = np.fromfile(path, np.uint8)
    try:
        pixels = cv2.imdecode(data, flags | cv2.IMREAD_ANYDEPTH) if data.size else None
    except cv2.error:  # a damaged header can promise sides that OpenCV refuses
        pixels = None
    if pixels is None or (data[:2].tobytes() == b"\xff\xd8" and not _jpeg_is_whole(data.tobytes())):
        raise ValueError(f"{path} cannot be read as an image: it is damaged or no picture")
    return pixels


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether the picture's end marker is there: OpenCV 4 paints what is missing gray."""
    position = 2
    while position + 4 <= len(data) and data[position + 1] != 0xDA:  # until the pixels start
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data.find(b"\xff\xd9", position) != -1
