"""Typical wrong answers to the exercises of lesson 02, by the name of each."""

LESSON_FOCAL = """
from torch.nn import functional as F
def focal_per_defect(x, y, alpha=0.25, gamma=2.0):
    alpha, gamma = 0.25, 2.0
    p = torch.sigmoid(x)
    a = alpha * (1 - p) ** gamma * y
    b = (1 - alpha) * p**gamma * (1 - y)
    return ((a + b) * F.softplus(-x) + b * x).mean()
"""
"""As the lesson derives it, with its two fixed numbers."""

LESSON_DICE = """
def dice_per_image(x, y):
    p = x.sigmoid()
    tp = (p * y).sum()
    return 1 - (2 * tp + 1) / (p.sum() + y.sum() + 1)
"""


def focal(defect="alpha", background="(1 - alpha)", *, gamma="gamma", p="torch.sigmoid(x)",
          reduce=".sum() / y.sum().clamp(min=1)"):  # fmt: skip
    return f"""
p = {p}
defect = {defect} * (1 - p) ** {gamma} * softplus(-x)
background = {background} * p**{gamma} * softplus(x)
return (y * defect + (1 - y) * background){reduce}
"""


def naive(p="torch.sigmoid(x)", end=""):
    return f"""
        p = {p}
        loss = alpha * (1 - p) ** gamma * y * -p.log()
        loss = loss + (1 - alpha) * p**gamma * (1 - y) * -(1 - p).log()
        return (loss.sum() / y.sum().clamp(min=1)){end}
    """


def dice(p="torch.sigmoid(x)", *, twice=2, above=1, below=1, axes="(1, 2, 3)", end=".mean()"):
    return f"""
p = {p}
tp = (p * y).sum({axes})
both = p.sum({axes}) + y.sum({axes})
return (1 - ({twice} * tp + {above}) / (both + {below})){end}
"""


def weigh(found, end="found / found[mask != 255].mean()"):
    return f"void = mask == 255\nfound = {found}\nreturn {end}"


ZERO_FOR_VOID = "np.where(void, 0, weights[np.where(void, 0, mask)])"

