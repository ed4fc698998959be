"""The published data sets of the course: addresses, hashes, contents and counts.

Where the authors publish no hash, that of a public copy of their file stands here, if there is
one, with a note of whose it is.
"""

from typing import Any

from course_utils.data import DATASETS
from course_utils.fetching.catalog_dagm import DAGM
from course_utils.fetching.published import GB, Archive, Part, PublishedSet

_BLACK_AND_WHITE = frozenset({0, 255})


def _one_part(
    name: str, archive: Archive, *, lessons: tuple[str, ...] = (), **part: Any
) -> PublishedSet:
    """Return a set of one archive and one part; `part` are the other fields of that `Part`."""
    whole = Part(name="", archives=(archive.name,), opens=name, **part)
    return PublishedSet(DATASETS[name], (archive,), (whole,), lessons)


# Magnetic tiles: the authors' repository, as it stood at one commit.
_TILE_COUNTS = {"Free": 952, "Blowhole": 115, "Break": 85, "Crack": 57, "Fray": 32, "Uneven": 103}

_MAGNETIC_TILE = _one_part(
    "magnetic_tile",
    Archive(
        name="Magnetic-tile-defect-datasets.zip",
        holds="images and masks",
        members=r"MT_[A-Z][a-z]+/Imgs/[^/]+\.(?:jpg|png)",
        urls=(
            "https://github.com/abin24/Magnetic-tile-defect-datasets./archive/"
            "cc4eb530b57b9cb7225bf76023873043ffd50655.zip",
        ),
        # That of NVIDIA's preparation of the set, which takes the same commit.
        digest="sha256:592b050953d1de4ffa538b93b6b91aee7268d8e59b73d4d9c92cfce187d7ce66",
        limit=GB,
    ),
    lessons=("00", "01", "02", "03", "04", "07"),
    entries=tuple(f"MT_{name}" for name in _TILE_COUNTS),
    files={
        f"MT_{name}/Imgs/*.{ending}": count
        for name, count in _TILE_COUNTS.items()
        for ending in ("jpg", "png")
    },
    empty_masks=4,  # of class uneven
    counts={"good": 952} | {name.lower(): n for name, n in _TILE_COUNTS.items() if name != "Free"},
)

# Strips of steel: the authors' repository, too.
_SD_SALIENCY_900 = _one_part(
    "sd_saliency_900",
    Archive(
        name="MCITF.zip",
        holds="the authors' repository: images, masks, code and results",
        members=r"(?:Source Images|Ground truth)/(?:In|Pa|Sc)_\d+\.\w+",
        urls=(
            "https://github.com/SongGuorong/MCITF/archive/"
            "125ae637ef04d30f8b71549335e3ed06001669c5.zip",
        ),
    ),
    lessons=("01", "02", "03"),
    entries=("Source Images", "Ground truth"),
    files={
        f"{folder}/{prefix}_*.*": 300
        for folder in ("Source Images", "Ground truth")
        for prefix in ("In", "Pa", "Sc")
    },
    mask_values=_BLACK_AND_WHITE,
    also_as=("images", "masks"),
    counts={"inclusion": 300, "patches": 300, "scratches": 300},
)

# Both sets of Kolektor, from the laboratory that made them.
_VICOS = "https://data.vicos.si/datasets/KSDD/"
_KOLEKTOR_COUNTS = {"good": 347, "defective": 52}

