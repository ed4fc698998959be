"""Typical wrong answers to the exercises of lesson 00, by the name of each."""

WRONG_ANSWERS = {
    "defect_share": {
        "number_of_pixels": "share = (mask > 0).sum()",
        "percent": "share = 100 * (mask > 0).mean()",
        "class_1_only": "share = (mask == 1).mean()",
        "class_2_only": "share = (mask == 2).mean()",
        "sum_of_class_numbers": "share = mask.mean()",
        "share_of_background": "share = (mask == 0).mean()",
        "ratio": "share = (mask > 0).sum() / (mask == 0).sum()",
        "a single number": "share = mask > 0",
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
