"""The synthetic sets as files, laid out as published sets are."""

from course_utils.data.synthetic_layouts.layouts import LAYOUTS, Layout, of_product
from course_utils.data.synthetic_layouts.writing import (
    Picture,
    check_target,
    estimate_bytes,
    lay_out,
    write_set,
)

__all__ = [
    "LAYOUTS",
    "Layout",
    "Picture",
    "check_target",
    "estimate_bytes",
    "lay_out",
    "of_product",
    "write_set",
]
