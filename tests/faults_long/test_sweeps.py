"""Lessons over values of their own parameters: each changes what it is said to change, alone."""

from collections.abc import Iterator
from itertools import combinations

import pytest
from batch_place import COURSE, Place, end

from course_utils.runs import RunRecord, notebooks_folder

LONGEST = 7200.0  # seconds: something hangs
# The plan of docs/batches.md.
PLAN = """
profile: smoke
seeds: 0-1
runs:
  - lesson: "02"
    parameters:
      gamma: [0.0, 2.0]
  - lesson: "03"
    parameters:
      loss: [cross_entropy, dice]
      encoder: [efficientnet_lite0, resnet18]
executor:
  kind: processes
  workers: 2
"""
CHANGED = {
    "02_focal_and_reweighted_losses": ("focal/", "classes/focal_weights/"),
    "03_unet_training": ("detector/",),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunRecord]]:
    place = Place(tmp_path_factory.mktemp("sweep"))
    (place.folder / "losses_and_encoders.yml").write_text(PLAN)
    words = "batch", "losses_and_encoders.yml", "--notebooks", str(notebooks_folder())
    status, text = end(place.start(*COURSE, *words), patience=LONGEST)
    assert status == 0, text
    yield place.latest("build/batches/losses_and_encoders")
    place.end_all()


@pytest.mark.parametrize(
    ("lesson", "count"), [(name, 4 * (1 + i)) for i, name in enumerate(CHANGED)]
)
def test_a_value_changes_what_depends_on_it_and_nothing_else(
    runs: list[RunRecord], lesson: str, count: int
) -> None:
    found = [run for run in runs if run.lesson == lesson]
    assert len(found) == count
    for one, other in combinations(found, 2):
        if one.seed == other.seed:
            before, after = (
                {metric["name"]: metric["value"] for metric in run.metrics} for run in (one, other)
            )
            assert before.keys() == after.keys()
            changed = {name for name in before if before[name] != after[name]}
            assert changed, (one.parameters, other.parameters)
            assert all(name.startswith(CHANGED[lesson]) for name in changed), changed
