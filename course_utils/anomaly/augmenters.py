"""The ten image augmenters of DRAEM and MemSeg: the only place that uses imgaug.

imgaug 0.4.0 is its last release and does not run on today's NumPy as it is. What it needs is
done here, and nowhere else: see `_imgaug`, `_autocontrast` and `_private_random_state`.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import cv2
import numpy as np

from course_utils.anomaly.inputs import Image, check_image, check_rng, check_whole

AUGMENTERS: tuple[str, ...] = (
    "GammaContrast",
    "MultiplyAndAddToBrightness",
    "EnhanceSharpness",
    "AddToHueAndSaturation",
    "Solarize",
    "Posterize",
    "Invert",
    "Autocontrast",
    "Equalize",
    "Affine",
)
"""Names of the ten augmenters, in the published order."""


def augment_at_random(
    image: Image,
    rng: np.random.Generator,
    *,
    count: int = 3,
    names: Sequence[str] = AUGMENTERS,
) -> Image:
    """Apply `count` different augmenters out of `names`, in the order in which they are drawn.

    The defaults are the published pipeline, three of ten. `image` and the result are as for
    `augment`.

    Source: DRAEM (Zavrtanik et al., ICCV 2021), public code, `randAugmenter`; MemSeg's public
    re-implementations took it over. It is wider than MemSeg's text, which names mirroring,
    rotation, brightness, saturation and hue only.

    Raises:
        ValueError: as `augment` does, for names given twice, and for a `count` that is not in 0 ..
            `len(names)`.

    Example:
        >>> gray = np.full((8, 8), 100, np.uint8)
        >>> augment_at_random(gray, np.random.default_rng(0), count=1, names=["Invert"])[0, 0]
        np.uint8(155)
    """
    check_image(image)
    check_rng(rng)
    for name in names:
        _check_name(name)
    if len(set(names)) < len(names):
        raise ValueError(f"names must differ from each other, got {list(names)}: drop the doubles")
    count = check_whole(count, "count", 0, len(names), hint=": no augmenter is drawn twice")
    result = image.copy()
    for index in rng.permutation(len(names))[:count]:
        result = augment(result, names[index], rng)
    return result


def augment(image: Image, name: str, rng: np.random.Generator) -> Image:
    """Apply the augmenter called `name`, one of `AUGMENTERS`, with strengths drawn from `rng`.

    `image` is uint8 in 0..255, (H, W, 3) in RGB order or (H, W) gray, and stays as it is; the
    result is a new image of the same shape. A gray image is treated as a color image of three
    equal channels, and its result is turned to gray by luma (ITU-R BT.601).

    | name                         | effect                                                     |
    |------------------------------|------------------------------------------------------------|
    | `GammaContrast`              | 255 (v/255)^g, g in 0.5..2, another g for each channel     |
    | `MultiplyAndAddToBrightness` | brightness x 0.8..1.2 and + -30..30, in either order       |
    | `EnhanceSharpness`           | from smoothed (0) through unchanged (1) to sharpened (2)   |
    | `AddToHueAndSaturation`      | saturation (of 255) + -50..50, hue turned by -71..71 deg   |
    | `Solarize`                   | in half of the calls: inverts values from 32..128 upwards  |
    | `Posterize`                  | keeps 1..8 bits                                            |
    | `Invert`                     | 255 - v, always                                            |
    | `Autocontrast`               | stretches after cutting 0..20 % of the pixels at both ends |
    | `Equalize`                   | equalizes the histogram of each channel                    |
    | `Affine`                     | rotates by -45..45 degrees, bilinear, fills with 0         |

    Neither NumPy's global generator nor imgaug's is read or changed.

    Raises:
        ValueError: for an unknown name, an image of another type or shape, or an `rng` that is not
            a NumPy generator.

    Example:
        >>> ramp = np.arange(0, 256, 51, dtype=np.uint8)[None]
        >>> augment(ramp, "Invert", np.random.default_rng(0))
        array([[255, 204, 153, 102,  51,   0]], dtype=uint8)
    """
    check_image(image)
    check_rng(rng)
    _check_name(name)
    color = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image.copy()
    with _private_random_state(rng):
        result = _BUILDERS[name](_imgaug().augmenters)(image=color)
    return cv2.cvtColor(result, cv2.COLOR_RGB2GRAY) if image.ndim == 2 else result


def _check_name(name: str) -> None:
    if name not in AUGMENTERS:
        raise ValueError(f"augmenter {name!r} is unknown: choose from {', '.join(AUGMENTERS)}")


@cache
def _imgaug() -> Any:
    """Import imgaug, on first use: it takes half a second.

    While it is imported (and never later) it reads `np.sctypes`, which NumPy 2 has no more. The
    attribute is put back for just that time, so that no other package mistakes this for NumPy 1.
    """
    missing = "sctypes" not in vars(np)
    if missing:
        vars(np)["sctypes"] = {
            "float": [np.float16, np.float32, np.float64, np.longdouble],
            "int": [np.int8, np.int16, np.int32, np.int64],
            "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
        }
    try:
        import imgaug
    finally:
        if missing:
            del vars(np)["sctypes"]
    return imgaug


_one_at_a_time = threading.RLock()


@contextmanager
def _private_random_state(rng: np.random.Generator) -> Iterator[None]:
    """Let imgaug draw from a generator of its own, seeded from `rng`, instead of its global one.

    Its global generator seeds itself from NumPy's and is inherited by forked workers, which then
    all draw the same. Passing `seed=` to an augmenter is not enough: some build further ones
    inside, while they are made or at work, and those go to the global generator again.
    """
    random = _imgaug().random
    own = random.RNG(int(rng.integers(2**63)))
    with _one_at_a_time:
        before, random.GLOBAL_RNG = random.GLOBAL_RNG, own
        try:
            yield
        finally:
            random.GLOBAL_RNG = before


def _autocontrast(iaa: Any) -> Any:
    """Build `Autocontrast` so that Pillow is given its cutoff as a number.

    imgaug hands the drawn cutoff on as an array of one element. Pillow calls `int()` on it,
    which NumPy 2.4 refuses. Only this one augmenter is changed, nothing inside imgaug.
    """
    augmenter = iaa.pillike.Autocontrast()
    published = augmenter.func
    augmenter.func = lambda image, cutoff: published(image, np.asarray(cutoff).item())
    return augmenter


_BUILDERS: dict[str, Callable[[Any], Any]] = {
    "GammaContrast": lambda iaa: iaa.GammaContrast((0.5, 2.0), per_channel=True),
    "MultiplyAndAddToBrightness": lambda iaa: iaa.MultiplyAndAddToBrightness(
        mul=(0.8, 1.2), add=(-30, 30)
    ),
    "EnhanceSharpness": lambda iaa: iaa.pillike.EnhanceSharpness(),
    "AddToHueAndSaturation": lambda iaa: iaa.AddToHueAndSaturation((-50, 50), per_channel=True),
    "Solarize": lambda iaa: iaa.Solarize(0.5, threshold=(32, 128)),
    "Posterize": lambda iaa: iaa.Posterize(),
    "Invert": lambda iaa: iaa.Invert(),
    "Autocontrast": _autocontrast,
    "Equalize": lambda iaa: iaa.pillike.Equalize(),
    "Affine": lambda iaa: iaa.Affine(rotate=(-45, 45)),
}
