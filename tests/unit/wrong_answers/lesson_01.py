"""Typical wrong answers to the exercises of lesson 01: source text, and words of the message."""

WRONG_ANSWERS = {
    "iou_from_counts": {
        "Dice": (
            "def iou_from_counts(tp, fp, fn, tn):\n    return 2 * tp / (2 * tp + fp + fn)",
            "Dice coefficient",
        ),
        "accuracy": (
            "def iou_from_counts(tp, fp, fn, tn):\n    return (tp + tn) / (tp + fp + fn + tn)",
            "That is the accuracy",
        ),
        "precision": (
            "def iou_from_counts(tp, fp, fn, tn):\n    return tp / (tp + fp) if tp else 0.0",
            "That is the precision",
        ),
        "recall": (
            "def iou_from_counts(tp, fp, fn, tn):\n    return tp / (tp + fn)",
            "That is the recall",
        ),
        "all pixels": (
            "def iou_from_counts(tp, fp, fn, tn):\n    return tp / (tp + fp + fn + tn)",
            "divide by all pixels",
        ),
    },
    "ap_of_chance": {
        "AUROC": (
            "ap = 0.5",
            "**AUROC** of pure chance",
        ),
        "accuracy": (
            "ap = 0.996",
            "silent answer",
        ),
        "percent": (
            "ap = 0.4",
            "Right in percent",
        ),
        "nothing": (
            "ap = 0.0",
            "now and then",
        ),
        "something": (
            "ap = 0.04",
            "too large",
        ),
    },
    "choose_threshold": {
        "one half": (
            "def choose_threshold(scores, target):\n    return 0.5",
            "That is .5",
        ),
        "best value": (
            "def choose_threshold(scores, target):\n"
            "    candidates = np.unique(scores)[-3000:]\n"
            "    return max(iou(scores >= t, target) for t in candidates)",
            "best **IoU**",
        ),
        "best accuracy": (
            "def choose_threshold(scores, target):\n    return scores.max() + 1e-6",
            "For **accuracy**",
        ),
        "index": (
            "def choose_threshold(scores, target):\n"
            "    candidates = np.quantile(scores, np.linspace(0.5, 1, 300))\n"
            "    return np.argmax([iou(scores >= t, target) for t in candidates])",
            "**index**",
        ),
        "everything": (
            "def choose_threshold(scores, target):\n    return 0.0",
            "reaches an IoU of",
        ),
        "all thresholds": (
            "def choose_threshold(scores, target):\n    return np.unique(scores)",
            "a single threshold",
        ),
    },
    "split_by_tile": {
        "images": (
            "def split_by_tile(groups, rng):\n    return rng.random(len(groups)) < 0.25",
            "have images on both sides",
        ),
        "nothing": (
            "def split_by_tile(groups, rng):\n    return np.zeros(len(groups), bool)",
            "No image",
        ),
        "everything": (
            "def split_by_tile(groups, rng):\n    return np.ones(len(groups), bool)",
            "All images",
        ),
        "indices": (
            "def split_by_tile(groups, rng):\n"
            "    return np.flatnonzero(np.isin(groups, np.unique(groups)[:10]))",
            "one `True` or `False`",
        ),
        "another generator": (
            "def split_by_tile(groups, rng):\n"
            "    tiles = np.unique(groups)\n"
            "    return np.isin(groups, np.random.choice(tiles, len(tiles) // 4, replace=False))",
            "not with `np.random`",
        ),
        "not drawn": (
            "def split_by_tile(groups, rng):\n"
            "    tiles = np.unique(groups)\n"
            "    return np.isin(groups, tiles[: len(tiles) // 4])",
            "draw with `rng`",
        ),
        "too many": (
            "def split_by_tile(groups, rng):\n"
            "    tiles = np.unique(groups)\n"
            "    return np.isin(groups, tiles[1:])",
            "About a quarter",
        ),
    },
}
