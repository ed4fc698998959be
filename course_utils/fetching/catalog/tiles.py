"""Magnetic tiles: the authors' repository, as it stood at one commit."""

from course_utils.data.registry import MAGNETIC_TILE
from course_utils.fetching.published import ANYWHERE, GB, Archive, Part, PublishedSet

_COUNTS = {"Free": 952, "Blowhole": 115, "Break": 85, "Crack": 57, "Fray": 32, "Uneven": 103}

_REPOSITORY = Archive(
    name="Magnetic-tile-defect-datasets.zip",
    holds="images and masks",
    rules=((ANYWHERE + r"(MT_[A-Z][a-z]+/Imgs/[^/]+\.(?:jpg|png))", r"\1"),),
    urls=(
        "https://github.com/abin24/Magnetic-tile-defect-datasets./archive/"
        "cc4eb530b57b9cb7225bf76023873043ffd50655.zip",
    ),
    # That of NVIDIA's preparation of the set, which takes the same commit.
    digest="sha256:592b050953d1de4ffa538b93b6b91aee7268d8e59b73d4d9c92cfce187d7ce66",
    limit=GB,
)

TILE_SET = PublishedSet(
    MAGNETIC_TILE,
    (_REPOSITORY,),
    (
        Part(
            name="",
            archives=(_REPOSITORY.name,),
            entries=tuple(f"MT_{name}" for name in _COUNTS),
            files={
                f"MT_{name}/Imgs/*.{ending}": count
                for name, count in _COUNTS.items()
                for ending in ("jpg", "png")
            },
            opens="magnetic_tile",
            empty_masks=4,  # of class uneven
            counts={"good": 952} | {name.lower(): _COUNTS[name] for name in list(_COUNTS)[1:]},
        ),
    ),
    lessons=("01", "02", "03", "07"),
)
