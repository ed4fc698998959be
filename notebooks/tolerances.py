"""Developer tool behind `make tolerances LESSON=01`: how far metrics vary from seed to seed.

    python notebooks/tolerances.py 01 --seeds 12

Runs the lesson at smoke profile with many seeds and writes `tolerances/NN_topic.json`. For each
metric

    low  = min(median - WIDTH * spread, smallest value - floor)
    high = max(median + WIDTH * spread, largest value + floor)

with floor = FLOOR * max(1, |median|), 2 * spread or more, and 1 or more for counts, and
spread = 1.4826 * MAD. MAD is the median distance from the median; times 1.4826 it estimates a
standard deviation and ignores a stray seed. Three of them on each side hold 99.7 % of a normal
metric; seeds are few and metrics are not normal, hence never narrower than what was seen. The
floor leaves room for other machines: metrics are scores between 0 and 1, and after a dozen steps a
network in float32 calls a few pixels more a defect than one in bf16. After two steps the same seed
differed by up to 1.9 spreads between two processors (lesson 06). Of counts it is one at least: a
pixel may be what an image is decided by. A test fails a run outside, `make mutants` shows
that it can.
"""

import argparse
import hashlib
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

from course_utils.io import write_atomic
from course_utils.lessons import read_metrics
from course_utils.runs import Outcome, find_lessons, run_notebook

FOLDER = Path(__file__).parent
WIDTH = 3.0
FLOOR = 0.01
FEWEST_SEEDS = 10
PACKAGES = ("course-utils", "torch", "torchvision", "numpy", "opencv-python", "scikit-learn")


def tolerance(values: Sequence[float]) -> dict[str, Any]:
    """Return the tolerance of one metric, with the numbers it comes from.

    Example:
        >>> found = tolerance([1.0] * 9 + [1.5])
        >>> found["low"], found["high"]
        (0.99, 1.51)
        >>> found = tolerance([5.0] * 10)
        >>> found["low"], found["high"]
        (4.0, 6.0)
    """
    median = statistics.median(values)
    spread = 1.4826 * statistics.median(abs(value - median) for value in values)
    half, floor = WIDTH * spread, max(FLOOR * max(1.0, abs(median)), 2 * spread)
    if max(values) > 1 and all(value == int(value) for value in values):
        floor = max(floor, 1.0)
    return {
        "low": min(median - half, min(values) - floor),
        "high": max(median + half, max(values) + floor),
        "median": median,
        "spread": spread,
        "n_seeds": len(values),
        "values": list(values),
    }


def measure(lesson_path: Path, seeds: Sequence[int], profile: str) -> dict[str, list[float]]:
    """Run the lesson once per seed; return the values of each metric, in the order of seeds."""
    values: dict[str, list[float]] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as scratch:
            done = Path(scratch, "done.ipynb")
            result = run_notebook(
                lesson_path,
                done,
                {"profile": profile, "seed": seed},
                workdir=Path(scratch, "work"),
                environment={"COURSE_DEVICE": "cpu"},
            )
            if result.outcome != Outcome.OK:
                raise RuntimeError(f"seed {seed}: {result.outcome}, {result.message}")
            found = read_metrics(done)
        print(f"  seed {seed}: {result.seconds:.0f} s, {len(found)} metrics", flush=True)
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    short = [name for name, numbers in values.items() if len(numbers) != len(seeds)]
    if short:
        raise RuntimeError(f"metrics that some seeds did not record: {', '.join(short)}")
    return values


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the chosen lessons and write their tolerances."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="+", help="numbers or names")
    parser.add_argument("--seeds", type=int, default=12, help=f"how many, {FEWEST_SEEDS} or more")
    parser.add_argument("--profile", default="smoke")
    given = parser.parse_args(arguments)
    if given.seeds < FEWEST_SEEDS:
        parser.error(f"--seeds must be {FEWEST_SEEDS} or more, got {given.seeds}")
    for lesson in find_lessons(FOLDER, given.lessons):
        print(lesson.name)
        source = FOLDER / "source" / f"{lesson.name}.py"
        values = measure(lesson.path, range(given.seeds), given.profile)
        record = {
            "lesson": lesson.name,
            "profile": given.profile,
            "dataset": lesson.parameters.get("dataset"),
            "seeds": list(range(given.seeds)),
            "command": f"python notebooks/tolerances.py {lesson.number} --seeds {given.seeds} "
            f"--profile {given.profile}",
            "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            "date": date.today().isoformat(),
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
            "versions": {name: metadata.version(name) for name in PACKAGES},
            "rule": f"median ± {WIDTH:g} * 1.4826 * MAD, and never narrower than the values seen "
            f"± {FLOOR:g} * max(1, |median|) or two of these, for counts ± 1",
            "metrics": {name: tolerance(numbers) for name, numbers in sorted(values.items())},
        }
        target = FOLDER / "tolerances" / f"{lesson.name}.json"
        target.parent.mkdir(exist_ok=True)
        write_atomic(target, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        print(f"  wrote {target.relative_to(FOLDER.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
