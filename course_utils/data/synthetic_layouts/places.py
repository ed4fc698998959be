"""Where each image and mask of the synthetic set goes, in the layout of each published set."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from course_utils.data.synthetic import Description, SyntheticSurfaces
from course_utils.data.synthetic.defects import KINDS
from course_utils.data.synthetic_layouts.pictures import (
    Chosen,
    Picture,
    Wanted,
    choose,
    good_or_bad,
)

CATEGORY = "synthetic"
"""The category of MVTec AD that is written: none of the real ones has this name."""


def place_folder(wanted: Wanted) -> Iterator[Picture]:
    chosen = choose(wanted.source("train"), wanted.good_and_bad(), good_or_bad)
    for number, one in enumerate(chosen):
        name = f"{number:05d}.png"
        if one.shown.kinds:
            yield _picture(one, f"images/{name}", f"masks/{name}")
        else:
            yield _picture(one, f"good/{name}", None)


def place_mvtec_ad(wanted: Wanted) -> Iterator[Picture]:
    train, test = wanted.parts(1 / 3)
    for number, one in enumerate(choose(wanted.source("train"), {"good": train}, good_or_bad)):
        yield _picture(one, f"{CATEGORY}/train/good/{number:03d}.png", None)
    numbers: Counter[str] = Counter()
    quotas = wanted.of(test).good_and_bad()
    for one in choose(wanted.source("test"), quotas, good_or_bad):
        kind = _class_of(one.shown)
        name = f"{numbers[kind]:03d}"
        numbers[kind] += 1
        mask = f"{CATEGORY}/ground_truth/{kind}/{name}_mask.png" if kind != "good" else None
        yield _picture(one, f"{CATEGORY}/test/{kind}/{name}.png", mask)


_TAKEN_TWICE = (26, 34, 39)
"""Items of KolektorSDD that its reader joins with others: a surface here is no second take."""


def place_kolektor_sdd(wanted: Wanted) -> Iterator[Picture]:
    items: dict[str, int] = {}
    numbers = (number for number in count(1) if number not in _TAKEN_TWICE)
    chosen = choose(wanted.source("train"), wanted.good_and_bad(), good_or_bad, all_shots=True)
    for one in chosen:
        if one.shown.group not in items:
            items[one.shown.group] = next(numbers)
        stem = f"kos{items[one.shown.group]:02d}/Part{one.shown.shot}"
        yield _picture(one, f"{stem}.jpg", f"{stem}_label.bmp")


def place_kolektor_sdd2(wanted: Wanted) -> Iterator[Picture]:
    # Three tenths in test, and numbers of five digits, as published.
    for part, images, first in zip(
        ("train", "test"), wanted.parts(0.3), (10000, 20000), strict=True
    ):
        quotas = wanted.of(images).good_and_bad()
        for number, one in enumerate(choose(wanted.source(part), quotas, good_or_bad), first):
            yield _picture(one, f"{part}/{number}.png", f"{part}/{number}_GT.png")


_LEAST_IN_CLASS = 4


def place_dagm(wanted: Wanted) -> Iterator[Picture]:
    """A class of DAGM is a texture: each family of surface is one, with as many images."""
    least = _LEAST_IN_CLASS * len(wanted.surfaces)
    if wanted.count < least:
        raise ValueError(
            f"{wanted.count} images cannot fill train and test of {len(wanted.surfaces)} classes: "
            f"ask for {least} or more, or for fewer kinds of surface"
        )
    for number, family in enumerate(wanted.surfaces, start=1):
        shares = range(number - 1, wanted.count, len(wanted.surfaces))
        test, train = wanted.of(len(shares)).parts(0.5)
        # Numbers run on, so that none is in both parts.
        for part, images, first in (("Train", train, test + 1), ("Test", test, 1)):
            source = wanted.source(part.lower(), labels="ellipse")
            states = wanted.of(images).good_and_bad()
            _require_none_empty({f"Class{number}/{part}/Label": states["bad"]})
            quotas = {f"{family} {state}": n for state, n in states.items()}
            for shot, one in enumerate(choose(source, quotas, _family_and_state), first):
                place = f"Class{number}/{part}"
                mask = f"{place}/Label/{shot:04d}_label.PNG" if one.shown.kinds else None
                yield _picture(one, f"{place}/{shot:04d}.PNG", mask)


_TILE_FOLDERS = {
    "inclusion": "MT_Blowhole",
    "pit": "MT_Blowhole",
    "dent": "MT_Break",
    "peeling": "MT_Break",
    "crack": "MT_Crack",
    "scratch": "MT_Fray",
    "stain": "MT_Uneven",
}
"""The class that looks most like each kind of defect."""


def place_magnetic_tile(wanted: Wanted) -> Iterator[Picture]:
    counts = wanted.good_and_bad()
    classes = sorted(set(_TILE_FOLDERS.values()))
    quotas = {"MT_Free": counts["good"], **_evenly(counts["bad"], classes)}
    _require_none_empty(quotas)
    tiles: dict[str, int] = {}
    for one in choose(wanted.source("train"), quotas, _tile_folder, all_shots=True):
        tile = tiles.setdefault(one.shown.group, 1 + len(tiles))
        # Shots of one tile have neighboring numbers, and tiles are far apart.
        stem = f"{one.quota}/Imgs/exp{1 + one.shown.shot}_num_{1000 * tile + 20 * one.shown.shot}"
        yield _picture(one, f"{stem}.jpg", f"{stem}.png")


_STEEL_PREFIX = {"spot": "In", "area": "Pa", "line": "Sc"}
_FIRST_STEEL_NUMBER = 301
"""Of the 300 published numbers the reader knows which show one photograph; these are others."""


def place_sd_saliency_900(wanted: Wanted) -> Iterator[Picture]:
    quotas = _evenly(wanted.count, list(_STEEL_PREFIX))
    numbers = dict.fromkeys(_STEEL_PREFIX, _FIRST_STEEL_NUMBER)
    for one in choose(wanted.source("train"), quotas, _class_of):
        name = f"{_STEEL_PREFIX[one.quota]}_{numbers[one.quota]}"
        numbers[one.quota] += 1
        yield _picture(one, f"Source Images/{name}.bmp", f"Ground truth/{name}.png")


def place_severstal(wanted: Wanted) -> Iterator[Picture]:
    chosen = choose(wanted.source("train"), wanted.good_and_bad(), good_or_bad)
    for number, one in enumerate(chosen):
        # Eight hexadecimal digits, as published; the mask is in the table.
        yield _picture(one, f"train_images/{number:08x}.jpg", None)


def _picture(one: Chosen, image: str, mask: str | None) -> Picture:
    return Picture(one.source, one.index, image, mask, defective=bool(one.shown.kinds))


def _class_of(shown: Description) -> str:
    """The class of all defects, "combined" for several (as MVTec has it), "good" for none."""
    labels = {KINDS[kind].label for kind in shown.kinds}
    if len(labels) > 1:
        return "combined"
    return SyntheticSurfaces.class_names[labels.pop()] if labels else "good"


def _tile_folder(shown: Description) -> str | None:
    folders = {_TILE_FOLDERS[kind] for kind in shown.kinds} or {"MT_Free"}
    return folders.pop() if len(folders) == 1 else None


def _family_and_state(shown: Description) -> str:
    return f"{shown.family} {good_or_bad(shown)}"


def _evenly(images: int, names: Sequence[str]) -> dict[str, int]:
    return {name: len(range(k, images, len(names))) for k, name in enumerate(names)}


def _require_none_empty(quotas: Mapping[str, int]) -> None:
    empty = [name for name, images in quotas.items() if not images]
    if empty:
        raise ValueError(
            f"{', '.join(empty)} would be empty: ask for more images, or another share of "
            f"defective ones"
        )
