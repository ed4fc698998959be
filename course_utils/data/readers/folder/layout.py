"""Where images and masks lie in a folder of a person's own, and which of them belong together."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from course_utils.data.faults import Faults
from course_utils.data.image_files import IMAGE_SUFFIXES, list_by_suffix, list_folder
from course_utils.data.readers.folder.texts import plain

FOLDER_LAYOUT = (
    "images/ and masks/ with files of the same names, good/ for images without defects, "
    "defective/ for images with defects and without masks, any of these; if you like, "
    "train/, val/ and test/ around or inside of them, classes.txt with one name per line, and "
    "groups.csv with the columns file and group"
)
MASK_SUFFIXES = (*IMAGE_SUFFIXES, ".gif")
PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ROLES = ("images", "masks", "good", "defective")
_TRUTH = "ground_truth"  # MVTec AD's folder of masks
_WORDS = (
    "masks?|labels?|gt|ground[_-]?truth|seg|segm|segmentation|annotations?|annot|anno|mark|defects?"
)
_MASK_WORD = re.compile(rf"(?P<stem>.+)[_\-. ](?:{_WORDS})|(?:{_WORDS})[_\-. ](?P<rest>.+)")
_IMAGE_WORD = re.compile(r"(?P<stem>.+)[_\-. ](?:images?|img)|(?:images?|img)[_\-. ](?P<rest>.+)")
MASK_ENDINGS = "_mask, _label, _gt, _seg, _segmentation, _annotation"


@dataclass(frozen=True)
class Found:
    """An image with what its place says of it."""

    image: Path
    mask: Path | None = None
    part: str = ""
    """`"train"`, `"val"` or `"test"`; empty if no part is stated."""
    defective: bool = False
    """Whether it is filed as defective."""
    kind: str = ""
    """The kind of defect it is filed under, if any."""


@dataclass
class Listing:
    """What `list_layout` finds."""

    images: list[Found] = field(default_factory=list)
    not_read: list[str] = field(default_factory=list)
    """Folders that have no meaning here."""


def list_layout(folder: Path, faults: Faults) -> Listing:
    """Return all images of `folder`, opening none; `faults` gets what does not fit the layout.

    Folders may be written in capitals. Parts are folders around the others (`train/images`) or
    inside of them (`images/train`), `PART_NAMES`. Folders within `defective/` are kinds of defects.
    If there is a `ground_truth/`, as in MVTec AD, other folders are kinds of defects, with masks in
    `ground_truth/<kind>/`.
    """
    listing = Listing()
    if not folder.is_dir():
        _add_missing(f"{folder} does not exist: want a folder with {FOLDER_LAYOUT}", faults)
        return listing
    top = _folders(folder, faults)
    truth = _folders(top.pop(_TRUTH), faults) if _TRUTH in top else {}
    around = _by_part(top, faults)
    roles = {name: path for name, path in top.items() if name in _ROLES}
    inside = {name: _by_part(_folders(path, faults), faults) for name, path in roles.items()}
    if around:
        for name, path in roles.items():
            faults.add(f"{path} lies beside {_listed(around)}: put {name}/ into one of the parts")
        for part, place in around.items():
            _list_place(_folders(place, faults), part, truth, listing, faults)
        top = {name: path for name, path in top.items() if name not in PART_NAMES}
        listing.not_read += [path.name for name, path in top.items() if name not in _ROLES]
    elif any(inside.values()):
        stated = {part: path for parts in inside.values() for part, path in parts.items()}
        for path in roles.values():
            if any(one.is_file() or plain(one.name) not in PART_NAMES for one in list_folder(path)):
                faults.add(
                    f"{path} holds other things than parts, and other folders here hold "
                    f"{_listed(stated)}: put all images and masks into parts"
                )
        for part in stated:
            here = {name: parts[part] for name, parts in inside.items() if part in parts}
            _list_place(here, part, {}, listing, faults)
        listing.not_read += [path.name for name, path in top.items() if name not in _ROLES]
    else:
        _list_place(top, "", truth, listing, faults)
    if not listing.images and not faults.found:
        found = [path.name for path in list_folder(folder)]
        has = f". It has {', '.join(found[:5])}{' ...' if len(found) > 5 else ''}" if found else ""
        _add_missing(f"{folder} holds no images: want {FOLDER_LAYOUT}{has}", faults)
    _check_parts(folder, listing, faults)
    return listing


def _list_place(
    place: Mapping[str, Path],
    part: str,
    truth: Mapping[str, Path],
    listing: Listing,
    faults: Faults,
) -> None:
    """Add what lies in the folders of `place`, by name, to `listing`.

    `truth` are the folders of masks by the name of the kind.
    """
    order = dict.fromkeys((*_ROLES, *place))
    for name, path in ((name, place[name]) for name in order if name in place):
        if name in truth:
            images = list_by_suffix(path, IMAGE_SUFFIXES, faults=faults)[0]
            listing.images += _paired(images, truth[name], part, faults, kind=path.name)
        elif name == "images" and "masks" in place:
            images = list_by_suffix(path, IMAGE_SUFFIXES, faults=faults)[0]
            listing.images += _paired(images, place["masks"], part, faults)
        elif name in ("images", "masks") and not {"images", "masks"} <= set(place):
            other = "masks" if name == "images" else "images"
            _add_missing(f"{other} does not exist for {path}: want {FOLDER_LAYOUT}", faults)
        elif name == "good":
            images = list_by_suffix(path, IMAGE_SUFFIXES, faults=faults)[0]
            _refuse_masks(images, faults)
            listing.images += [Found(image, part=part) for image in images.values()]
        elif name == "defective":
            listing.images += _defective(path, part, faults)
        elif name != "masks" and truth:
            _add_missing(f"{path} has no masks: want them in {_TRUTH}/{path.name}/", faults)
        elif name != "masks":
            listing.not_read.append(f"{part}/{path.name}" if part else path.name)


def _defective(folder: Path, part: str, faults: Faults) -> list[Found]:
    kinds = [path for path in list_folder(folder) if path.is_dir()]
    if not kinds:
        images = list_by_suffix(folder, IMAGE_SUFFIXES, faults=faults)[0]
        _refuse_masks(images, faults)
        return [Found(path, part=part, defective=True) for path in images.values()]
    for path in list_folder(folder):
        if path.is_file():
            faults.add(f"{path} lies beside {kinds[0].name}/: put it into the folder of its kind")
    return [
        Found(path, part=part, defective=True, kind=kind.name)
        for kind in kinds
        for path in list_by_suffix(kind, IMAGE_SUFFIXES, faults=faults)[0].values()
    ]


def _refuse_masks(images: Mapping[str, Path], faults: Faults) -> None:
    """Masks that lie beside their photographs would be taken for photographs."""
    for stem, path in images.items():
        core = _core(stem, _MASK_WORD)
        if core != stem and core in images and not stem.endswith(("defect", "defects", "mark")):
            faults.add(
                f"{path} looks like the mask of {images[core].name}, among the photographs: put "
                f"photographs with masks into images/ and their masks into masks/"
            )


def _paired(
    images: Mapping[str, Path], mask_folder: Path, part: str, faults: Faults, *, kind: str = ""
) -> list[Found]:
    """Match images and masks by name.

    A mask has the stem of its image, or that and a word for masks before or after it (`_WORDS`);
    letters may be capitals, and composed or not. Of an image's stem, `_image` and `_img` may be
    left out.
    """
    masks = _by_plain_stem(list_by_suffix(mask_folder, MASK_SUFFIXES, faults=faults)[0], faults)
    by_core: dict[str, list[str]] = {}
    for name in masks:
        by_core.setdefault(_core(name, _MASK_WORD), []).append(name)
    left = dict(masks)
    found: list[Found] = []
    open_images: dict[str, Path] = {}
    for name, image in _by_plain_stem(images, faults).items():
        if name in left:
            found.append(Found(image, left.pop(name), part, bool(kind), kind))
        else:
            open_images[name] = image
    for name, image in open_images.items():
        for core in (name, _core(name, _IMAGE_WORD)):
            fitting = [mask for mask in by_core.get(core, ()) if mask in left]
            if fitting:
                break
        if len(fitting) == 1:
            found.append(Found(image, left.pop(fitting[0]), part, bool(kind), kind))
        elif fitting:
            both = " and ".join(left.pop(mask).name for mask in fitting)
            faults.add(f"{image} has several masks in {mask_folder} ({both}): merge or remove one")
        else:
            text = (
                f"{image} has no mask: {mask_folder} holds no file called {image.stem}.*, nor "
                f"with one of the usual endings ({MASK_ENDINGS})"
            )
            _add_missing(text, faults)
    for mask in left.values():
        faults.add(f"{mask} is a mask without an image: add the image or take it away")
    return sorted(found, key=lambda one: one.image)


def _by_plain_stem(files: Mapping[str, Path], faults: Faults) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for stem, path in files.items():
        if plain(stem) in found:
            faults.add(f"{found[plain(stem)]} and {path.name} differ only in capitals: rename one")
        found.setdefault(plain(stem), path)
    return found


def _core(name: str, word: re.Pattern[str]) -> str:
    match = word.fullmatch(name)
    return (match["stem"] or match["rest"]) if match else name


def _add_missing(text: str, faults: Faults) -> None:
    faults.found.append(FileNotFoundError(text))


def _check_parts(folder: Path, listing: Listing, faults: Faults) -> None:
    stated = {one.part for one in listing.images} - {""}
    for needed in ("train", "test") if stated else ():
        if needed not in stated:
            cure = "put a part of your images there"
            if stated == {"train", "val"}:
                cure = "rename val to test, and a fifth of train will be held out for validation"
            faults.add(
                f"{folder} states the parts {', '.join(sorted(stated))} but has no image for "
                f"{needed}: {cure}"
            )


def _folders(folder: Path, faults: Faults) -> dict[str, Path]:
    """Return the folders in `folder` by their names in lower case."""
    found: dict[str, Path] = {}
    for path in list_folder(folder):
        if path.is_dir():
            if plain(path.name) in found:
                faults.add(
                    f"{found[plain(path.name)]} and {path.name} differ in capitals: join them"
                )
            found[plain(path.name)] = path
    return found


def _by_part(folders: Mapping[str, Path], faults: Faults) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in folders.items():
        if part := PART_NAMES.get(name):
            if part in found:
                faults.add(f"{found[part]} and {path.name} are one part, {part}: join them")
            found[part] = path
    return found


def _listed(parts: Mapping[str, Path]) -> str:
    return ", ".join(f"{path.name}/" for path in parts.values())
