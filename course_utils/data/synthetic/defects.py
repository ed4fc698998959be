"""Each kind of defect: which class it is, where it does not occur, and how it is laid on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from course_utils.data.synthetic.area_defects import dent, peeling, stain
from course_utils.data.synthetic.fields import Field
from course_utils.data.synthetic.line_defects import crack, scratch
from course_utils.data.synthetic.mark import Mark, Place
from course_utils.data.synthetic.material import Surface
from course_utils.data.synthetic.spot_defects import inclusion, pit

CLASS_NAMES = ("background", "line", "spot", "area")


@dataclass(frozen=True)
class Kind:
    """A kind of defect."""

    draw: Callable[[Generator, Surface, Place], Mark]
    label: int
    """Its class: an index into `CLASS_NAMES`."""
    unlikely: frozenset[str] = frozenset()
    """Families of surface on which nobody would see it."""


KINDS: dict[str, Kind] = {
    "scratch": Kind(scratch, 1),
    "crack": Kind(crack, 1, frozenset({"woven_cloth", "brushed_steel"})),
    # Concrete has air bubbles of its own, which are no defects.
    "pit": Kind(pit, 2, frozenset({"woven_cloth", "concrete"})),
    "inclusion": Kind(inclusion, 2),
    "stain": Kind(stain, 3),
    "dent": Kind(dent, 3, frozenset({"ceramic_tile", "concrete", "woven_cloth"})),
    "peeling": Kind(
        peeling, 3, frozenset({"brushed_steel", "cast_metal", "woven_cloth", "concrete", "wood"})
    ),
}


def lay_on(surface: Surface, mark: Mark, strength: float) -> None:
    """Change `surface` in place as `mark` says, `strength` times as strongly; 0 changes nothing.

    Example:
        >>> from course_utils.data.synthetic.surfaces import FAMILIES
        >>> rng = np.random.default_rng(0)
        >>> sheet = FAMILIES["painted_sheet"](rng, (64, 64), .25)
        >>> before = sheet.albedo.copy()
        >>> lay_on(sheet, pit(rng, sheet, Place((64, 64), .25, (32., 32.), 1.)), 0.0)
        >>> bool((sheet.albedo == before).all())
        True
    """
    if strength == 0:
        return
    rows, columns = mark.box.slices
    surface.relief[rows, columns] += np.float32(strength) * mark.relief
    opacity = np.minimum(1, np.float32(strength) * mark.opacity)
    albedo: NDArray[np.float32] = surface.albedo[:, rows, columns]
    wanted = albedo * mark.factor[:, None, None] + mark.color[:, None, None]
    albedo += opacity * (wanted - albedo)
    np.clip(albedo, 0.002, 1.0, out=albedo)
    shine: Field = surface.gloss[rows, columns]
    shine *= np.maximum(0, 1 - np.float32(min(strength, 1.0)) * mark.matte)
