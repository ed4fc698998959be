"""Tiny stand-ins of every published archive, in the layout in which it is published."""

import gzip
import hashlib
import io
import lzma
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from course_utils.fetching import PUBLISHED, PublishedSet

Members = dict[str, bytes]
Made = tuple[dict[str, Members], dict[str, dict[str, int]]]
"""Members of each archive, and counts of each part."""


@dataclass(frozen=True)
class StandIn:
    """A set whose archives are tiny, and what is in them."""

    published: PublishedSet
    files: Mapping[str, bytes]
    """Archive by its name."""


def stand_in(name: str, address: str = "", folder: Path | None = None) -> StandIn:
    """Return the stand-in of the set `name`, whose archives can be had at `address`.

    Rules, entries and the patterns of files are the published ones; numbers are those of the tiny
    archives.
    """
    global _noise
    _noise = np.random.default_rng(11)  # the same archives each time
    archives, counts = _MAKERS[name]()
    files = {
        archive: (_tar if ".tar." in archive else _zip)(archive, members)
        for archive, members in archives.items()
    }
    real = PUBLISHED[name]
    published = replace(
        real,
        archives=tuple(
            replace(
                archive,
                urls=(f"{address}/{archive.name}",) if archive.urls else (),
                digest=_digest(archive.digest, files[archive.name]),
                size=len(files[archive.name]),
            )
            for archive in real.archives
            if archive.name in files
        ),
        parts=tuple(
            replace(
                part,
                entries=tuple(e for e in part.entries if part.name != "fine" or e in _ITEMS),
                files={
                    pattern: found
                    for pattern in part.files
                    if (found := _found(pattern, _places(real, part, archives)))
                },
                counts=counts.get(part.name, {}),
                empty_masks=0,
            )
            for part in real.parts
            if all(archive in files for archive in part.archives)
        ),
    )
    return StandIn(published, files)


def _places(real: PublishedSet, part, archives: Mapping[str, Members]) -> list[str]:
    """Return where the members of the part's archives go."""
    return [
        place
        for name in part.archives
        for member in archives[name]
        if (place := real.archive(name).place(member))
    ]


_ITEMS = ("kos01", "kos02", "kos03")


def picture(ending: str = ".png", size: tuple[int, int] = (16, 12), channels: int = 1) -> bytes:
    shape = size if channels == 1 else (*size, channels)
    return cv2.imencode(ending, _noise.integers(0, 256, shape, np.uint8))[1].tobytes()


_noise = np.random.default_rng()


def mask(ending: str = ".png", size: tuple[int, int] = (16, 12), value: int = 255) -> bytes:
    pixels = np.zeros(size, np.uint8)
    pixels[4:8, 3:6] = value
    return cv2.imencode(ending, pixels)[1].tobytes()


def _tiles() -> Made:
    members: Members = {"Magnetic-tile-defect-datasets.-master/README.md": b"read me"}
    for number, name in enumerate(("Free", "Blowhole", "Break", "Crack", "Fray", "Uneven")):
        for shot in range(2):
            stem = f"Magnetic-tile-defect-datasets.-master/MT_{name}/Imgs/exp{shot}_num_{number}000"
            members[f"{stem}{shot}.jpg"] = picture(".jpg")
            members[f"{stem}{shot}.png"] = mask(value=0 if name == "Free" else 255)
    counts = {"good": 2, "blowhole": 2, "crack": 2, "uneven": 2}
    return {"Magnetic-tile-defect-datasets.zip": members}, {"": counts}


def _strips() -> Made:
    place = "MCITF-125ae637/SD-saliency-900"
    members: Members = {"MCITF-125ae637/Results/2LSG/In_1.png": picture()}
    for prefix in ("In", "Pa", "Sc"):
        for number in (1, 2):
            members[f"{place}/Source Images/{prefix}_{number}.bmp"] = picture(".bmp")
            members[f"{place}/Ground truth/{prefix}_{number}.png"] = mask()
    return {"MCITF.zip": members}, {"": {"inclusion": 2, "patches": 2, "scratches": 2}}


def _kolektor() -> Made:
    fine: Members = {}
    for item in _ITEMS:
        for part in range(2):
            fine[f"KolektorSDD/{item}/Part{part}.jpg"] = picture(".jpg")
            label = mask(".bmp", value=0 if part else 255)
            fine[f"KolektorSDD/{item}/Part{part}_label.bmp"] = label
    folds = [[item] for item in _ITEMS]
    train = [[item for item in _ITEMS if item not in fold] for fold in folds]
    splits = {"KolektorSDD-training-splits/split.pyb": pickle.dumps((train, folds, list(_ITEMS)))}
    counts = {"good": 3, "defective": 3}
    archives = {"": fine, "-boxes": fine, "-training-splits": splits}
    named = {f"KolektorSDD{name}.zip": members for name, members in archives.items()}
    return named, {"fine": counts, "boxes": counts}


def _kolektor_2() -> Made:
    members: Members = {"split_weakly_0.pyb": b"0"}
    for part in ("train", "test"):
        for number in range(6):
            members[f"{part}/1000{number}.png"] = picture(channels=3)
            members[f"{part}/1000{number}_GT.png"] = mask(value=255 if number < 2 else 0)
    members["train/10301 (copy).png"] = picture(channels=3)
    members["train/10301_GT (copy).png"] = mask()
    counts = {f"{part} {kind}": n for part in ("train", "test") for kind, n in _TWO_OF_SIX}
    return {"KolektorSDD2.zip": members}, {"": counts}


