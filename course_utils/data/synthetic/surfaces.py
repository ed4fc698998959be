"""The families of surface: what each is made of, before light falls on it."""

from collections.abc import Callable

from numpy.random import Generator

from course_utils.data.synthetic.coverings import leather, painted_sheet, woven_cloth
from course_utils.data.synthetic.fields import Shape
from course_utils.data.synthetic.material import Surface
from course_utils.data.synthetic.metals import brushed_steel, cast_metal
from course_utils.data.synthetic.minerals import ceramic_tile, concrete
from course_utils.data.synthetic.wood import wood

FAMILIES: dict[str, Callable[[Generator, Shape, float], Surface]] = {
    "brushed_steel": brushed_steel,
    "cast_metal": cast_metal,
    "ceramic_tile": ceramic_tile,
    "woven_cloth": woven_cloth,
    "painted_sheet": painted_sheet,
    "wood": wood,
    "leather": leather,
    "concrete": concrete,
}
