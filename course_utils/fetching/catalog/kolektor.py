"""Both sets of Kolektor, from the laboratory that made them."""

from course_utils.data.registry import KOLEKTOR_SDD, KOLEKTOR_SDD2
from course_utils.fetching.published import ANYWHERE, GB, Archive, Part, PublishedSet

_FILES = "https://data.vicos.si/datasets/KSDD/"
_COUNTS = {"good": 347, "defective": 52}

_FINE = Archive(
    name="KolektorSDD.zip",
    holds="images and fine masks",
    rules=((ANYWHERE + r"(kos\d\d/Part\d(?:\.jpg|_label\.bmp))", r"\1"),),
    urls=("https://go.vicos.si/kolektorsdd", _FILES + "KolektorSDD.zip"),
    # anomalib's; the MD5 2b094030343c1cd59df02203ac6c57a0, also in use, is of the same file.
    digest="sha256:65dc621693418585de9c4467d1340ea7958a6181816f0dc2883a1e8b61f9d4dc",
    limit=2 * GB,
)
_BOXES = Archive(
    name="KolektorSDD-boxes.zip",
    holds="box masks, which both two-stage papers use",
    rules=((ANYWHERE + r"(kos\d\d/Part\d_label\.bmp)", r"boxes/\1"),),
    urls=("https://go.vicos.si/kolektorsddboxes", _FILES + "KolektorSDD-boxes.zip"),
    digest="md5:4e559e7c4be5ab5001db8243c1b125df",  # that of a public reader of the set
    limit=2 * GB,
)
_SPLITS = Archive(
    name="KolektorSDD-training-splits.zip",
    holds="the authors' three folds",
    rules=((ANYWHERE + r"split\.pyb", "split.pyb"),),
    urls=(_FILES + "KolektorSDD-training-splits.zip",),
    # That of a public training on the set.
    digest="sha256:8ec637bf01be6d97254d9885abea9e5f32eda0387ebc356be24ab6bc0c3b0db2",
    limit=GB // 10,
)

KOLEKTOR_SET = PublishedSet(
    KOLEKTOR_SDD,
    (_FINE, _BOXES, _SPLITS),
    (
        Part(
            name="fine",
            archives=(_FINE.name,),
            entries=tuple(f"kos{number:02d}" for number in range(1, 51)),
            files={"kos*": 50},
            opens="kolektor_sdd",
            counts=_COUNTS,
            mask_values=frozenset({0, 255}),
        ),
        Part(
            name="boxes",
            archives=(_BOXES.name,),
            entries=("boxes",),
            files={"boxes/kos*": 50},
            opens="kolektor_sdd",
            options={"masks": "boxes"},
            counts=_COUNTS,
        ),
        Part(
            name="splits",
            archives=(_SPLITS.name,),
            entries=("split.pyb",),
            files={"split.pyb": 1},
            opens="kolektor_sdd",
        ),
    ),
    lessons=("07",),
)

_SECOND = Archive(
    name="KolektorSDD2.zip",
    holds="images and fine masks",
    rules=((ANYWHERE + r"((?:train|test)/\d+(?:_GT)?\.png)", r"\1"),),
    urls=("https://go.vicos.si/kolektorsdd2", _FILES + "KolektorSDD2.zip"),
    digest="md5:1ed0f628122776ace4965afa30dfe316",
    size=853_126_555,
)

KOLEKTOR_2_SET = PublishedSet(
    KOLEKTOR_SDD2,
    (_SECOND,),
    (
        Part(
            name="",
            archives=(_SECOND.name,),
            entries=("train", "test"),
            files={
                "train/*_GT.png": 2331,
                "train/*[0-9].png": 2331,
                "test/*_GT.png": 1004,
                "test/*[0-9].png": 1004,
            },
            opens="kolektor_sdd2",
            counts={
                "train good": 2085,
                "train defective": 246,
                "test good": 894,
                "test defective": 110,
            },
        ),
    ),
)
