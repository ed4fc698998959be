"""Typical wrong answers to the exercises of lesson 01, by the name of each."""

WRONG_ANSWERS = {
    "iou_from_counts": {
        "dice": "return 2 * tp / (2 * tp + fp + fn)",
        "accuracy": "return (tp + tn) / (tp + fp + fn + tn)",
        "precision": "return tp / (tp + fp) if tp else 0.0",
        "recall": "return tp / (tp + fn)",
        "all_pixels": "return tp / (tp + fp + fn + tn)",
    },
    "ap_of_chance": {
        "auroc": "ap = 0.5",
        "accuracy": "ap = 0.996",
        "percent": "ap = 0.4",
        "nothing": "ap = 0.0",
        "too large": "ap = 0.04",
    },
    "choose_threshold": {
        "one_half": "return 0.5",
        "best_value": """
            candidates = np.unique(scores)[-3000:]
            return max(iou(scores >= t, target) for t in candidates)
        """,
        "best_accuracy": "return scores.max() + 1e-6",
        "index": """
            candidates = np.quantile(scores, np.linspace(0.5, 1, 300))
            return np.argmax([iou(scores >= t, target) for t in candidates])
        """,
        "another": "return 0.0",
        "all_thresholds": "return np.unique(scores)",
    },
    "split_by_tile": {
        "images": "return rng.random(len(groups)) < 0.25",
        "nothing": "return np.zeros(len(groups), bool)",
        "everything": "return np.ones(len(groups), bool)",
        "indices": "return np.flatnonzero(np.isin(groups, np.unique(groups)[:10]))",
        "another_generator": """
            tiles = np.unique(groups)
            return np.isin(groups, np.random.choice(tiles, len(tiles) // 4, replace=False))
        """,
        "not_drawn": """
            tiles = np.unique(groups)
            return np.isin(groups, tiles[: len(tiles) // 4])
        """,
        "too_many": """
            tiles = np.unique(groups)
            return np.isin(groups, tiles[1:])
        """,
    },
}
