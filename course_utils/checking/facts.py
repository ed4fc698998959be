"""What a folder of a person's own images holds, counted once, before anything is trained."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from course_utils.checking.sizes import Choice, Survival, candidates, choose
from course_utils.data.image_set import Entry, ImageSet
from course_utils.data.near_duplicates import survey_images
from course_utils.data.opening import read_image_set
from course_utils.data.splits import SPLIT_NAMES, split_images

FEW = 20
"""Images of a class, below which a class is hard to learn and its scores are mostly chance."""
LARGE = 0.5
"""Share of an image above which a mask is suspicious."""
_SPECK = 4  # pixels
_FAR_LARGER = 16  # times the pixels that are needed


@dataclass
class ClassFacts:
    """One class of defects."""

    name: str
    images: int = 0
    """Images that show it; without masks, those that are filed under it."""
    pixels: int = 0
    regions: int = 0


@dataclass(frozen=True)
class Region:
    """One connected defect at the size of its file."""

    entry: int
    label: int
    area: int
    """Pixels."""
    box: tuple[int, int, int, int]
    """left, top, width, height."""


@dataclass
class FolderFacts:
    """All that the first look finds."""

    folder: Path
    images: ImageSet
    shapes: Sequence[tuple[int, int]]
    """(height, width) of each image."""
    classes: list[ClassFacts] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    shares: dict[int, float] = field(default_factory=dict)
    """Share of the image that is marked, by entry with a mask."""
    survival: list[Survival] = field(default_factory=list)
    choice: Choice = field(default_factory=lambda: Choice((256, 256)))
    parts: dict[str, Counter[int]] = field(default_factory=dict)
    """Images by label in each part of the split."""
    split_note: str = ""
    faults: list[str] = field(default_factory=list)
    """Why the folder cannot be trained on, though each file is in order."""
    warnings: list[str] = field(default_factory=list)

    @property
    def good(self) -> int:
        """Images without a defect."""
        return int((self.images.labels == 0).sum())

    @property
    def defective(self) -> int:
        """Images with a defect."""
        return len(self.images.entries) - self.good

    @property
    def masks(self) -> int:
        """Defective images whose mask says where the defect is."""
        return sum(share > 0 for share in self.shares.values())

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """How many images have each (height, width)."""
        return Counter(self.shapes)


def look_through(folder: Path, *, tick: Callable[[int, int], None] | None = None) -> FolderFacts:
    """Read all images and masks of `folder`, and count.

    Args:
        folder: what `folder:PATH` reads.
        tick: called with how many images are done, and of how many.

    Raises:
        FileNotFoundError: if folders or masks are missing.
        ValueError: with all that is wrong with the files.
    """
    images = read_image_set(f"folder:{folder.absolute()}")
    shapes = survey_images([entry.image for entry in images.entries]).shapes
    facts = FolderFacts(folder, images, shapes)
    facts.classes = [ClassFacts(name) for name in images.class_names[1:]]
    facts.survival = [Survival(size) for size in candidates(facts.sizes)]
    for number, entry in enumerate(images.entries):
        if entry.mask is not None:
            _add_mask(facts, number, images.read_mask(entry))
        elif entry.label:
            facts.classes[entry.label - 1].images += 1
        if tick:
            tick(number + 1, len(images.entries))
    facts.choice = choose(facts.survival, facts.sizes)
    _add_split(facts)
    facts.warnings += [*images.remarks, *_warnings(facts)]
    return facts


def _add_mask(facts: FolderFacts, number: int, mask: np.ndarray) -> None:
    counts = np.bincount(mask.ravel(), minlength=2)
    facts.shares[number] = 1 - float(counts[0]) / mask.size
    for label in (np.flatnonzero(counts[1:]) + 1).tolist():
        of_class = (mask == label).astype(np.uint8)
        count, numbers, boxes, _ = cv2.connectedComponentsWithStats(of_class, connectivity=8)
        kind = facts.classes[label - 1]
        kind.images += 1
        kind.regions += count - 1
        kind.pixels += int(boxes[1:, cv2.CC_STAT_AREA].sum())
        facts.regions += [
            Region(number, label, int(area), (left, top, width, height))
            for left, top, width, height, area in boxes[1:].tolist()
        ]
        for survival in facts.survival:
            survival.add(numbers, count)


def _add_split(facts: FolderFacts) -> None:
    try:
        for part in SPLIT_NAMES:
            indices, note = split_images(facts.images, part)
            facts.split_note = note.removesuffix("".join(f" {one}" for one in facts.images.remarks))
            facts.parts[part] = Counter(facts.images.labels[indices].tolist())
    except ValueError as error:
        facts.faults.append(str(error))


def _warnings(facts: FolderFacts) -> list[str]:
    """Return what the reader does not say: a sentence for each thing that ought to be changed."""
    found = []
    for kind in facts.classes if facts.defective else ():
        if not kind.images:
            found.append(f"No image shows {kind.name}: take its line out of classes.txt.")
        elif kind.images < FEW:
            found.append(
                f"Only {kind.images} images show {kind.name}: below {FEW}, much of what is learned "
                f"and scored is chance."
            )
    if facts.defective and not facts.good:
        found.append(
            "No image is good, so false alarms cannot be counted: put images without defects into "
            "good/."
        )
    ratios = [width / height for height, width in facts.sizes]
    if max(ratios) > 1.1 * min(ratios):
        found.append("Images have different shapes, and all are stretched to one: crop them alike.")
    height, width = facts.sizes.most_common(1)[0][0]
    times = height * width / (facts.choice.size[0] * facts.choice.size[1])
    if times > _FAR_LARGER:
        found.append(
            f"Images of {height} x {width} have {times:.0f} times the pixels that a network will "
            f"see: smaller copies would be read faster."
        )
    specks = sum(region.area < _SPECK for region in facts.regions)
    if specks:
        found.append(
            f"{specks} of {len(facts.regions)} defects have less than {_SPECK} pixels in the file "
            f"itself. Slips of the pen? A network cannot learn them."
        )
    return found


def defects(facts: FolderFacts, label: int) -> list[tuple[Region, Entry]]:
    """Return the regions of a class with their images, the largest first."""
    chosen = sorted(
        (region for region in facts.regions if region.label == label),
        key=lambda region: -region.area,
    )
    return [(region, facts.images.entries[region.entry]) for region in chosen]
