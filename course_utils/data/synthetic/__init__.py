"""Synthetic photographs of surfaces with defects: no files, exact masks, adjustable difficulty."""

from course_utils.data.synthetic.dataset import DEFECTS, SURFACES, Description, SyntheticSurfaces

__all__ = ["DEFECTS", "SURFACES", "Description", "SyntheticSurfaces"]
