"""Lessons over values of their own parameters: each changes what it is said to change, alone."""

from collections.abc import Iterator

import pytest
from batch_place import COURSE, Place, end

from course_utils.runs import RunRecord, notebooks_folder

LONGEST = 3600.0  # seconds: something hangs
PLAN = """name: one
profile: smoke
runs:
  - {lesson: "02", parameters: {gamma: [2.0, 0.0]}}
  - {lesson: "03", parameters: {loss: [dice, focal]}}
  - {lesson: "03", parameters: {encoder: [resnet18]}}
executor: {kind: processes, workers: 2}
"""
CHANGED = {
    "02_focal_and_reweighted_losses": ("focal/", "classes/focal_weights/"),
    "03_unet_training": ("detector/",),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunRecord]]:
    place = Place(tmp_path_factory.mktemp("sweep"))
    (place.folder / "plan.yml").write_text(PLAN)
    words = "batch", "plan.yml", "--notebooks", str(notebooks_folder()), "--out", "out"
    status, text = end(place.start(*COURSE, *words), patience=LONGEST)
    assert status == 0, text
    yield place.latest()
    place.end_all()


def metrics(run: RunRecord) -> dict[str, float]:
    return {metric["name"]: metric["value"] for metric in run.metrics}


@pytest.mark.parametrize(("first", "other"), [(0, 1), (2, 3), (2, 4)])
def test_a_value_changes_the_metrics_that_depend_on_it(
    runs: list[RunRecord], first: int, other: int
) -> None:
    before, after = metrics(runs[first]), metrics(runs[other])
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert changed, "nothing has changed"
    assert all(name.startswith(CHANGED[runs[first].lesson]) for name in changed), changed