_FINE = Archive(
    name="KolektorSDD.zip",
    holds="images and fine masks",
    members=r"kos\d\d/Part\d(?:\.jpg|_label\.bmp)",
    urls=("https://go.vicos.si/kolektorsdd", _VICOS + "KolektorSDD.zip"),
    # anomalib's; the MD5 2b094030343c1cd59df02203ac6c57a0, also in use, is of the same file.
    digest="sha256:65dc621693418585de9c4467d1340ea7958a6181816f0dc2883a1e8b61f9d4dc",
    limit=2 * GB,
)
_BOXES = Archive(
    name="KolektorSDD-boxes.zip",
    holds="box masks, which both two-stage papers use",
    members=r"kos\d\d/Part\d_label\.bmp",
    folder="boxes/",
    urls=("https://go.vicos.si/kolektorsddboxes", _VICOS + "KolektorSDD-boxes.zip"),
    digest="md5:4e559e7c4be5ab5001db8243c1b125df",  # that of a public reader of the set
    limit=2 * GB,
)
_SPLITS = Archive(
    name="KolektorSDD-training-splits.zip",
    holds="the authors' three folds",
    members=r"split\.pyb",
    urls=(_VICOS + "KolektorSDD-training-splits.zip",),
    # That of a public training on the set.
    digest="sha256:8ec637bf01be6d97254d9885abea9e5f32eda0387ebc356be24ab6bc0c3b0db2",
    limit=GB // 10,
)

_KOLEKTOR_SDD = PublishedSet(
    DATASETS["kolektor_sdd"],
    (_FINE, _BOXES, _SPLITS),
    (
        Part(
            name="fine",
            archives=(_FINE.name,),
            entries=tuple(f"kos{number:02d}" for number in range(1, 51)),
            files={"kos*": 50},
            opens="kolektor_sdd",
            counts=_KOLEKTOR_COUNTS,
            mask_values=_BLACK_AND_WHITE,
        ),
        Part(
            name="boxes",
            archives=(_BOXES.name,),
            entries=("boxes",),
            files={"boxes/kos*": 50},
            opens="kolektor_sdd",
            options={"masks": "boxes"},
            counts=_KOLEKTOR_COUNTS,
        ),
        Part(
            name="splits",
            archives=(_SPLITS.name,),
            entries=("split.pyb",),
            files={"split.pyb": 1},
            opens="kolektor_sdd",
        ),
    ),
    lessons=("04", "05", "06", "07"),
)

_KOLEKTOR_SDD2 = _one_part(
    "kolektor_sdd2",
    Archive(
        name="KolektorSDD2.zip",
        holds="images and fine masks",
        members=r"(?:train|test)/\d+(?:_GT)?\.png",
        urls=("https://go.vicos.si/kolektorsdd2", _VICOS + "KolektorSDD2.zip"),
        digest="md5:1ed0f628122776ace4965afa30dfe316",
        size=853_126_555,
    ),
    entries=("train", "test"),
    files={
        "train/*_GT.png": 2331,
        "train/*[0-9].png": 2331,
        "test/*_GT.png": 1004,
        "test/*[0-9].png": 1004,
    },
    counts={"train good": 2085, "train defective": 246, "test good": 894, "test defective": 110},
)

# MVTec AD: one archive with all categories, each of which is a part.
_CATEGORY_COUNTS = {  # train good, test good, test defective
    "bottle": (209, 20, 63),
    "cable": (224, 58, 92),
    "capsule": (219, 23, 109),
    "carpet": (280, 28, 89),
    "grid": (264, 21, 57),
    "hazelnut": (391, 40, 70),
    "leather": (245, 32, 92),
    "metal_nut": (220, 22, 93),
    "pill": (267, 26, 141),
    "screw": (320, 41, 119),
    "tile": (230, 33, 84),
    "toothbrush": (60, 12, 30),
    "transistor": (213, 60, 40),
    "wood": (247, 19, 60),
    "zipper": (240, 32, 119),
}
_CATEGORIES = Archive(
    name="mvtec_anomaly_detection.tar.xz",
    holds="all 15 categories",
    members=r"[a-z_]+/(?:(?:train|test|ground_truth)/[^/]+/[^/]+\.png|[a-z]+\.txt)",
    urls=(
        "https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/download/"
        "420938113-1629960298/mvtec_anomaly_detection.tar.xz",
        "https://www.mydrive.ch/shares/38536/3830184030e49fe74747669442f0f282/download/"
        "420938113-1629952094/mvtec_anomaly_detection.tar.xz",
    ),
    digest="sha256:cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
    size=5_300_000_000,
    limit=20 * GB,
)


