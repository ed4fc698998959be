"""papermill over every lesson, through the engine that `make course` uses."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from lesson_files import FOLDER, LESSONS, name_of

from course_utils.data import find_datasets
from course_utils.lessons import read_metrics
from course_utils.runs import Limits, Outcome, RunRecord, run_notebook

TIMEOUT = 600  # seconds; far above the 60 s of the design, so that a slow machine is no failure
REAL = {
    "00": ("mvtec_ad/bottle",),
    "01": ("magnetic_tile", "sd_saliency_900"),
    "02": ("magnetic_tile", "sd_saliency_900"),
    "03": ("magnetic_tile", "sd_saliency_900"),
    "04": ("mvtec_ad/bottle",),
    "05": ("mvtec_ad/bottle",),
    "06": ("mvtec_ad/bottle",),
    "07": ("kolektor_sdd", "magnetic_tile"),
}
ON_REAL_IMAGES = [
    pytest.param(lesson, dataset, id=f"{name_of(lesson)}-{dataset}")
    for lesson in LESSONS
    for dataset in REAL.get(lesson.stem[:2], ())
]


def execute(lesson: Path, folder: Path, **parameters: object) -> RunRecord:
    result = run_notebook(
        lesson,
        folder / lesson.name,
        {"profile": "smoke", **parameters},
        workdir=folder / "work",
        limits=Limits(seconds=TIMEOUT),
    )
    shown = f"\n{result.failure.source}\n{result.failure.excerpt}" if result.failure else ""
    assert result.outcome == Outcome.OK, f"{result.outcome}: {result.message}{shown}"
    return result


@pytest.mark.parametrize("lesson", LESSONS, ids=name_of)
def test_a_lesson_runs_and_its_metrics_are_within_their_tolerances(
    lesson: Path, tmp_path: Path, note_time: Callable[[str, float], None]
) -> None:
    result = execute(lesson, tmp_path)
    note_time(f"{lesson.stem} (papermill)", result.seconds)
    metrics = read_metrics(result.notebook)
    tolerances = FOLDER / "tolerances" / f"{lesson.stem}.json"
    if not tolerances.exists():
        return
    record = json.loads(tolerances.read_text(encoding="utf-8"))
    assert record["profile"] == "smoke"
    assert set(metrics) == set(record["metrics"])
    outside = {
        name: (value, measured["low"], measured["high"])
        for name, value in metrics.items()
        if not is_within(measured := record["metrics"][name], value)
    }
    assert not outside, f"outside their tolerance (value, low, high): {outside}"


@pytest.mark.parametrize(("lesson", "dataset"), ON_REAL_IMAGES)
def test_a_lesson_runs_on_real_images(
    lesson: Path, dataset: str, tmp_path: Path, note_time: Callable[[str, float], None]
) -> None:
    found = find_datasets().get(dataset)
    if found is None or not found.images:
        pytest.skip(f"{dataset} is not here: set COURSE_DATA_ROOT to the folder that holds it")
    result = execute(lesson, tmp_path, dataset=dataset)
    note_time(f"{lesson.stem} on {dataset} (papermill)", result.seconds)
    assert read_metrics(result.notebook)


@pytest.mark.parametrize("number", ["06", "07"])
def test_a_lesson_on_detectors_runs_on_photographs_of_ones_own(
    number: str, tmp_path: Path, note_time: Callable[[str, float], None]
) -> None:
    rng = np.random.default_rng(0)
    for index in range(60):
        image, mask = rng.integers(60, 160, (100, 140), dtype=np.uint8), np.zeros((100, 140), "u1")
        if index % 3 == 0:
            center = (int(rng.integers(20, 120)), int(rng.integers(20, 80)))
            cv2.circle(mask, center, int(rng.integers(6, 14)), 255, -1)
            image[mask > 0] = 240
        for kind, pixels in (("images", image), ("masks", mask)):
            (tmp_path / "own" / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "own" / kind / f"{index:03d}.png"), pixels)
    (lesson,) = (one for one in LESSONS if one.stem.startswith(number))
    result = execute(lesson, tmp_path, dataset=f"folder:{tmp_path / 'own'}")
    note_time(f"{lesson.stem} on own photographs (papermill)", result.seconds)
    assert read_metrics(result.notebook)


def is_within(tolerance: dict[str, float], value: float) -> bool:
    """Tell whether a value lies within its tolerance, ends included."""
    return tolerance["low"] <= value <= tolerance["high"]


@pytest.mark.parametrize(("value", "inside"), [(0.4, True), (0.6, True), (0.39, False), (9, False)])
def test_a_tolerance_can_fail(value: float, inside: bool) -> None:
    assert is_within({"low": 0.4, "high": 0.6}, value) is inside
