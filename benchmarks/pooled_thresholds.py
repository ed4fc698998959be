"""Thresholds of two-stage networks from their validation images, each network's own and pooled.

    python benchmarks/pooled_thresholds.py OUT/split_*/fold_1/two_stage/seed_*

The folders are trainings on one test part, each with validation images of its own (`--split-seed`).
Pooling their scores is cross-fitting: no network has seen the images that it scores.
"""

import sys
from pathlib import Path

import numpy as np

from course_utils.evaluation import best_threshold
from course_utils.inference import load_detector
from course_utils.trainers.configs import TwoStageConfig
from course_utils.trainers.run_folder import read_json
from course_utils.trainers.splits import labels_of, open_detection_splits
from course_utils.trainers.two_stage import predict_two_stage


def main(folders: list[str]) -> None:
    """Print false alarms and misses on the test images by the rule that chose the threshold."""
    val_scores, val_labels, test_scores = [], [], []
    for folder in map(Path, folders):
        splits = open_detection_splits(TwoStageConfig(**read_json(folder / "config.json")))
        network = load_detector(folder).network
        parts = (splits.val, splits.test)
        val, test = (predict_two_stage(network, part)[0].numpy() for part in parts)
        truth, defective = labels_of(splits.val).numpy(), labels_of(splits.test).numpy() > 0
        rules = {
            "lowest defect": best_threshold(val, truth),
            "middle of the gap": best_threshold(val, truth, middle=True),
            "above the highest good": np.nextafter(val[truth == 0].max(), np.inf),
        }
        for name, threshold in rules.items():
            show(f"{folder}: {name}", test >= threshold, defective)
        val_scores.append(val)
        val_labels.append(truth)
        test_scores.append(test)
    pooled = best_threshold(np.concatenate(val_scores), np.concatenate(val_labels), middle=True)
    for folder, test in zip(folders, test_scores, strict=True):
        show(f"{folder}: middle of the pooled gap", test >= pooled, defective)
    show("mean score of all, pooled gap", np.mean(test_scores, axis=0) >= pooled, defective)
    found = {len(part): int(part.sum()) for part in val_labels}
    print(f"threshold {pooled:.3f}; images and defects of a validation part: {found}")


def show(name: str, alarm: np.ndarray, defective: np.ndarray) -> None:
    """Print a rule's errors."""
    print(f"{name}: {(alarm & ~defective).sum()} FP, {(~alarm & defective).sum()} FN")


if __name__ == "__main__":
    main(sys.argv[1:])