def _category(name: str) -> Part:
    train, good, defective = _CATEGORY_COUNTS[name]
    return Part(
        name=name,
        archives=(_CATEGORIES.name,),
        entries=(name,),
        files={
            f"{name}/train/good/*.png": train,
            f"{name}/test/good/*.png": good,
            f"{name}/test/*/*.png": good + defective,
            f"{name}/ground_truth/*/*_mask.png": defective,
        },
        opens=f"mvtec_ad/{name}",
        mask_values=_BLACK_AND_WHITE,
        counts={"train good": train, "test good": good, "test defective": defective},
    )


_MVTEC_AD = PublishedSet(
    DATASETS["mvtec_ad"],
    (_CATEGORIES,),
    tuple(_category(name) for name in _CATEGORY_COUNTS),
    lessons=("00", "04", "05", "06"),
)

# Pictures without defects: textures for anomalies, and classes to pretrain an encoder on.
_TEXTURES = (
    "banded blotchy braided bubbly bumpy chequered cobwebbed cracked crosshatched crystalline "
    "dotted fibrous flecked freckled frilly gauzy grid grooved honeycombed interlaced knitted "
    "lacelike lined marbled matted meshed paisley perforated pitted pleated polka-dotted porous "
    "potholed scaly smeared spiralled sprinkled stained stratified striped studded swirly veined "
    "waffled woven wrinkled zigzagged"
)

_DTD = _one_part(
    "dtd",
    Archive(
        name="dtd-r1.0.1.tar.gz",
        holds="47 classes of textures",
        members=r"images/[a-z-]+/[^/]+\.jpg",
        urls=("https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",),
        digest="md5:fff73e5086ae6bdbea199a49dfb8a4c1",  # torchvision's
        size=600_000_000,
    ),
    lessons=("04", "05", "06"),
    entries=("images",),
    files={f"images/{name}/*.jpg": 120 for name in _TEXTURES.split()},
    counts={f"in {name}": 120 for name in _TEXTURES.split()},
    partial=True,
)

_TINY_IMAGENET = _one_part(
    "tiny_imagenet",
    Archive(
        name="tiny-imagenet-200.zip",
        holds="200 classes of pictures of 64 x 64 pixels",
        members=r"train/n\d+/images/[^/]+\.JPEG|val/images/[^/]+\.JPEG"
        r"|val/val_annotations\.txt|words\.txt",
        urls=("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
        digest="md5:90528d7ca1a48142e341f4ef8d21d0de",  # that of public readers of the set
        size=248_000_000,
        limit=2 * GB,
    ),
    entries=("train", "val", "words.txt"),
    files={
        "train/*/images/*.JPEG": 100_000,
        "val/images/*.JPEG": 10_000,
        "val/val_annotations.txt": 1,
    },
    counts={"train": 100_000, "test": 10_000},
)

_SEVERSTAL = _one_part(
    "severstal",
    Archive(
        name="severstal-steel-defect-detection.zip",
        holds="training images and the run lengths of their masks",
        members=r"train_images/[^/]+\.jpg|train\.csv",
        limit=10 * GB,
        by_hand="Kaggle gives it to those who accepted the rules of the competition: log in at "
        "https://www.kaggle.com/c/severstal-steel-defect-detection, accept them, and download it "
        "there or with `kaggle competitions download -c severstal-steel-defect-detection`",
    ),
    lessons=("07",),
    entries=("train_images", "train.csv"),
    files={"train_images/*.jpg": 12568, "train.csv": 1},
    counts={"good": 5902, "defective": 6666},
)

PUBLISHED: dict[str, PublishedSet] = {
    published.info.name: published
    for published in (
        _MAGNETIC_TILE,
        _SD_SALIENCY_900,
        _KOLEKTOR_SDD,
        _MVTEC_AD,
        _DTD,
        _KOLEKTOR_SDD2,
        DAGM,
        _SEVERSTAL,
        _TINY_IMAGENET,
    )
}
"""The sets that can be fetched, by name; those that lessons use come first."""
