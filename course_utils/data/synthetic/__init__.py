"""Synthetic photographs of surfaces and products: no files, exact masks, adjustable difficulty."""

from course_utils.data.synthetic.dataset import Description, SyntheticSurfaces
from course_utils.data.synthetic.defects import DEFECTS
from course_utils.data.synthetic.product_dataset import SyntheticProducts
from course_utils.data.synthetic.products import PRODUCTS
from course_utils.data.synthetic.surfaces import SURFACES

__all__ = [
    "DEFECTS",
    "PRODUCTS",
    "SURFACES",
    "Description",
    "SyntheticProducts",
    "SyntheticSurfaces",
]