_TWO_OF_SIX = (("good", 4), ("defective", 2))


def _mvtec() -> Made:
    members: Members = {"license.txt": b"by-nc-sa", "readme.txt": b"read me"}
    counts = {}
    for part in PUBLISHED["mvtec_ad"].parts:
        place = part.name
        members[f"{place}/license.txt"] = b"by-nc-sa"
        for number in range(5):
            members[f"{place}/train/good/{number:03d}.png"] = picture()
        members[f"{place}/test/good/000.png"] = picture()
        members[f"{place}/test/bent/000.png"] = picture()
        members[f"{place}/ground_truth/bent/000_mask.png"] = mask()
        counts[place] = {"train good": 5, "test good": 1, "test defective": 1}
    return {"mvtec_anomaly_detection.tar.xz": members}, counts


def _dagm() -> Made:
    archives: dict[str, Members] = {}
    for number in range(1, 7):
        archives[f"Class{number}.zip"] = {
            f"Class{number}/{index}.png": picture() for index in range(1, 6)
        }
        archives[f"Class{number}_def.zip"] = {
            f"Class{number}_def/1.png": picture(),
            f"Class{number}_def/labels.txt": b"1\t4.0\t2.0\t0.5\t6.0\t8.0\n",
        }
    return archives, {str(number): {"good": 5, "defective": 1} for number in range(1, 7)}


def dagm_competition() -> bytes:
    """Return the archive that people have from the competition, or from Kaggle."""
    members: Members = {}
    for number in (1, 10):
        for part in ("Train", "Test"):
            place = f"DAGM_KaggleUpload/Class{number}/{part}"
            for index in range(1, 4):
                members[f"{place}/{index:04d}.PNG"] = picture()
            members[f"{place}/Label/0001_label.PNG"] = mask()
            members[f"{place}/Label/Labels.txt"] = b"1\n"
    return _zip("dagm.zip", members)


def _severstal() -> Made:
    names = [f"{number:04x}.jpg" for number in range(6)]
    members = {f"train_images/{name}": picture(".jpg", (256, 1600)) for name in names}
    members["test_images/0000.jpg"] = picture(".jpg", (256, 1600))
    members["train.csv"] = (
        f"ImageId,ClassId,EncodedPixels\n{names[0]},1,1 20\n{names[0]},3,300 20\n{names[1]},4,9 9\n"
    ).encode()
    archive = "severstal-steel-defect-detection.zip"
    return {archive: members}, {"": {"good": 4, "defective": 2}}


def _textures() -> Made:
    names = ("banded", "polka-dotted", "woven")
    members = {
        f"dtd/images/{name}/{name}_{number:04d}.jpg": picture(".jpg", channels=3)
        for name in names
        for number in range(2)
    }
    members["dtd/labels/labels_joint_anno.txt"] = b"banded"
    return {"dtd-r1.0.1.tar.gz": members}, {"": {f"in {name}": 2 for name in names}}


def _tiny_imagenet() -> Made:
    place = "tiny-imagenet-200"
    members: Members = {f"{place}/words.txt": b"n01\tthing", f"{place}/wnids.txt": b"n01"}
    for name in ("n01443537", "n01629819"):
        for number in range(3):
            members[f"{place}/train/{name}/images/{name}_{number}.JPEG"] = picture(".jpg")
        members[f"{place}/train/{name}/{name}_boxes.txt"] = b"0 0 1 1"
    members[f"{place}/val/images/val_0.JPEG"] = picture(".jpg", channels=3)
    members[f"{place}/val/val_annotations.txt"] = b"val_0.JPEG\tn01443537\t0\t0\t1\t1\n"
    members[f"{place}/test/images/test_0.JPEG"] = picture(".jpg")
    return {"tiny-imagenet-200.zip": members}, {"": {"train": 6, "test": 1}}


_MAKERS: dict[str, Callable[[], Made]] = {
    "magnetic_tile": _tiles,
    "sd_saliency_900": _strips,
    "kolektor_sdd": _kolektor,
    "kolektor_sdd2": _kolektor_2,
    "mvtec_ad": _mvtec,
    "dagm": _dagm,
    "severstal": _severstal,
    "dtd": _textures,
    "tiny_imagenet": _tiny_imagenet,
}


def _zip(name: str, members: Members) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member), data)  # of 1980, so the same at all times
    return content.getvalue()


def _tar(name: str, members: Members) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for member, data in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    if name.endswith("xz"):
        return lzma.compress(content.getvalue())
    return gzip.compress(content.getvalue(), mtime=0)


def _digest(published: str, content: bytes) -> str:
    kind = published.partition(":")[0]
    return f"{kind}:{hashlib.new(kind, content).hexdigest()}" if kind else ""


def _found(pattern: str, places: list[str]) -> int:
    """Count what the pattern finds among places: folders count once."""
    depth = pattern.count("/") + 1
    heads = {"/".join(place.split("/")[:depth]) for place in places}
    return sum(Path(head).match(pattern) for head in heads)
