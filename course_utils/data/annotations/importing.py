"""From the files of an annotation tool to `images/`, `masks/`, `good/` and `classes.txt`."""

import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from course_utils.data.annotations import coco, cvat, labelme, voc
from course_utils.data.annotations.regions import Annotations
from course_utils.data.annotations.sources import ImageFinder, read_lines
from course_utils.data.annotations.writing import BACKGROUND, Draft

TOOLS = {"labelme": labelme.read, "coco": coco.read, "voc": voc.read, "cvat": cvat.read}
"""What reads the annotations of each tool."""
_SHOWN = 5


@dataclass(frozen=True)
class Imported:
    """What was made."""

    folder: Path
    annotated: int
    """Images with a mask."""
    good: int
    """Images filed as good."""
    regions: dict[str, int]
    """Marked defects of each class, in the order of their mask values 1, 2, ..."""
    images: dict[str, int]
    """Images that show each class."""
    notes: Sequence[str]
    """What the person ought to know, a sentence each."""


def import_annotations(
    tool: str,
    source: Path,
    target: Path,
    *,
    images: Path | None = None,
    classes: Path | None = None,
    good: bool = False,
    line_width: int = 3,
    tick: Callable[[int, int], None] | None = None,
) -> Imported:
    """Turn the annotations of `tool` in `source` into the folder `target`, and say what was made.

    Images are copied as they are; those that are turned by their EXIF tag, or of a kind that is not
    read here, are written as PNG with the pixels as viewers show them, and their masks agree.
    Smaller regions lie on top of larger ones. Whatever stops the writing, there is nothing
    afterwards, or all: the files grow in a hidden folder beside `target` and are moved as one.

    Args:
        tool: one of `TOOLS`.
        source: an annotation file, or the folder that holds it.
        target: a new or empty folder.
        images: where the images lie, if not in `source`.
        classes: a text file with the names of the classes in the order of their mask values; other
            labels are faults then. None: the order of the tool, else of the alphabet.
        good: images without any region are free of defects and go to `good/`. Else they are
            left out.
        line_width: of lines, which have no area, in pixels.
        tick: called with how many images are done, and of how many.

    Raises:
        FileExistsError: if anything is in `target`.
        FileNotFoundError: if `source` holds no annotations.
        ValueError: with all that is wrong with the files.
    """
    check_target(source, target)
    place = source if source.is_dir() else source.parent
    if tool == "coco" and source.is_file() and place.name == "annotations":
        place = place.parent
    found = TOOLS[tool](source, line_width)
    finder = ImageFinder(images or found.image_folder or place)
    names = _class_names(found, read_lines(classes) if classes else None)
    with _drafted(target) as folder:
        draft = Draft(folder, names, finder)
        for number, one in enumerate(found.images, start=1):
            with found.faults.collect():
                draft.add(one)
            if tick:
                tick(number, len(found.images))
        if not draft.seen["annotated"] and not found.faults.found:
            found.faults.add(
                f"{source} marks no defect on any of {len(found.images)} images: is it the right "
                f"file? A folder of good images alone needs no import"
            )
        beside = [path for path in finder.images if path.resolve() not in draft.used]
        bare = [*draft.bare, *((path.name, path) for path in beside)]
        if good:
            (folder / "good").mkdir()
            for file, content in bare:
                with found.faults.collect():
                    draft.write(file, content, "good")
        found.faults.raise_any()
        lines = "".join(f"{name}\n" for name in names)
        (folder / "classes.txt").write_text(lines, encoding="utf-8", newline="\n")
        check_target(source, target)
    return Imported(
        target,
        draft.seen["annotated"],
        len(bare) if good else 0,
        {name: draft.regions[name] for name in names},
        {name: draft.images[name] for name in names},
        [*dict.fromkeys(found.notes), *_notes(found, draft, 0 if good else len(bare), line_width)],
    )


