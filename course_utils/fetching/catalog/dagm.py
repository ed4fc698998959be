"""DAGM 2007: six classes open to everybody, and the competition's ten behind a log-in."""

from course_utils.data.registry import DAGM
from course_utils.fetching.published import ANYWHERE, GB, Archive, Part, PublishedSet

_FILES = "https://resources.mpi-inf.mpg.de/conference/dagm/2007/"

_COMPETITION = Archive(
    name="DAGM competition archive",
    holds="classes with the competition's train and test parts",
    rules=(
        (ANYWHERE + r"(Class\d+/(?:Train|Test)/(?:Label/)?\d+(?:_label)?\.(?:PNG|png))", r"\1"),
    ),
    limit=20 * GB,
    by_hand="The competition's sets (classes 1 to 10) want an account: with the organisers at "
    "hci.iwr.uni-heidelberg.de (Weakly Supervised Learning for Industrial Optical Inspection), or "
    "with Kaggle (mhskjelvareid/dagm-2007-competition-dataset-optical-inspection)",
)


# As NVIDIA's preparation of the set expects them; they add up to the published totals.
_TRAIN_DEFECTIVE = {1: 79, 2: 66, 3: 66, 4: 82, 5: 70, 6: 83, 7: 150, 8: 150, 9: 150, 10: 150}


def _good(number: int) -> Archive:
    return Archive(
        name=f"Class{number}.zip",
        holds=f"good images of class {number}",
        rules=((ANYWHERE + rf"(Class{number}/\d+\.png)", r"\1"),),
        urls=(f"{_FILES}Class{number}.zip",),
    )


def _defective(number: int) -> Archive:
    return Archive(
        name=f"Class{number}_def.zip",
        holds=f"defective images of class {number}, with ellipses",
        rules=((ANYWHERE + rf"(Class{number}_def/(?:\d+\.png|labels\.txt))", r"\1"),),
        urls=(f"{_FILES}Class{number}_def.zip",),
        limit=GB,
    )


def _development_part(number: int) -> Part:
    folder = f"Class{number}"
    return Part(
        name=str(number),
        archives=(_good(number).name, _defective(number).name),
        entries=(folder, f"{folder}_def"),
        files={f"{folder}/*.png": 1000, f"{folder}_def/*.png": 150, f"{folder}_def/labels.txt": 1},
        opens=f"dagm/{number}",
        counts={"good": 1000, "defective": 150},
    )


def _competition_part(number: int) -> Part:
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


DAGM_SET = PublishedSet(
    DAGM,
    (*(archive(number) for number in range(1, 7) for archive in (_good, _defective)), _COMPETITION),
    (
        *(_development_part(number) for number in range(1, 7)),
        *(_competition_part(number) for number in range(1, 11)),
    ),
)
