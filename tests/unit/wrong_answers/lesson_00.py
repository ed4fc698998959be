"""Typical wrong answers to the exercises of lesson 00: source text, and words of the message."""

WRONG_ANSWERS = {
    "defect_share": {
        "number of pixels": ("share = (mask > 0).sum()", "**number** of defect pixels"),
        "percent": ("share = 100 * (mask > 0).mean()", "Right in percent"),
        "class 1 only": ("share = (mask == 1).mean()", "class 1 only"),
        "class 2 only": ("share = (mask == 2).mean()", "class 2 only"),
        "sum of class numbers": ("share = mask.mean()", "adds up class **numbers**"),
        "share of background": ("share = (mask == 0).mean()", "share of the **background**"),
        "ratio": ("share = (mask > 0).sum() / (mask == 0).sum()", "per **background** pixel"),
        "whole mask": ("share = mask > 0", "a single number"),
    },
    "accuracy_of_nothing": {
        "share of defect": (
            "def accuracy_of_nothing(mask):\n    return (mask > 0).mean()",
            "gets **wrong**",
        ),
        "number of pixels": (
            "def accuracy_of_nothing(mask):\n    return (mask == 0).sum()",
            "**number** of right pixels",
        ),
        "percent": (
            "def accuracy_of_nothing(mask):\n    return 100 * (mask == 0).mean()",
            "Right in percent",
        ),
        "class 1 only": (
            "def accuracy_of_nothing(mask):\n    return (mask != 1).mean()",
            "Only pixels of class 1",
        ),
        "sum of class numbers": (
            "def accuracy_of_nothing(mask):\n    return 1 - mask.mean()",
            "adds up class **numbers**",
        ),
        "constant": (
            "def accuracy_of_nothing(mask):\n    return 75 / 80",
            "for no other",
        ),
        "no return": (
            "def accuracy_of_nothing(mask):\n    accuracy = (mask == 0).mean()",
            "forget `return`",
        ),
        "no argument": (
            "def accuracy_of_nothing():\n    return (mask == 0).mean()",
            "check its arguments",
        ),
        "result instead of function": (
            "accuracy_of_nothing = (mask == 0).mean()",
            "the function itself",
        ),
    },
}
