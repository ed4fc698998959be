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
        "all_thrown": """
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
    "accuracy_of_nothing": {
        "share_of_defect": "return (mask > 0).mean()",
        "number_of_pixels": "return (mask == 0).sum()",
        "percent": "return 100 * (mask == 0).mean()",
        "class_1_only": "return (mask != 1).mean()",
        "sum_of_class_numbers": "return 1 - mask.mean()",
        "constant": "return 75 / 80",
        "forget `return`": "accuracy = (mask == 0).mean()",
        "check its arguments": """
            def accuracy_of_nothing():
                return (mask == 0).mean()
        """,
        "the function itself": "accuracy_of_nothing = (mask == 0).mean()",
    },
}