WRONG_ANSWERS = {
    "balancing_weight": {
        "counts": "return (y == 0).sum() / (y == 1).sum()",
        "upside_down": "return (1 - p[y == 1]).sum() / p[y == 0].sum()",
        "means": "return p[y == 0].mean() / (1 - p[y == 1]).mean()",
        "p_of_defects": "return p[y == 0].sum() / p[y == 1].sum()",
        "alpha": """
            b, d = p[y == 0].sum(), (1 - p[y == 1]).sum()
            return b / (b + d)
        """,
        "signed": "return p[y == 0].sum() / (p[y == 1] - 1).sum()",
        "of_losses": "return np.log(1 - p[y == 0]).sum() / np.log(p[y == 1]).sum()",
        "the text": "return 'half'",
        "returned `None`": "w = p[y == 0].sum() / (1 - p[y == 1]).sum()",
        "Wanted a function": "balancing_weight = 7.5",
    },
    "weights_for_shares": {
        "balanced": """
            there = np.maximum(counts, 1)
            return np.where(counts > 0, counts.sum() / ((counts > 0).sum() * there), 0)
        """,
        "not_scaled": "return np.where(counts > 0, shares / np.maximum(counts, 1), 0)",
        "times_classes": """
            w = shares * counts.sum() / np.maximum(counts, 1)
            return len(counts) * np.where(counts > 0, w, 0)
        """,
        "divided": """
            return np.where(counts > 0, counts.sum() / (np.maximum(counts, 1) * shares), 0)
        """,
        "of_pixels": "return shares * counts / counts.sum()",
        "sum_of_one": """
            w = np.where(counts > 0, shares / np.maximum(counts, 1), 0)
            return w / w.sum()
        """,
        "root": """
            w = shares * np.sqrt(counts.sum() / np.maximum(counts, 1))
            return np.where(counts > 0, w, 0)
        """,
        "absent_infinite": """
            with np.errstate(all='ignore'):
                return shares * counts.sum() / counts
        """,
        "background_is_one": """
            w = shares / np.maximum(counts, 1)
            return w / w[0]
        """,
        "mean_weight_is_one": [
            "w = shares / np.maximum(counts, 1)\nreturn w / w.mean()",
            "w = shares / np.maximum(counts, 1)\nreturn w / w[counts > 0].mean()",
        ],
        "numbers differ": "return np.ones(len(counts))",
        "Wanted the shape": "return np.ones((2, 2))",
        "got the text": "return 'shares'",
        # As the lesson weighs classes: the shares are not asked.
        "cannot be called with 2 arguments": """
            def weights_for_shares(counts):
                return counts.sum() / (len(counts) * counts)
        """,
    },
    "gamma_for": {
        "defects_only": "return np.log(keep) / np.log(1 - p)",
        "of_p_t": "return np.log(keep) / np.log(p if y else 1 - p)",
        "upside_down": "return np.log(1 - (p if y else 1 - p)) / np.log(keep)",
        "no_logarithm": "return keep / (1 - (p if y else 1 - p))",
        "negative": "return -np.log(keep) / np.log(1 - (p if y else 1 - p))",
        "weight": "return (1 - (p if y else 1 - p)) ** keep",
        "removed": "return np.log(1 - keep) / np.log(1 - (p if y else 1 - p))",
        "difference": "return np.log(keep) - np.log(1 - (p if y else 1 - p))",
        "the text": "return 'two'",
        "wanted the shape": "return np.zeros((3, 3))",
    },
    "focal_per_defect": {
        "mean": focal(reduce=".mean()"),
        "sum": focal(reduce=".sum()"),
        "not_reduced": [focal(reduce=""), focal(reduce=" / y.sum().clamp(min=1)")],
        "per_background": focal(reduce=".sum() / (1 - y).sum()"),
        "plus_one": focal(reduce=".sum() / (y.sum() + 1)"),
        "power_of_p_t": focal().replace("(1 - p) **", "p **").replace("* p**", "* (1 - p)**"),
        "alpha_on_both": focal("alpha", "alpha"),
        "alpha_on_the_background": focal("(1 - alpha)", "alpha"),
        "no_alpha": focal("1", "1"),
        "alpha_fixed": focal("0.25", "0.75"),
        "gamma_fixed": focal(gamma="2"),
        "no_focus": focal(gamma="0"),
        "double_sigmoid": "x = torch.sigmoid(x)" + focal(),
        "no_defect": focal(reduce=".sum() / y.sum()"),
        "naive": [naive(), naive("torch.exp(x) / (1 + torch.exp(x))")],
        "own_sigmoid": focal(p="1 / (1 + torch.exp(-x))"),
        "clipped": naive("torch.sigmoid(x).clamp(1e-7, 1 - 1e-7)"),
        "no gradient flows back": naive(end=".item()"),
        "gradient for argument 1 is not": focal(p="torch.sigmoid(x).detach()"),
        "no_gradient_at_extremes": focal(reduce=".sum() / y.sum().clamp(min=1)").replace(
            "return ", "loss = "
        )
        + "return loss if x.abs().max() < 100 else loss.detach()",
        "infinite_gradient": """
            p, q = torch.sigmoid(x), torch.sigmoid(-x)
            defect = alpha * q**gamma * torch.where(p > 0, -p.log(), -x)
            background = (1 - alpha) * p**gamma * torch.where(q > 0, -q.log(), x)
            return (y * defect + (1 - y) * background).sum() / y.sum().clamp(min=1)
        """,
        "capped": "x = torch.where(x.abs() > 20, 18 * x.sign() + 0.1 * x, x)" + focal(),
        "is `0.": LESSON_FOCAL,
        "the text": "return 'focal'",
    },
    "dice_per_image": {
        "pooled": [dice(axes="", end=""), LESSON_DICE],
        "similarity": dice().replace("(1 - (", "((").replace(".mean()", ".mean()"),
        "not_reduced": dice(end=""),
        "sum": dice(end=".sum()"),
        "no_two": dice(twice=1),
        "no_smoothing": dice(above=0, below=0),
        "smoothed_below": dice(above=0),
        "jaccard": """
            p = torch.sigmoid(x)
            tp = (p * y).sum((1, 2, 3))
            union = p.sum((1, 2, 3)) + y.sum((1, 2, 3)) - tp
            return (1 - (tp + 1) / (union + 1)).mean()
        """,
        "squared": dice().replace("p.sum(", "(p**2).sum(").replace("y.sum(", "(y**2).sum("),
        "hard": dice("(x > 0).float()"),
        "double_sigmoid": dice("torch.sigmoid(torch.sigmoid(x))"),
        "no_sigmoid": dice("x"),
        "no gradient flows back": dice(end=".mean().item()"),
        "the text": "return 'dice'",
    },
    "tversky_for": {
        "swapped": "return b**2 / (1 + b**2), 1 / (1 + b**2)",
        "not_divided": "return 1, b**2",
        "swapped_not_divided": "return b**2, 1",
        "no_square": "return 1 / (1 + b), b / (1 + b)",
        "dice_only": "return 0.5, 0.5",
        "multiplied": "return 1 + b**2, b**2 * (1 + b**2)",
        "wanted the shape": "return 1 / (1 + b**2)",
        "the text": "return 'F'",
    },
    "weight_map": {
        "not_scaled": weigh(ZERO_FOR_VOID, "found"),
        "void_is_background": weigh("weights[np.where(void, 0, mask)]", "found / found.mean()"),
        "void_is_last": weigh("weights[np.where(void, -1, mask)]", "found / found.mean()"),
        "mean_over_all": weigh(ZERO_FOR_VOID, "found / found.mean()"),
        "each_image": weigh(
            ZERO_FOR_VOID, "np.stack([f / f[m != 255].mean() for f, m in zip(found, mask)])"
        ),
        "sum_of_one": weigh(ZERO_FOR_VOID, "found / found.sum()"),
        "mean_of_the_classes": weigh(ZERO_FOR_VOID, "found / weights.mean()"),
        "largest_is_one": weigh(ZERO_FOR_VOID, "found / found.max()"),
        "one_number_for_each_image": weigh(
            ZERO_FOR_VOID, "(found / found[mask != 255].mean()).mean((1, 2))"
        ),
        "changes its argument 1": """
            mask[mask == 255] = 0
            return weights[mask]
        """,
        "the text": "return 'map'",
    },
}
