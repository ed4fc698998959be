"""MVTec AD: one archive with all categories, each of which is a part."""

from course_utils.data.registry import MVTEC_AD
from course_utils.fetching.published import GB, Archive, Part, PublishedSet

_COUNTS = {  # train good, test good, test defective
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

_ALL = Archive(
    name="mvtec_anomaly_detection.tar.xz",
    holds="all 15 categories",
    rules=(
        (
            r"(?:\./)?([a-z_]+/(?:(?:train|test|ground_truth)/[^/]+/[^/]+\.png|[a-z]+\.txt))",
            r"\1",
        ),
    ),
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


def _part(category: str) -> Part:
    train, good, defective = _COUNTS[category]
    return Part(
        name=category,
        archives=(_ALL.name,),
        entries=(category,),
        files={
            f"{category}/train/good/*.png": train,
            f"{category}/test/good/*.png": good,
            f"{category}/test/*/*.png": good + defective,
            f"{category}/ground_truth/*/*_mask.png": defective,
        },
        opens=f"mvtec_ad/{category}",
        mask_values=frozenset({0, 255}),
        counts={"train good": train, "test good": good, "test defective": defective},
    )


MVTEC_SET = PublishedSet(
    MVTEC_AD, (_ALL,), tuple(_part(category) for category in _COUNTS), lessons=("04", "05", "06")
)
