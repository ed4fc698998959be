"""The synthetic set as files, laid out as published sets are."""

from course_utils.data.synthetic_layouts.layouts import LAYOUTS, Layout, lay_out, wanted_for
from course_utils.data.synthetic_layouts.pictures import Picture, Wanted
from course_utils.data.synthetic_layouts.writing import estimate_bytes, require_place, write_set

__all__ = [
    "LAYOUTS",
    "Layout",
    "Picture",
    "Wanted",
    "estimate_bytes",
    "lay_out",
    "require_place",
    "wanted_for",
    "write_set",
]
