"""Steel: strips from the authors' repository, and Severstal's sheets by way of Kaggle."""

from course_utils.data.registry import SD_SALIENCY_900, SEVERSTAL
from course_utils.fetching.published import ANYWHERE, GB, Archive, Part, PublishedSet

_REPOSITORY = Archive(
    name="MCITF.zip",
    holds="the authors' repository: images, masks, code and results",
    rules=((ANYWHERE + r"((?:Source Images|Ground truth)/(?:In|Pa|Sc)_\d+\.\w+)", r"\1"),),
    urls=(
        "https://github.com/SongGuorong/MCITF/archive/125ae637ef04d30f8b71549335e3ed06001669c5.zip",
    ),
)

STEEL_STRIP_SET = PublishedSet(
    SD_SALIENCY_900,
    (_REPOSITORY,),
    (
        Part(
            name="",
            archives=(_REPOSITORY.name,),
            entries=("Source Images", "Ground truth"),
            files={
                f"{place}/{prefix}_*.*": 300
                for place in ("Source Images", "Ground truth")
                for prefix in ("In", "Pa", "Sc")
            },
            opens="sd_saliency_900",
            mask_values=frozenset({0, 255}),
            also_as=("images", "masks"),
            counts={"inclusion": 300, "patches": 300, "scratches": 300},
        ),
    ),
    lessons=("01", "02", "03"),
)

_COMPETITION = Archive(
    name="severstal-steel-defect-detection.zip",
    holds="training images and the run lengths of their masks",
    rules=((ANYWHERE + r"(train_images/[^/]+\.jpg|train\.csv)", r"\1"),),
    limit=10 * GB,
    by_hand="Kaggle gives it to those who accepted the rules of the competition: log in at "
    "https://www.kaggle.com/c/severstal-steel-defect-detection, accept them, and download it "
    "there or with `kaggle competitions download -c severstal-steel-defect-detection`",
)

SEVERSTAL_SET = PublishedSet(
    SEVERSTAL,
    (_COMPETITION,),
    (
        Part(
            name="",
            archives=(_COMPETITION.name,),
            entries=("train_images", "train.csv"),
            files={"train_images/*.jpg": 12568, "train.csv": 1},
            opens="severstal",
            counts={"good": 5902, "defective": 6666},
        ),
    ),
)
