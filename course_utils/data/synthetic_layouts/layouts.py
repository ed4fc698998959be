"""Where images and masks lie in each published set: a table of path templates."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from course_utils.data.synthetic import Description


class Part(NamedTuple):
    """The images of one split whose numbers run on."""

    split: str
    quotas: Mapping[str, int]
    """How many images of each sort, as the layout's `sort` names them; the first there are."""
    first: int = 0
    """The first number."""
    names: Mapping[str, object] = {}
    """What the paths may name besides."""


def _one_part(count: int, share: float, surfaces: Sequence[str]) -> Iterator[Part]:
    yield Part("train", _states(count, share))


def _mvtec_parts(count: int, share: float, surfaces: Sequence[str]) -> Iterator[Part]:
    test = round(count / 3)
    yield Part("train", {"good": count - test})
    yield Part("test", _states(test, share))


def _kolektor_sdd2_parts(count: int, share: float, surfaces: Sequence[str]) -> Iterator[Part]:
    # Three tenths in test, and numbers of five digits, as published.
    test = round(count * 0.3)
    yield Part("train", _states(count - test, share), first=10000)
    yield Part("test", _states(test, share), first=20000)


def _dagm_parts(count: int, share: float, surfaces: Sequence[str]) -> Iterator[Part]:
    """Yield train and test of each class: a texture, here a family of surface."""
    least = 4 * len(surfaces)
    if count < least:
        raise ValueError(
            f"{count} images cannot fill train and test of {len(surfaces)} classes: ask for "
            f"{least} or more, or for fewer kinds of surface"
        )
    for texture, family in enumerate(surfaces, start=1):
        images = len(range(texture - 1, count, len(surfaces)))
        test = round(images / 2)
        # Numbers run on, so that none is in both parts.
        for part, size, first in (("Train", images - test, test + 1), ("Test", test, 1)):
            states = _states(size, share)
            _require_none_empty({f"Class{texture}/{part}/Label": states["bad"]})
            quotas = {f"{family} {state}": number for state, number in states.items()}
            yield Part(part.lower(), quotas, first, {"texture": texture, "part": part})


def _tile_parts(count: int, share: float, surfaces: Sequence[str]) -> Iterator[Part]:
    states = _states(count, share)
    classes = sorted(set(_TILE_FOLDERS.values()))
    quotas = {"MT_Free": states["good"], **_evenly(states["bad"], classes)}
    _require_none_empty(quotas)
    yield Part("train", quotas)


def _steel_parts(count: int, share: float, surfaces: Sequence[str]) -> Iterator[Part]:
    # Of the 300 published numbers the reader knows which show one photograph; these are others.
    yield Part("train", _evenly(count, list(_STEEL_PREFIX)), first=301)


def _states(count: int, share: float) -> dict[str, int]:
    bad = round(count * share)
    return {"good": count - bad, "bad": bad}


def _evenly(count: int, names: Sequence[str]) -> dict[str, int]:
    return {name: len(range(k, count, len(names))) for k, name in enumerate(names)}


def _require_none_empty(quotas: Mapping[str, int]) -> None:
    empty = [name for name, images in quotas.items() if not images]
    if empty:
        raise ValueError(
            f"{', '.join(empty)} would be empty: ask for more images, or another share of "
            f"defective ones"
        )


def _state_of(shown: Description) -> str:
    return "bad" if shown.kinds else "good"


def _class_of(shown: Description) -> str:
    """The class of all defects, "combined" for several (as MVTec has it), "good" for none."""
    classes = set(shown.classes)
    if len(classes) > 1:
        return "combined"
    return classes.pop() if classes else "good"


def _tile_folder_of(shown: Description) -> str | None:
    folders = {_TILE_FOLDERS[kind] for kind in shown.kinds} or {"MT_Free"}
    return folders.pop() if len(folders) == 1 else None


_STEEL_PREFIX = {"spot": "In", "area": "Pa", "line": "Sc"}
_TILE_FOLDERS = {
    "inclusion": "MT_Blowhole",
    "pit": "MT_Blowhole",
    "dent": "MT_Break",
    "peeling": "MT_Break",
    "crack": "MT_Crack",
    "scratch": "MT_Fray",
    "stain": "MT_Uneven",
}
"""The class that each kind of defect resembles most."""


@dataclass(frozen=True)
class Layout:
    """How one published set lies on disk.

    Paths, with `/`, begin in the folder of the set. They may name the `split`, the `kind` of
    image, its `number` in the part and the `nth` of its kind, the `item` (surface) that it shows,
    which `shot` of it, and what the part adds.
    """

    title: str
    folder: str
    """Folder of the set in the data root."""
    opens: str
    """Its name for `open_dataset`, with `{root}` where the data root belongs."""
    size: tuple[int, int]
    """(height, width) if none is asked for: that of the published set, or near it."""
    image: str
    mask: str | None
    """None: all masks are in `table`."""
    gray: bool
    """Whether images are written with one channel."""
    good_has_mask: bool = True
    """Whether an image without defects has a mask."""
    parts: Callable[[int, float, Sequence[str]], Iterator[Part]] = _one_part
    """From the count, the share of defects and the surfaces."""
    sort: Callable[[Description], str | None] = _state_of
    """Under which quota an image falls; None: under none."""
    kind: Callable[[Description], str | None] = _class_of
    all_shots: bool = False
    """Whether several shots of a surface are taken. Where a layout cannot tell that two images
    show one surface, its reader's split would put both sides of it on show."""
    skipped: tuple[int, ...] = ()
    """Numbers that no item has."""
    least: int = 8
    """Images without which the set would miss a part or a class."""
    mask_value: int | None = 255
    """What defect pixels hold, whatever their class; None: the number of their class."""
    defect_share: float | None = None
    """The share that is its only one; None: the choice is free."""
    made_at: tuple[int, int] | None = None
    """(height, width) at which images are made, if they are enlarged to `size`, the only one."""
    ellipses: bool = False
    """Whether masks are ellipses around the defects."""
    class_list: str | None = None
    """A file with the names of the classes."""
    table: str | None = None
    """A file with the masks as run lengths, a row for each class of an image."""
    products: bool = False
    """Whether it suits products, too; the others show surfaces only."""
    product: str | None = None
    """The product that is shown; None: surfaces. See `of_product`."""