def check_target(source: Path, target: Path) -> None:
    """Raise `FileExistsError` unless `target` is new or empty, and not within `source`."""
    empty = target.is_dir() and not target.is_symlink() and next(target.iterdir(), None) is None
    if not empty and (target.is_symlink() or target.exists()):
        raise FileExistsError(
            f"{target} exists already, and nothing is overwritten: name a new folder"
        )
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise FileExistsError(
            f"{target} lies within {source}, where its images would be found again: name a folder "
            f"outside of it"
        )


@contextmanager
def _drafted(target: Path) -> Iterator[Path]:
    """Give a hidden folder that becomes `target` at the end of the block, or vanishes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as beside:
        draft = Path(beside) / "draft"
        for name in ("images", "masks"):
            (draft / name).mkdir(parents=True)
        yield draft
        if target.exists():
            target.rmdir()  # Windows moves onto no folder, not even an empty one
        os.replace(draft, target)


def _class_names(found: Annotations, given: list[str] | None) -> list[str]:
    """Return the classes that occur, in the order of their mask values."""
    labels = {region.label for one in found.images for region in one.regions}
    occur = {label for label in labels if label.lower() not in BACKGROUND}
    if given is not None:
        for label in sorted(occur - set(given)):
            where = next(
                one for one in found.images if any(region.label == label for region in one.regions)
            )
            found.faults.add(
                f"{where.source} has the label {label!r} on {where.file}, which the file of "
                f"--classes does not name: add it there, or correct the label"
            )
        return given
    declared = [name for name in dict.fromkeys(found.names) if name in occur]
    names = declared + sorted(occur - set(declared), key=_natural)
    if len(names) > 255:
        found.faults.add(
            f"{len(names)} different labels, and a mask holds 255 at most: is one "
            f"of them a number or a comment, such as {names[-1]!r}?"
        )
    for first, second in zip(
        sorted(names, key=str.casefold), sorted(names, key=str.casefold)[1:], strict=False
    ):
        if first.casefold() == second.casefold():
            found.notes.append(
                f"{first!r} and {second!r} became two classes: if they are one, rename one in the "
                f"tool and import anew"
            )
    return names


def _natural(name: str) -> list[tuple[int, str]]:
    return [
        (int(part or 0), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"(\d+)", name.casefold())
    ]


def _notes(found: Annotations, draft: Draft, left_out: int, line_width: int) -> Iterator[str]:
    """Say what the person ought to know of how it was done."""
    seen = draft.seen
    if left_out:
        yield (
            f"{left_out} images have no region and were left out. If they are free of defects, "
            f"import anew with --good: they go to good/ then"
        )
    if seen["box"]:
        yield (
            f"{seen['box']} of {draft.regions.total()} regions are boxes, which hold more than the "
            f"defect: networks learn that, and scores by pixel are coarse. Polygons are better"
        )
    if seen["line"]:
        yield f"{seen['line']} lines were drawn {line_width} pixels wide: --line-width changes that"
    for what, count in Counter(found.left_out).items():
        yield f"{count} x {what} left out: it has no area"
    if seen["background"]:
        yield f"{seen['background']} regions with a label of the background were left out"
    if seen["turned"]:
        yield (
            f"{seen['turned']} photographs are turned by their EXIF tag, and their size does not "
            f"tell whether they were annotated as stored or as shown: taken as shown, as the tools "
            f"do today. Look at these masks in: course data check"
        )
    if seen["embedded"]:
        yield f"{seen['embedded']} images were taken out of the annotation files, which hold them"
    if seen["converted"]:
        yield f"{seen['converted']} images were written as PNG, turned as viewers show them"
    unused = [name for name in dict.fromkeys(found.names) if name not in draft.regions]
    if unused := [name for name in unused if name.lower() not in BACKGROUND]:
        shown = ", ".join(unused[:_SHOWN])
        more = f" and {len(unused) - _SHOWN} more" if len(unused) > _SHOWN else ""
        yield f"declared in the tool and never used, so no class here: {shown}{more}"
