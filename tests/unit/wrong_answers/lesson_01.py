"""Typical wrong answers to the exercises of lesson 01, by the name of each."""

AP = "average_precision(scores, target)"
RATIO = f"{AP} / target.mean()"
ENOUGH = f"{RATIO} >= 2"

WRONG_ANSWERS = {
    "typical_area": {
        "all_images": "return np.median((masks > 0).mean(axis=(1, 2)))",
        "mean": """
            areas = (masks > 0).mean(axis=(1, 2))
            return areas[areas > 0].mean()
        """,
        "pooled": "return (masks > 0).mean()",
        "class_numbers": """
            areas = masks.mean(axis=(1, 2))
            return np.median(areas[areas > 0])
        """,
        "pixels": """
            areas = (masks > 0).sum(axis=(1, 2))
            return np.median(areas[areas > 0])
        """,
        "percent": """
            areas = (masks > 0).mean(axis=(1, 2))
            return 100 * np.median(areas[areas > 0])
        """,
        "each_image": [
            "return (masks > 0).mean(axis=(1, 2))",
            """
            areas = (masks > 0).mean(axis=(1, 2))
            return areas[areas > 0]
            """,
        ],
        "share_of_images": "return (masks > 0).any(axis=(1, 2)).mean()",
        "is the text": "return 'half'",
        "returned `None`": "areas = (masks > 0).mean(axis=(1, 2))",
        "Wanted a function": "typical_area = 0.005",
        "changes its argument": """
            masks[masks > 0] = 1
            areas = masks.mean(axis=(1, 2))
            return np.median(areas[areas > 0])
        """,
    },
    "iou_from_rates": {
        "dice": "return 2 * precision * recall / (precision + recall)",
        "product": "return precision * recall",
        "mean": "return (precision + recall) / 2",
        "smaller": "return min(precision, recall)",
        "overlap_twice": "return 1 / (1 / precision + 1 / recall)",
        "upside_down": "return 1 / precision + 1 / recall - 1",
        "is the text": "return 'IoU'",
        "cannot be called with 2 arguments": """
            def iou_from_rates(tp, fp, fn, tn):
                return tp / (tp + fp + fn)
        """,
        "Wanted a function": "iou_from_rates = 0.5",
    },
    "precision_from_rates": {
        "no_share": "return recall / (recall + false_alarm_rate)",
        "all_pixels": "return recall * share / (recall * share + false_alarm_rate)",
        "odds": """
            odds = share / (1 - share)
            return recall * odds / (recall * odds + false_alarm_rate * (1 - share))
        """,
        "swapped": """
            right = recall * (1 - share)
            return right / (right + false_alarm_rate * share)
        """,
        "wrong_alarms": """
            wrong = false_alarm_rate * (1 - share)
            return wrong / (wrong + recall * share)
        """,
        "accuracy": "return recall * share + (1 - false_alarm_rate) * (1 - share)",
        "alarms": "return recall * share + false_alarm_rate * (1 - share)",
        "is the text": "return 'precision'",
        "wanted the shape": "return [recall, share]",
    },
    "loss_of_a_constant": {
        "one_half": "return np.log(2)",
        "bits": "return -share * np.log2(share) - (1 - share) * np.log2(1 - share)",
        "defects_only": "return -share * np.log(share)",
        "background_only": "return -(1 - share) * np.log(1 - share)",
        "unweighted": "return -np.log(share) - np.log(1 - share)",
        "probability": "return share",
        "sign": "return share * np.log(share) + (1 - share) * np.log(1 - share)",
        "is the text": "return 'low'",
        "wanted the shape": """
            p = np.linspace(0.0001, 0.9999, 9999)
            return -share * np.log(p) - (1 - share) * np.log(1 - p)
        """,
    },
    "diagnose": {
        "another_word": ["return iou(scores > 0.5, target)", "return 'Silent'", "return scores"],
        "always": ["return 'silent'", "return 'speaks' if 1 - target.mean() > 0.5 else 'silent'"],
        "speaker": """
            if average_precision(scores, target) >= 2 * target.mean():
                return "silent"
            return "speaks" if iou(scores > 0.5, target) >= 0.05 else "knows nothing"
        """,
        "ranking": """
            return "speaks" if iou(scores > 0.5, target) >= 0.05 else "knows nothing"
        """,
        "random": """
            return "speaks" if iou(scores > 0.5, target) >= 0.05 else "silent"
        """,
        "high_share": """
            if iou(scores > 0.5, target) >= 0.05:
                return "speaks"
            return "silent" if average_precision(scores, target) >= 0.1 else "knows nothing"
        """,
        "low_share": """
            if iou(scores > 0.5, target) >= 0.05:
                return "speaks"
            better = average_precision(scores, target) - target.mean() > 0.05
            return "silent" if better else "knows nothing"
        """,
        "any_alarm": """
            if (scores > 0.5).any():
                return "speaks"
            known = average_precision(scores, target) >= 2 * target.mean()
            return "silent" if known else "knows nothing"
        """,
        "near_limit": [
            f"""
            if {speaks}:
                return "speaks"
            return "silent" if {ranks} else "knows nothing"
            """
            for speaks, ranks in (
                ("iou(scores > 0.5, target) >= 0.03", ENOUGH),
                ("iou(scores > 0.5, target) >= 0.1", ENOUGH),
                ("iou(scores > 0.5, target) / (1 + iou(scores > 0.5, target)) * 2 >= 0.05", ENOUGH),
                ("(target[scores > 0.5].mean() if (scores > 0.5).any() else 0) >= 0.05", ENOUGH),
                ("max(iou(s > 0.5, t) for s, t in zip(scores, target)) >= 0.2", ENOUGH),
                ("iou(scores > 0.5, target) >= 0.05", f"{RATIO} >= 1.3"),
                ("iou(scores > 0.5, target) >= 0.05", f"{RATIO} >= 3"),
                ("iou(scores > 0.5, target) >= 0.05", f"{RATIO} >= 16"),
                (
                    "iou(scores > 0.5, target) >= 0.05",
                    "AP - target.mean() > 0.02".replace("AP", AP),
                ),
            )
        ],
        "returned `None`": "average_precision(scores, target)",
    },
    "threshold_for_precision": {
        "no_threshold": ["return np.unique(scores)", "return 'low'", "return float('nan')"],
        "index": """
            order = np.argsort(-scores.ravel())
            precision = np.cumsum(target.ravel()[order]) / np.arange(1, target.size + 1)
            return np.flatnonzero(precision >= wanted)[-1]
        """,
        "no_alarm": "return scores.max() + 0.01",
        "wanted": "return wanted",
        "best_iou": """
            order = np.argsort(-scores.ravel())
            found = np.cumsum(target.ravel()[order])
            iou = found / (target.sum() + np.arange(1, target.size + 1) - found)
            return scores.ravel()[order][np.argmax(iou)]
        """,
        "too_low": ["return 0.0", "return scores.mean()"],
        "first_crossing": """
            order = np.argsort(-scores.ravel())
            precision = np.cumsum(target.ravel()[order]) / np.arange(1, target.size + 1)
            start = np.argmax(precision >= wanted)
            return scores.ravel()[order][start + np.argmax(precision[start:] < wanted) - 1]
        """,
        "highest_precision": """
            order = np.argsort(-scores.ravel())
            precision = np.cumsum(target.ravel()[order]) / np.arange(1, target.size + 1)
            return scores.ravel()[order][precision.argmax()]
        """,
        "too_high": [
            """
            order = np.argsort(-scores.ravel())
            precision = np.cumsum(target.ravel()[order]) / np.arange(1, target.size + 1)
            enough = np.flatnonzero(precision >= wanted)
            return scores.ravel()[order][enough[len(enough) // 2]]
        """,
            """
            reach = [t for t in np.linspace(0, 1, 21) if (scores >= t).any()]
            return min(t for t in reach if target[scores >= t].mean() >= wanted)
        """,
        ],
        "cannot be called with 3 arguments": """
            def threshold_for_precision(scores, target):
                order = np.argsort(-scores)
                return scores[order][0]
        """,
        "returned `None`": "scores.ravel()",
    },
    "split_by_tile": {
        "images": "return rng.random(len(groups)) < 0.25",
        "nothing": "return np.zeros(len(groups), bool)",
        "everything": "return np.ones(len(groups), bool)",
        "indices": [
            "return np.flatnonzero(np.isin(groups, np.unique(groups)[:10]))",
            "return 'a quarter'",
            "return [[True], [False, True]]",
            "import torch\nreturn torch.rand(len(groups), requires_grad=True)",
            "return np.full(len(groups), 0.25)",
        ],
        "whole_numbers": """
            tiles = np.unique(groups)
            return np.isin(groups, rng.choice(tiles, len(tiles) // 4, replace=False)).astype(int)
        """,
        "neighbors": """
            tiles = np.unique(groups)
            start = rng.integers(len(tiles))
            return np.isin(groups, np.roll(tiles, start)[: len(tiles) // 4])
        """,
        "few_outcomes": """
            numbers = np.unique(groups, return_inverse=True)[1]
            return numbers % 4 == rng.integers(4)
        """,
        "another_generator": """
            tiles = np.unique(groups)
            return np.isin(groups, np.random.choice(tiles, len(tiles) // 4, replace=False))
        """,
        "not_drawn": """
            tiles = np.unique(groups)
            return np.isin(groups, tiles[: len(tiles) // 4])
        """,
        "too_many": [
            """
            tiles = np.unique(groups)
            return np.isin(groups, rng.choice(tiles, SIZE, replace=False))
            """.replace("SIZE", size)
            for size in ("10", "len(tiles) // 10", "len(tiles) * 3 // 20", "len(tiles) * 2 // 5")
        ]
        + [
            """
            tiles = np.unique(rng.choice(groups, len(groups) // 10, replace=False))
            return np.isin(groups, tiles)
            """,
        ],
        "returned `None`": "np.unique(groups)",
    },
}