LAYOUTS: dict[str, Layout] = {
    "folder": Layout(
        title="a person's own images",
        folder="synthetic_folder",
        opens="folder:{root}/synthetic_folder",
        size=(256, 256),
        image="{kind}/{number:05d}.png",
        mask="masks/{number:05d}.png",
        gray=False,
        good_has_mask=False,
        kind=lambda shown: "images" if shown.kinds else "good",
        mask_value=None,
        class_list="classes.txt",
        products=True,
    ),
    # None of the real categories is called "synthetic" or "synthetic_plate".
    "mvtec_ad": Layout(
        title="MVTec AD",
        folder="mvtec_ad",
        opens="mvtec_ad/synthetic",
        size=(256, 256),
        image="synthetic/{split}/{kind}/{nth:03d}.png",
        mask="synthetic/ground_truth/{kind}/{nth:03d}_mask.png",
        gray=False,
        good_has_mask=False,
        parts=_mvtec_parts,
        products=True,
    ),
    # The reader joins items 26, 34 and 39 with others: a surface here is no second take.
    "kolektor_sdd": Layout(
        title="KolektorSDD",
        folder="kolektor_sdd",
        opens="kolektor_sdd",
        size=(640, 256),
        image="kos{item:02d}/Part{shot}.jpg",
        mask="kos{item:02d}/Part{shot}_label.bmp",
        gray=True,
        all_shots=True,
        skipped=(26, 34, 39),
        least=12,
    ),
    "kolektor_sdd2": Layout(
        title="KolektorSDD2",
        folder="kolektor_sdd2",
        opens="kolektor_sdd2",
        size=(640, 232),
        image="{split}/{number}.png",
        mask="{split}/{number}_GT.png",
        gray=False,
        parts=_kolektor_sdd2_parts,
    ),
    "dagm": Layout(
        title="DAGM 2007",
        folder="dagm",
        opens="dagm/1",
        size=(512, 512),
        image="Class{texture}/{part}/{number:04d}.PNG",
        mask="Class{texture}/{part}/Label/{number:04d}_label.PNG",
        gray=True,
        good_has_mask=False,
        parts=_dagm_parts,
        sort=lambda shown: f"{shown.family} {_state_of(shown)}",
        ellipses=True,
    ),
    "magnetic_tile": Layout(
        title="the magnetic-tile set",
        folder="magnetic_tile",
        opens="magnetic_tile",
        size=(256, 256),
        image="{kind}/Imgs/exp{exposure}_num_{frame}.jpg",
        mask="{kind}/Imgs/exp{exposure}_num_{frame}.png",
        gray=True,
        parts=_tile_parts,
        sort=_tile_folder_of,
        kind=_tile_folder_of,
        all_shots=True,
        least=12,
    ),
    "sd_saliency_900": Layout(
        title="SD-saliency-900",
        folder="sd_saliency_900",
        opens="sd_saliency_900",
        size=(200, 200),
        image="Source Images/{kind}_{nth}.bmp",
        mask="Ground truth/{kind}_{nth}.png",
        gray=True,
        parts=_steel_parts,
        sort=_class_of,
        kind=lambda shown: _STEEL_PREFIX.get(_class_of(shown)),
        least=9,
        defect_share=1.0,
    ),
    # Eight hexadecimal digits, as published.
    "severstal": Layout(
        title="the Severstal competition",
        folder="severstal",
        opens="severstal",
        size=(256, 1600),
        image="train_images/{number:08x}.jpg",
        mask=None,
        gray=True,
        made_at=(160, 1000),
        table="train.csv",
    ),
}
"""The layouts that can be written, by the name of their set."""


def of_product(layout: Layout, product: str) -> Layout:
    """Return the layout with a product instead of surfaces, in a category of its own.

    Raises:
        ValueError: for a layout that shows surfaces only.

    Example:
        >>> of_product(LAYOUTS["mvtec_ad"], "cap").opens
        'mvtec_ad/synthetic_cap'
    """
    if not layout.products:
        suited = ", ".join(name for name, one in LAYOUTS.items() if one.products)
        raise ValueError(
            f"{layout.title} shows surfaces, got product {product!r}: choose one of {suited}"
        )

    def renamed(text: str) -> str:
        parts = [f"synthetic_{product}" if one == "synthetic" else one for one in text.split("/")]
        return "/".join(parts)

    return replace(
        layout,
        product=product,
        opens=renamed(layout.opens),
        image=renamed(layout.image),
        mask=renamed(layout.mask or ""),
    )
