"""Synthetic photographs of surfaces with defects: no files, exact masks, adjustable difficulty."""

from course_utils.data.synthetic.dataset import Description, SyntheticSurfaces
from course_utils.data.synthetic.defects import DEFECTS
from course_utils.data.synthetic.surfaces import SURFACES

__all__ = ["DEFECTS", "SURFACES", "Description", "SyntheticSurfaces"]
