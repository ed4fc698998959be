"""DAGM 2007: six classes open to everybody, and the competition's ten behind a log-in."""

from course_utils.data import DATASETS
from course_utils.fetching.published import GB, Archive, Part, PublishedSet

_COMPETITION = Archive(
    name="DAGM competition archive",
    holds="classes with the competition's train and test parts",
    members=r"Class\d+/(?:Train|Test)/(?:Label/)?\d+(?:_label)?\.(?:PNG|png)",
    limit=20 * GB,
    by_hand="The competition's sets (classes 1 to 10) want an account: with the organizers at "
    "hci.iwr.uni-heidelberg.de (Weakly Supervised Learning for Industrial Optical Inspection), or "
    "with Kaggle (mhskjelvareid/dagm-2007-competition-dataset-optical-inspection)",
)
# As NVIDIA's preparation of the set expects them; they add up to the published totals.
_TRAIN_DEFECTIVE = {1: 79, 2: 66, 3: 66, 4: 82, 5: 70, 6: 83, 7: 150, 8: 150, 9: 150, 10: 150}


def _class_archive(folder: str, files: str, holds: str, limit: int) -> Archive:
    return Archive(
        name=f"{folder}.zip",
        holds=holds,
        members=f"{folder}/{files}",
        urls=(f"https://resources.mpi-inf.mpg.de/conference/dagm/2007/{folder}.zip",),
        limit=limit,
    )


_CLASS_ARCHIVES = tuple(
    archive
    for n in range(1, 7)
    for archive in (
        _class_archive(f"Class{n}", r"\d+\.png", f"good images of class {n}", 4 * GB),
        _class_archive(
            f"Class{n}_def",
            r"(?:\d+\.png|labels\.txt)",
            f"defective images of class {n}, with ellipses",
            GB,
        ),
    )
)


def _development_class(number: int) -> Part:
    folder = f"Class{number}"
    return Part(
        name=str(number),
        archives=(f"{folder}.zip", f"{folder}_def.zip"),
        entries=(folder, f"{folder}_def"),
        files={f"{folder}/*.png": 1000, f"{folder}_def/*.png": 150, f"{folder}_def/labels.txt": 1},
        opens=f"dagm/{number}",
        counts={"good": 1000, "defective": 150},
    )


def _competition_class(number: int) -> Part:
    good, defective = (1000, 150) if number <= 6 else (2000, 300)
    half = (good + defective) // 2
    folder = f"Class{number}"
    return Part(
        name=str(number),
        archives=(_COMPETITION.name,),
        entries=(folder,),
        files={
            f"{folder}/Train/*.[Pp][Nn][Gg]": half,
            f"{folder}/Test/*.[Pp][Nn][Gg]": half,
            f"{folder}/*/Label/*.[Pp][Nn][Gg]": defective,
        },
        opens=f"dagm/{number}",
        counts={
            "train": half,
            "test": half,
            "train defective": _TRAIN_DEFECTIVE[number],
            "test defective": defective - _TRAIN_DEFECTIVE[number],
        },
    )


DAGM = PublishedSet(
    DATASETS["dagm"],
    (*_CLASS_ARCHIVES, _COMPETITION),
    (*map(_development_class, range(1, 7)), *map(_competition_class, range(1, 11))),
    lessons=("07",),
)
