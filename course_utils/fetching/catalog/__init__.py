"""The published data sets of the course: addresses, hashes, contents and counts.

Where the authors publish no hash, that of a public copy of their file stands here, if there is
one, with a note of whose it is.
"""

from course_utils.fetching.catalog.dagm import DAGM_SET
from course_utils.fetching.catalog.kolektor import KOLEKTOR_2_SET, KOLEKTOR_SET
from course_utils.fetching.catalog.mvtec import MVTEC_SET
from course_utils.fetching.catalog.pictures import DTD_SET, TINY_IMAGENET_SET
from course_utils.fetching.catalog.steel import SEVERSTAL_SET, STEEL_STRIP_SET
from course_utils.fetching.catalog.tiles import TILE_SET
from course_utils.fetching.published import PublishedSet

PUBLISHED: dict[str, PublishedSet] = {
    published.info.name: published
    for published in (
        TILE_SET,
        STEEL_STRIP_SET,
        KOLEKTOR_SET,
        MVTEC_SET,
        DTD_SET,
        KOLEKTOR_2_SET,
        DAGM_SET,
        SEVERSTAL_SET,
        TINY_IMAGENET_SET,
    )
}
"""The sets that can be fetched, by name; those that lessons use come first."""

__all__ = ["PUBLISHED"]
