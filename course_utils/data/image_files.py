"""Image files: list them, read them whole or not at all, resize them."""

import re
import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from course_utils.data.faults import Faults
from course_utils.io import is_junk

# No TIFF: OpenCV gives the first of several pages, and paints what is missing of a cut file.
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
JPEG_SUFFIXES = (".jpeg", ".jpg")
_EXIF_MARKS = (b"Exif\0\0", b"eXIf", b"EXIF")  # of JPEG, PNG and WebP
_EXIF = re.compile(
    rb"(?:Exif\0\0|eXIf|EXIF.{4}(?:Exif\0\0)?)(?=II[*]\0|MM\0[*])",
    re.DOTALL,
)
_LONGEST_EXIF = 1 << 16  # bytes
_ORIENTATION = 0x0112


def list_folder(folder: Path) -> list[Path]:
    """Return what lies in `folder`, sorted by name, without junk (see `io.is_junk`)."""
    return sorted(path for path in folder.iterdir() if not is_junk(path.name))


def list_images(folder: Path) -> dict[str, Path]:
    """Return the image files of `folder` by stem, sorted by name. Errors as `list_by_suffix`."""
    return list_by_suffix(folder, IMAGE_SUFFIXES)[0]


def list_by_suffix(
    folder: Path, *kinds: Sequence[str], faults: Faults | None = None
) -> list[dict[str, Path]]:
    """Return the files of `folder` by stem, a dict for each of `kinds`, sorted by name.

    A kind is some suffixes in lower case; files may write them in capitals. Junk (`io.is_junk`) is
    no part of a data set. Raises one `ValueError` for all else that is of no kind, and for two
    files of one kind and stem, since images and masks are matched by it; `faults` collects them
    instead, where given.
    """
    kind_of = {suffix: number for number, kind in enumerate(kinds) for suffix in kind}
    found: list[dict[str, Path]] = [{} for _ in kinds]
    here = Faults() if faults is None else faults
    for path in list_folder(folder):
        if path.suffix.lower() not in kind_of or path.is_dir():
            here.add(
                f"{path} is not an image of a kind that is read here ({', '.join(kind_of)}): "
                f"convert it or take it out of the folder"
            )
            continue
        stems = found[kind_of[path.suffix.lower()]]
        if path.stem in stems:
            here.add(
                f"{stems[path.stem]} and {path.name} differ only in their ending: masks are "
                f"matched by the name before it, so rename one"
            )
        stems[path.stem] = path
    if faults is None:
        here.raise_any()
    return found


FileStamp = tuple[Path, int, int]
"""A file, when it was last written, and its length: enough to see that it has changed."""


def file_stamps(paths: Sequence[Path]) -> tuple[FileStamp, ...]:
    """Return the stamp of each file. Raises `FileNotFoundError` for one that is not there."""
    states = [(path, path.stat()) for path in paths]
    return tuple((path, state.st_mtime_ns, state.st_size) for path, state in states)


def read_image(path: Path) -> np.ndarray:
    """Return the picture in `path`: uint8, (H, W) if the file is gray, else (H, W, 3) in RGB.

    It comes as viewers show it: turned as the EXIF tag of a JPEG, PNG or WebP says. A fully opaque
    alpha channel is dropped. Raises `ValueError` when the file is damaged or is no picture, has
    more than 8 bits a channel, or has see-through pixels.
    """
    return read_with_orientation(path)[0]


def read_with_orientation(path: Path) -> tuple[np.ndarray, int]:
    """Return what `read_image` does, and the EXIF orientation of the file; 1: not turned."""
    pixels, orientation = decode(path)
    if pixels.dtype != np.uint8:
        raise ValueError(
            f"{path} holds {pixels.dtype} values: choose the gray range that matters and save it "
            f"with 8 bits a channel"
        )
    if pixels.ndim == 3:
        if pixels.shape[2] == 4 and pixels[..., 3].min() < 255:
            raise ValueError(f"{path} has see-through pixels: save it without an alpha channel")
        pixels = pixels[..., 2::-1]
    return np.ascontiguousarray(turn(pixels, orientation)), orientation


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return `pixels` (H, W, ...) as stored in a file turned to how its EXIF orientation shows it.

    Example:
        >>> turn(np.array([[1, 2, 3]]), 6).T.tolist(), turn(np.array([[1, 2, 3]]), 2).tolist()
        ([[1, 2, 3]], [[3, 2, 1]])
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width of the picture in `path`, as `read_image` gives it, from its header.

    Raises `ValueError` when the file is no picture.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # nothing is decoded here
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            lies = picture.getexif().get(_ORIENTATION, 1) >= 5  # height and width are swapped
    except UnidentifiedImageError:
        raise ValueError(
            f"{path} cannot be read as an image: it is damaged or no picture"
        ) from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    return (width, height) if lies else (height, width)


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


def encode_image(pixels: np.ndarray, suffix: str) -> bytes:
    """Return the bytes of a file of uint8 pixels, (H, W) or RGB (H, W, 3).

    Raises:
        ValueError: for a suffix that no kind of image has.

    Example:
        >>> encode_image(np.zeros((2, 2), np.uint8), ".png")[1:4]
        b'PNG'
    """
    if suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"a picture ends in {', '.join(IMAGE_SUFFIXES)}, got {suffix!r}")
    bgr = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    return bytes(cv2.imencode(suffix, np.ascontiguousarray(bgr))[1])


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


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Return the pixels of `path` as stored (OpenCV's order of channels) and its EXIF orientation.

    Raises `ValueError` when the file is damaged or is no picture.
    """
    # cv2.imread cannot open names outside the system's code page on Windows; reading the bytes
    # ourselves can.
    data = np.fromfile(path, np.uint8)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error:  # a damaged header can promise sides that OpenCV refuses
        pixels = None
    content = data.tobytes()
    if pixels is None or (content[:2] == b"\xff\xd8" and not _jpeg_is_whole(content)):
        raise ValueError(f"{path} cannot be read as an image: it is damaged or no picture")
    return pixels, _orientation(content)


def _orientation(content: bytes) -> int:
    found = _EXIF.search(content) if any(mark in content for mark in _EXIF_MARKS) else None
    if found is None:
        return 1
    exif = Image.Exif()
    try:
        exif.load(content[found.end() : found.end() + _LONGEST_EXIF])
        orientation = exif.get(_ORIENTATION, 1)
    except (OSError, ValueError, SyntaxError, struct.error):  # viewers pass a damaged tag over, too
        return 1
    return orientation if orientation in range(1, 9) else 1


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether the picture's end marker is there: OpenCV 4 paints what is missing gray."""
    position = 2
    while position + 4 <= len(data) and data[position + 1] != 0xDA:  # until the pixels start
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data.find(b"\xff\xd9", position) != -1
