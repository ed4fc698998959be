"""Find the files of an annotation tool, and the images that they name."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from course_utils.data.faults import Faults
from course_utils.data.image_files import list_folder
from course_utils.data.readers.folder.texts import plain, read_text

PICTURES = (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_MASKS = "Segmentation"  # how Pascal VOC calls each of its folders of masks


def find_files(source: Path, suffix: str, habit: str) -> list[Path]:
    """Return the files below `source` with this suffix, sorted, or the one that it is.

    Raises:
        FileNotFoundError: if there is nothing, with the `habit` of the tool.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise FileNotFoundError(f"there is no folder {source}: name what the tool wrote")
    found = [path for path in _walk(source) if path.suffix.lower() == suffix]
    if not found:
        raise FileNotFoundError(f"{source} holds no {suffix} file: {habit}")
    return found


def read_json(path: Path, faults: Faults) -> Any:
    """Return what a JSON file holds, in any Unicode encoding; None, and a fault, if it cannot."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        faults.add(f"{path} is no JSON ({_first_line(error)}): export it anew")
        return None


def read_xml(path: Path, root: str, faults: Faults) -> ET.Element | None:
    """Return the element `root` of an XML file; None, and a fault, if it has none."""
    try:
        element = ET.fromstring(path.read_bytes())
    except (ET.ParseError, ValueError, LookupError) as error:
        faults.add(f"{path} is no XML ({_first_line(error)}): export it anew")
        return None
    if element.tag != root:
        faults.add(f"{path} holds <{element.tag}> where <{root}> is wanted: is --from right?")
        return None
    return element


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file that hold something. Errors as `read_text`."""
    return [line.strip() for line in read_text(path)[0].splitlines() if line.strip()]


class ImageFinder:
    """The image files below a folder, found by what annotations call them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = [
            path
            for path in _walk(folder)
            if path.suffix.lower() in PICTURES and not path.parent.name.startswith(_MASKS)
        ]
        self._by_name: dict[str, list[Path]] = {}
        for path in self.images:
            for name in {plain(path.name), plain(path.stem)}:
                self._by_name.setdefault(name, []).append(path)

    def find(self, file: str, start: Path) -> Path | None:
        """Return the image `file`, named from the folder `start`; None if there is none.

        Annotations carry the paths of another computer: what counts is the file's name, then as
        much of the path as fits. Where no file has the ending, one with another ending will do.

        Raises:
            ValueError: if several images fit equally well.
        """
        path = PurePosixPath(file.replace("\\", "/"))
        for place in (start / path, self.folder / path):
            if place.is_file():
                return place
        fitting = self._by_name.get(plain(path.name)) or self._by_name.get(plain(path.stem), [])
        scores = [_common_end(path, one) for one in fitting]
        best = [one for one, score in zip(fitting, scores, strict=True) if score == max(scores)]
        if len(best) > 1:
            raise ValueError(
                f"{file} may be {best[0]} or {best[1]}: give --images with the folder that is meant"
            )
        return best[0] if best else None


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files below `folder`, sorted, without what systems leave behind."""
    for path in list_folder(folder):
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _common_end(path: PurePosixPath, other: Path) -> int:
    """Return how many folders above the file are equal, from the last on."""
    count = 0
    for one, two in zip(reversed(path.parts[:-1]), reversed(other.parts[:-1]), strict=False):
        if plain(one) != plain(two):
            break
        count += 1
    return count


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
