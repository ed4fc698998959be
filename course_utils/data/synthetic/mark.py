"""What a defect does to a surface, before it is laid on."""

from dataclasses import dataclass

import numpy as np

from course_utils.data.synthetic.fields import Field, Shape
from course_utils.data.synthetic.material import Color
from course_utils.data.synthetic.shapes import Box

NO_COLOR = np.zeros(3, np.float32)
NO_CHANGE = np.ones(3, np.float32)


@dataclass(frozen=True)
class Place:
    """Where a defect goes and how large it is."""

    shape: Shape
    """Height and width of the surface, pixels."""
    unit: float
    """Pixels per 1/256 of the picture's side."""
    center: tuple[float, float]
    """(x, y), pixels."""
    size: float
    """Factor on the usual size."""


@dataclass(frozen=True)
class Mark:
    """A defect. All maps have the shape of `box` and are 0 outside the defect."""

    box: Box
    coverage: Field
    """Share of each pixel that belongs to the defect, 0..1: above .5 it is in the mask."""
    relief: Field
    """Pixels added to the surface's height."""
    opacity: Field
    """How far the albedo goes to `factor` x albedo + `color`, 0..1."""
    factor: Color
    color: Color
    matte: Field
    """Share of the gloss that is lost; below 0 the place shines more."""
