"""Images that say "turn me" (EXIF), and which way their masks lie."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from course_utils.data.faults import Faults
from course_utils.data.image_set import Entry, require_same_size
from course_utils.data.near_duplicates import ImageSurvey
from course_utils.data.readers.folder.masks import MaskSummary
from course_utils.data.readers.folder.texts import read_text

STATEMENT = "exif.txt"
_SIDEWAYS = (5, 6, 7, 8)


class Turned(NamedTuple):
    """Masks that were drawn on the pixels as stored."""

    masks: Mapping[str, int]
    """By the name of the entry, the EXIF orientation that its mask has to be turned by."""
    remarks: tuple[str, ...]


def find_turned_masks(
    folder: Path,
    entries: Sequence[Entry],
    survey: ImageSurvey,
    summaries: Mapping[Path, MaskSummary],
    faults: Faults,
) -> Turned:
    """Find out for each image with an EXIF orientation whether its mask was drawn before turning.

    Images come as shown, that is turned, so such masks must be turned with them. Annotation tools
    (LabelMe since 2019, CVAT since 2020) show the picture turned; scripts that read it with Pillow
    or NumPy do not. If turning swaps height and width, the size of the mask tells. If it does not
    (half a turn, mirrored, a square), the images of the set whose masks tell decide, if they agree;
    else the word `shown` or `stored` in exif.txt must, and without it this is a fault. Empty masks
    fit both ways. Masks with an EXIF orientation of their own fit the picture as shown.

    `faults` gets masks of another size than their image, too.
    """
    stated = _statement(folder / STATEMENT, faults)
    told: dict[str, str] = {}  # by the size of the mask
    open_entries: dict[str, Entry] = {}
    orientations = {}
    for number, entry in enumerate(entries):
        summary = summaries.get(entry.mask) if entry.mask else None
        shape, orientation = survey.shapes[number], survey.orientations[number]
        if summary is None or summary.fault or not all(shape):
            continue
        orientations[entry.name] = orientation
        stored = shape[::-1] if orientation in _SIDEWAYS else shape
        if orientation == 1 or summary.orientation != 1 or summary.shape != stored:
            with faults.collect():
                require_same_size(entry, shape, summary.shape)
            if orientation != 1 and summary.orientation == 1:
                told[entry.name] = "shown"
        elif stored != shape:
            told[entry.name] = "stored"
        elif summary.share > 0:
            open_entries[entry.name] = entry
    words = {stated} if stated else set(told.values())
    if open_entries and len(words) != 1:
        first = next(iter(open_entries.values()))
        faults.add(
            f"{first.image}{_and_more(len(open_entries) - 1)} say by EXIF that they are to be "
            f"turned, and nothing shows whether their masks were drawn on the picture as shown (as "
            f"LabelMe and CVAT do) or on the pixels as stored (as scripts do): look at one, and "
            f"write the word shown or stored into {folder / STATEMENT}"
        )
        return Turned({}, ())
    told |= dict.fromkeys(open_entries, next(iter(words), ""))
    masks = {name: orientations[name] for name, word in told.items() if word == "stored"}
    return Turned(masks, _remarks(told, masks, open_entries, stated))


def _statement(path: Path, faults: Faults) -> str:
    if not path.is_file():
        return ""
    word = read_text(path)[0].strip().lower()
    if word not in ("shown", "stored"):
        faults.add(f"{path} holds {word[:20]!r}: want one word, shown or stored")
        return ""
    return word


def _remarks(
    told: Mapping[str, str],
    masks: Mapping[str, int],
    open_entries: Mapping[str, Entry],
    stated: str,
) -> tuple[str, ...]:
    if not told:
        return ()
    sentence = f"{len(told)} images with masks were turned as their EXIF tag says"
    if masks:
        sentence += f", and {len(masks)} masks, which fit the pixels as stored, with them"
    if open_entries:
        how = f"{STATEMENT} says so" if stated else "the others of the set show it"
        sentence += f"; of {len(open_entries)} the size of the mask does not tell, {how}"
    return (f"{sentence}.",)


def _and_more(count: int) -> str:
    return f" and {count} more" if count else ""
