"""Whether the images of a training keep their shape."""

import math
import statistics

from course_utils.data import image_size, is_synthetic, list_entries
from course_utils.trainers.configs import TrainingConfig

MOST_STRETCHED = 1.5
"""Beyond it, round things are no longer round to the eye: the training says so."""
LOOKED_AT = 50


def shape_remark(config: TrainingConfig) -> str:
    """Return a sentence if a training stretches its images out of shape; "" if it does not.

    It names a height and width that keep the shape, with about as many pixels. Of a large data
    set, 50 images are looked at, and of these the median. No picture is decoded.

    Raises:
        ValueError: as `list_entries` does, and for a file that is no picture.
        FileNotFoundError: as `list_entries` does.

    Example:
        >>> shape_remark(TrainingConfig(data="synthetic"))  # is drawn at any size
        ''
    """
    if is_synthetic(config.data):
        return ""
    _, entries = list_entries(config.data)
    few = entries[:: math.ceil(len(entries) / LOOKED_AT)]
    shape = statistics.median(h / w for h, w in (image_size(entry.image) for entry in few))
    stretched = shape * config.width / config.height
    factor = max(stretched, 1 / stretched)
    if factor <= MOST_STRETCHED:
        return ""
    height, width = sides_for(config, shape)
    longer = (
        f"{max(shape, 1 / shape):.1f} times as {'high as wide' if shape > 1 else 'wide as high'}"
    )
    return (
        f"The images of {config.data} are {longer}, and {config.height} x {config.width} pixels "
        f"(height x width) squeeze them by a factor of {factor:.1f}: --height {height} --width "
        f"{width} keeps their shape with about as many pixels."
    )


def sides_for(config: TrainingConfig, shape: float) -> tuple[int, int]:
    """Return height and width that `config` takes: of a shape, with about as many pixels as it has.

    Args:
        config: says how many pixels, and which sides a network takes.
        shape: height / width of the images.

    Example:
        >>> from course_utils.trainers import MemSegConfig
        >>> sides_for(MemSegConfig(), 1 / 16)  # a line camera, and 256 x 256
        (64, 1024)
    """
    pixels = config.height * config.width
    long_by_short = max(shape, 1 / shape)
    start = round(math.sqrt(pixels / long_by_short) / config.multiple) * config.multiple
    short = config.next_side(start)
    while True:
        long = config.next_side(short * long_by_short - config.multiple / 2)
        height, width = (long, short) if shape > 1 else (short, long)
        try:
            type(config)(**config.model_dump() | {"height": height, "width": width})
            return height, width
        except ValueError:  # too small for this network
            short += config.multiple
