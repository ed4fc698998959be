"""Pictures without defects: textures for anomalies, and classes to pretrain an encoder on."""

from course_utils.data.registry import DTD, TINY_IMAGENET
from course_utils.fetching.published import ANYWHERE, GB, Archive, Part, PublishedSet

_TEXTURES = Archive(
    name="dtd-r1.0.1.tar.gz",
    holds="47 classes of textures",
    rules=((ANYWHERE + r"(images/[a-z-]+/[^/]+\.jpg)", r"\1"),),
    urls=("https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",),
    digest="md5:fff73e5086ae6bdbea199a49dfb8a4c1",  # torchvision's
    size=600_000_000,
)
_TEXTURE_CLASSES = (
    "banded blotchy braided bubbly bumpy chequered cobwebbed cracked crosshatched crystalline "
    "dotted fibrous flecked freckled frilly gauzy grid grooved honeycombed interlaced knitted "
    "lacelike lined marbled matted meshed paisley perforated pitted pleated polka-dotted porous "
    "potholed scaly smeared spiralled sprinkled stained stratified striped studded swirly veined "
    "waffled woven wrinkled zigzagged"
)

DTD_SET = PublishedSet(
    DTD,
    (_TEXTURES,),
    (
        Part(
            name="",
            archives=(_TEXTURES.name,),
            entries=("images",),
            files={f"images/{name}/*.jpg": 120 for name in _TEXTURE_CLASSES.split()},
            opens="dtd",
            counts={f"in {name}": 120 for name in _TEXTURE_CLASSES.split()},
            partial=True,
        ),
    ),
    lessons=("04", "05", "06"),
)

_CLASSES = Archive(
    name="tiny-imagenet-200.zip",
    holds="200 classes of pictures of 64 x 64 pixels",
    rules=(
        (
            ANYWHERE + r"(train/n\d+/images/[^/]+\.JPEG|val/images/[^/]+\.JPEG"
            r"|val/val_annotations\.txt|words\.txt)",
            r"\1",
        ),
    ),
    urls=("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
    digest="md5:90528d7ca1a48142e341f4ef8d21d0de",  # that of public readers of the set
    size=248_000_000,
    limit=2 * GB,
)

TINY_IMAGENET_SET = PublishedSet(
    TINY_IMAGENET,
    (_CLASSES,),
    (
        Part(
            name="",
            archives=(_CLASSES.name,),
            entries=("train", "val", "words.txt"),
            files={
                "train/*/images/*.JPEG": 100_000,
                "val/images/*.JPEG": 10_000,
                "val/val_annotations.txt": 1,
            },
            opens="tiny_imagenet",
            counts={"train": 100_000, "test": 10_000},
        ),
    ),
)
