"""How long grouping 20,000 thumbnails by looks takes, and the most memory it needs.

Run from the project's root: `python benchmarks/bench_grouping.py`. Wanted: under a minute and 1 GB.
"""

import resource
import time

import numpy as np

from course_utils.data.fixed_cameras import divide_large_groups
from course_utils.data.near_duplicates import correlated_rows

COUNT, SIDE = 20_000, 32


def main() -> None:
    """Group images that differ, pairs, tens of shots, and one product before a fixed camera."""
    rng = np.random.default_rng(0)
    different = rng.random((COUNT, SIDE * SIDE), np.float32)
    repeats = {"all different": 1, "pairs": 2, "tens of shots": 10}
    cases = {name: different[np.arange(COUNT) // each] for name, each in repeats.items()}
    cases["one product"] = different[0] + 0.05 * different
    del different
    for name in list(cases):
        images = cases.pop(name)
        start = time.perf_counter()
        found = correlated_rows(images)
        groups, by_difference, _ = divide_large_groups(images, found, np.zeros(COUNT, np.int64))
        print(
            f"{name}: {len(np.unique(found))} groups by looks, {by_difference} images compared by "
            f"differences, {len(np.unique(groups))} groups, {time.perf_counter() - start:.0f} s"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"at most {peak:.2f} GB, with the images of all cases")


if __name__ == "__main__":
    main()
