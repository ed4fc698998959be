"""The data sets of the course, and what is known of each before it is on disk.

Loads nothing but the standard library: the command line and the fetching ask for these facts only.
To add a data set, describe it here and in `DATASETS`, write its reader, `readers/<name>.py`, and
say in `fetching/catalog.py` how to get it.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DatasetInfo:
    """The facts that people need to decide on a data set, to get it and to place it."""

    name: str
    title: str
    class_names: tuple[str, ...]
    """Classes of the mask, background first."""
    license: str
    page: str
    """Where its authors publish it; empty if it is made by this course."""
    layout: str
    """What lies where, seen from its folder; empty if it needs no disk."""
    remark: str = ""
    """What to keep in mind when judging results."""
    by_category: bool = False
    """Whether its categories are opened one by one, as `mvtec_ad/bottle`."""
    folds: int = 0
    """How many folds it has for cross-validation; 0: none."""

    @property
    def needs_files(self) -> bool:
        """Whether it lies on disk; else it is made as it is read."""
        return bool(self.layout)

    def folder(self, root: Path) -> Path:
        """Return where the set lies, or would lie, under the data root."""
        return root / self.name

    def require_folder(self, root: Path) -> Path:
        """Return the folder of the set; raise `FileNotFoundError` with the way to get it."""
        folder = self.folder(root)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{self.title} is not here: {folder} does not exist.\n{self.how_to_get()}"
            )
        return folder

    def how_to_get(self) -> str:
        """Return, in words for people, the command that fetches the set, and how it lies."""
        return (
            f"Fetch it with: course data fetch {self.name}\n"
            f"It is published at {self.page} ({self.license}). If you have it elsewhere, lay it "
            f"out as {self.name}/ with {self.layout}, and set COURSE_DATA_ROOT to the folder that "
            f"holds {self.name}/."
        )


SYNTHETIC = DatasetInfo(
    name="synthetic",
    title="Synthetic surfaces",
    class_names=("background", "line", "spot", "area"),
    license="made by this course, Apache-2.0",
    page="",
    layout="",
)
SYNTHETIC_PRODUCT = DatasetInfo(
    name="synthetic_product",
    title="Synthetic products",
    class_names=("background",),
    license=SYNTHETIC.license,
    page="",
    layout="",
    remark="Open one product, as synthetic_product/plate; its classes are its kinds of defect.",
    by_category=True,
)
PRODUCT_NAMES = tuple(f"{SYNTHETIC_PRODUCT.name}/{one}" for one in ("plate", "washer", "cap"))
"""The products by the names that open them."""
MAGNETIC_TILE = DatasetInfo(
    name="magnetic_tile",
    title="Magnetic-tile defects",
    class_names=("background", "blowhole", "break", "crack", "fray", "uneven"),
    license="no formal license; its authors welcome its use and ask to be cited",
    page="https://github.com/abin24/Magnetic-tile-defect-datasets.",
    layout="MT_Blowhole, MT_Break, MT_Crack, MT_Fray, MT_Free and MT_Uneven, each with Imgs/*.jpg "
    "and masks Imgs/*.png of the same names",
    remark="Each tile was photographed under about six exposures. Four images of class uneven "
    "have an empty mask: their label is uneven all the same, as filed by the authors.",
)
SD_SALIENCY_900 = DatasetInfo(
    name="sd_saliency_900",
    title="Steel-strip defects SD-saliency-900",
    class_names=("background", "inclusion", "patches", "scratches"),
    license="no license stated; for research",
    page="https://github.com/SongGuorong/MCITF",
    layout='"Source Images" and "Ground truth" (or images and masks), files of the same names',
    remark="Every image has a defect, of one class, which the name of its file gives. "
    "Two thirds of the images overlap with others: they are crops of one photograph.",
)
KOLEKTOR_SDD = DatasetInfo(
    name="kolektor_sdd",
    title="Surface cracks of commutators KolektorSDD",
    class_names=("background", "defect"),
    license="CC BY-NC-SA 4.0",
    page="https://www.vicos.si/resources/kolektorsdd/",
    layout="kos01 to kos50, each with Part<i>.jpg and fine masks Part<i>_label.bmp; if you like, "
    "boxes with the box masks, as boxes/kos01/Part<i>_label.bmp, and split.pyb of "
    "KolektorSDD-training-splits.zip, the authors' folds",
    remark="Some items were taken twice: kos26 repeats kos01 and kos34 repeats kos27 to the pixel, "
    "with other masks (their IoU is two thirds: so much is up to who draws them), and kos39 shows "
    "kos38 again. Each pair stays together. Of kos21, Part7 repeats Part6 and is left out.",
    folds=3,
)
MVTEC_AD = DatasetInfo(
    name="mvtec_ad",
    title="Industrial parts and textures MVTec AD",
    class_names=("background",),
    license="CC BY-NC-SA 4.0",
    page="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    layout="<category>/train/good, <category>/test/<kind> and <category>/ground_truth/<kind>",
    remark="Open one category, as mvtec_ad/bottle; its classes are the kinds of defect it shows. "
    "Only good images are for training: the test part is the authors'.",
    by_category=True,
)
KOLEKTOR_SDD2 = DatasetInfo(
    name="kolektor_sdd2",
    title="Surface defects KolektorSDD2",
    class_names=("background", "defect"),
    license="CC BY-NC-SA 4.0",
    page="https://www.vicos.si/resources/kolektorsdd2/",
    layout="train and test, each with images <id>.png and masks <id>_GT.png, one for every image",
    remark="The test part is the authors'. Which images show one piece they do not say. The "
    "published archive holds a stray copy, train/10301 (copy).png with 10301_GT (copy).png: both "
    "are left out.",
)
DAGM = DatasetInfo(
    name="dagm",
    title="Generated textures DAGM 2007",
    class_names=("background", "defect"),
    license="none stated; for research",
    page="https://conferences.mpi-inf.mpg.de/dagm/2007/prizes.html",
    layout="Class1 to Class10 as published: with Train and Test, each with images <number>.PNG and "
    "masks Label/<number>_label.PNG of the defects; or Class<i> with good images and Class<i>_def "
    "with defects and labels.txt",
    remark="Open one class, as dagm/1. Masks are weak labels: ellipses around the defect, which "
    "hold sound surface too. Where Train and Test are there, the test part is the authors'.",
    by_category=True,
)
SEVERSTAL = DatasetInfo(
    name="severstal",
    title="Steel strips of the Severstal competition",
    class_names=("background", "class 1", "class 2", "class 3", "class 4"),
    license="rules of the Kaggle competition; not to be passed on",
    page="https://www.kaggle.com/c/severstal-steel-defect-detection",
    layout="train_images/*.jpg and train.csv",
    remark="Its authors do not say what the four classes of defect are, nor which strip an image "
    "was cut from: only near-duplicates stay together. The images of test_images have no labels "
    "and are not read.",
)
DTD = DatasetInfo(
    name="dtd",
    title="Describable textures DTD",
    class_names=("background",),
    license="for research purposes",
    page="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    layout="images/<class>/*.jpg",
    remark="No image has a defect. They are textures for anomalies: `TextureFolder` takes its "
    "folder. The 47 classes are not labels of defects, so every label is 0.",
)
TINY_IMAGENET = DatasetInfo(
    name="tiny_imagenet",
    title="Small pictures of things Tiny-ImageNet",
    class_names=("background",),
    license="ImageNet's terms; for research",
    page="http://cs231n.stanford.edu/",
    layout="train/<class>/images/*.JPEG, val/images/*.JPEG and val/val_annotations.txt",
    remark="No image has a defect. They are for pretraining an encoder: "
    "data_scripts/pretrain_encoder.py reads the 200 classes itself; here every label is 0. The "
    "images of test have no classes and are not read.",
)

DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        SYNTHETIC,
        SYNTHETIC_PRODUCT,
        MAGNETIC_TILE,
        SD_SALIENCY_900,
        KOLEKTOR_SDD,
        MVTEC_AD,
        KOLEKTOR_SDD2,
        DAGM,
        SEVERSTAL,
        DTD,
        TINY_IMAGENET,
    )
}
"""The data sets by name. `folder:<path>` opens a person's own images."""


def is_synthetic(name: str) -> bool:
    """Return whether the data set `name` is made as it is read, so that it has no files.

    Example:
        >>> is_synthetic("synthetic_product/plate"), is_synthetic("mvtec_ad/bottle")
        (True, False)
    """
    return name == SYNTHETIC.name or name in PRODUCT_NAMES
