"""The synthetic products: photographs of parts on a ground, under a fixed camera."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from course_utils.data.synthetic.dataset import SyntheticPhotographs, chosen_of
from course_utils.data.synthetic.labels import Footprint
from course_utils.data.synthetic.product_scene import (
    PartPlan,
    foreground,
    kinds_of,
    photograph_part,
    plan_part,
)
from course_utils.data.synthetic.products import PRODUCTS


class SyntheticProducts(SyntheticPhotographs):
    """Photographs of one product, made as they are read: all look alike but for their defects.

    Products are a plate, a washer and a cap; see `PRODUCTS`. Image: float32 (3, H, W) in [0, 1].
    Mask: int64 (H, W), 0 background, else a kind of defect as `class_names` numbers them. Some
    kinds need a place to be seen (a hole that is missing or of the wrong size, a broken edge, a
    print that is missing or shifted), others do not (scratch, stain, dent). The mask covers what
    differs from the sound part: of a missing hole, the place where it belongs; of a shifted
    print, where it is and where it belongs. Shadows on the ground are not in it.

    A part is photographed one to three times in a row, each time moved by up to 5 units of 1/256
    of the picture's side, turned by up to 3.5 degrees, in slightly other light, with new noise.
    Its images share `group`. An image depends on the arguments and its index alone.

    Args:
        product: plate, washer or cap.
        split: train, val or test; no part is in two of them.
        size: a side or (height, width), 32..1024 pixels; a smaller picture is coarser.
        seed: the same one gives the same images; the product is the same whatever the seed.
        length: number of images; None: 600 in train, 200 in val and test.
        defects: some of the kinds of the product; None: all.
        frequency: share of defective parts, 0..1.
        contrast: factor on how plainly scratches, stains and dents show, 0..2; at 0 every image is
            the clean one, and the mask says where the defect would be.
        defect_size: factor on the size of each defect, .25..4: for a hole of the wrong size and a
            shifted print, on how far they are off.
        labels: "ellipse" gives one filled ellipse around each defect.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> plates = SyntheticProducts("plate", "test", size=64)
        >>> plates[12].name, plates.class_names[1], plates.foreground(12).shape
        ('synthetic_product/plate/test/00012', 'missing_hole', (64, 64))
    """

    split_note = (
        "Every part belongs to one of train, val and test, with all of its shots: "
        "no part is shared."
    )
    thing = "part"

    def __init__(
        self,
        product: str,
        split: str = "train",
        *,
        size: int | tuple[int, int] = 256,
        seed: int = 0,
        length: int | None = None,
        defects: Sequence[str] | None = None,
        frequency: float = 0.5,
        contrast: float = 1.0,
        defect_size: float = 1.0,
        labels: Literal["exact", "ellipse"] = "exact",
    ) -> None:
        super().__init__(
            split,
            size,
            seed,
            length,
            frequency=frequency,
            contrast=contrast,
            defect_size=defect_size,
            labels=labels,
        )
        if product not in PRODUCTS:
            raise ValueError(f"product must be one of {', '.join(PRODUCTS)}, got {product!r}")
        self.product = product
        self.prefix = f"synthetic_product/{product}"
        kinds = kinds_of(product)
        self.class_names = ("background", *kinds)
        self.defects = kinds if defects is None else chosen_of("defects", defects, kinds)

    def foreground(self, index: int) -> np.ndarray:
        """Return the pixels that the part covers where it is sound, bool (H, W); holes are ground.

        Example:
            >>> bool(SyntheticProducts("cap", size=64).foreground(0)[32, 32])
            True
        """
        index = self._checked(index)
        return foreground(self._scene(index), self._shot(index), self.size)

    def _scene(self, index: int) -> PartPlan:
        return plan_part(self._key(index), self.product, self.defects, self.frequency)

    def _photograph(
        self, scene: PartPlan, shot: int, contrast: float
    ) -> tuple[np.ndarray, list[Footprint]]:
        return photograph_part(scene, shot, self.size, contrast, self.defect_size)
