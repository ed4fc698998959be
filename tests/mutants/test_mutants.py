"""Broken lessons must leave their tolerances: this proves that those of `make test` can fail.

Each mutant is a lesson with one line changed into a mistake that somebody might make. It runs at
smoke profile, and the metric that it ought to spoil must lie outside its tolerance. `make mutants`.

Metrics of networks that were trained for a dozen steps say little and have wide tolerances:
mutants of the losses and metrics themselves are killed by the unit tests.
"""

import json
from pathlib import Path

import nbformat
import pytest

from course_utils.lessons import read_metrics
from course_utils.runs import Limits, Outcome, run_notebook

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
MUTANTS = {
    "the detector remembers defective plates": (
        "00_start_here",
        'open_dataset(dataset, "train", size=size, seed=seed, normal_only=True)',
        'open_dataset(dataset, "test", size=size, seed=seed)',
        "image_auroc",
    ),
    "a split that leaks": (
        "01_class_imbalance",
        "honest = [memorizer_iou(groups, s)",
        "honest = [memorizer_iou(np.arange(len(groups)), s)",
        "memorizer_iou_honest",
    ),
    "a split that was meant to leak does not": (
        "01_class_imbalance",
        "leaking = [memorizer_iou(np.arange(len(groups)), s)",
        "leaking = [memorizer_iou(groups, s)",
        "memorizer_iou_leaking",
    ),
    "an alarm everywhere in place of silence": (
        "01_class_imbalance",
        "silence = np.zeros_like(test_masks)",
        "silence = np.ones_like(test_masks)",
        "silent_accuracy",
    ),
    "the share of the background in place of that of defects": (
        "02_focal_and_reweighted_losses",
        "gradients[mask > 0].sum()",
        "gradients[mask == 0].sum()",
        "share/cross_entropy_untrained",
    ),
    "plain cross entropy that is weighted": (
        "02_focal_and_reweighted_losses",
        '"cross entropy": focal(0.5, 0),\n    "weighted (alpha .95)"',
        '"cross entropy": focal(0.95, 0),\n    "weighted (alpha .95)"',
        "share/cross_entropy_untrained",
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_lesson_leaves_its_tolerance(mutant: str, tmp_path: Path) -> None:
    lesson, right, wrong, metric = MUTANTS[mutant]
    notebook = nbformat.read(NOTEBOOKS / f"{lesson}.ipynb", as_version=4)
    hit = [cell for cell in notebook.cells if right in cell.source]
    assert len(hit) == 1, f"the line to change stands in {len(hit)} cells: {right}"
    hit[0].source = hit[0].source.replace(right, wrong)
    nbformat.write(notebook, tmp_path / "mutant.ipynb")
    result = run_notebook(
        tmp_path / "mutant.ipynb",
        tmp_path / "done.ipynb",
        {"profile": "smoke"},
        workdir=tmp_path / "work",
        limits=Limits(seconds=600),
    )
    assert result.outcome == Outcome.OK, result.message
    value = read_metrics(result.notebook)[metric]
    record = json.loads((NOTEBOOKS / "tolerances" / f"{lesson}.json").read_text())
    low, high = (record["metrics"][metric][end] for end in ("low", "high"))
    assert not low <= value <= high, (metric, value, low, high)
