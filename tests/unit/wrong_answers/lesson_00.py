"""Typical wrong answers to the exercises of lesson 00, by the name of each."""

WRONG_ANSWERS = {
    "misses_and_false_alarms": {
        "swapped": """
            thrown = scores >= threshold
            return (~defective & thrown).sum(), (defective & ~thrown).sum()
        """,
        "strict": """
            thrown = scores > threshold
            return (defective & ~thrown).sum(), (~defective & thrown).sum()
        """,
        "wrong_side": """
            thrown = scores < threshold
            return (defective & ~thrown).sum(), (~defective & thrown).sum()
        """,
        "right_ones": """
            thrown = scores >= threshold
            return (~defective & ~thrown).sum(), (defective & thrown).sum()
        """,
        "all_rejected": """
            thrown = scores >= threshold
            return (defective & ~thrown).sum(), thrown.sum()
        """,
        "all_defective": """
            thrown = scores >= threshold
            return defective.sum(), (~defective & thrown).sum()
        """,
        "shares": """
            thrown = scores >= threshold
            return (defective & ~thrown).mean(), (~defective & thrown).mean()
        """,
        "rates": """
            thrown = scores >= threshold
            return (~thrown)[defective].mean(), thrown[~defective].mean()
        """,
        "passing": """
            thrown = scores >= threshold
            return (~thrown).sum(), (~defective & thrown).sum()
        """,
        "misses_wrong": "return len(scores), (~defective & (scores >= threshold)).sum()",
        "alarms_wrong": "return (defective & (scores < threshold)).sum(), 0.5",
        "of the 2 numbers": "return 0.1, 0.2",
        "one_number": [
            "return (defective & (scores < threshold)).sum()",
            "return 'many'",
            "return scores >= threshold",
        ],
        "forget `return`": "misses = (defective & (scores < threshold)).sum()",
    },
    "defect_share": {
        "number_of_pixels": "return (mask > 0).sum()",
        "percent": "return 100 * (mask > 0).mean()",
        "class_1_only": "return (mask == 1).mean()",
        "sum_of_class_numbers": "return mask.mean()",
        "share_of_background": "return (mask == 0).mean()",
        "ratio": "return (mask > 0).sum() / max((mask == 0).sum(), 1)",
        "constant": "return 5 / 80",
        "has the shape": "return mask > 0",
    },
    "accuracy_and_recall": {
        "swapped": """
            truth = mask > 0
            return prediction[truth].mean(), (prediction == truth).mean()
        """,
        "precision": """
            truth = mask > 0
            return (prediction == truth).mean(), truth[prediction].mean()
        """,
        "class_1_only": """
            truth = mask == 1
            return (prediction == truth).mean(), prediction[truth].mean()
        """,
        "compared_with_classes": "return (prediction == mask).mean(), prediction[mask > 0].mean()",
        "counts": """
            truth = mask > 0
            return (prediction == truth).sum(), (prediction & truth).sum()
        """,
        "percent": """
            truth = mask > 0
            return 100 * (prediction == truth).mean(), 100 * prediction[truth].mean()
        """,
        "found_of_all": """
            truth = mask > 0
            return (prediction == truth).mean(), (prediction & truth).mean()
        """,
        "one_number": ["return (prediction == (mask > 0)).mean()", "return 'good'"],
        "check its arguments": """
            def accuracy_and_recall(mask):
                return 1.0, 0.0
        """,
    },
}
