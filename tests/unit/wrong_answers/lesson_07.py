"""Typical wrong answers to the exercises of lesson 07: source text, and words of the message."""

_LABEL = "def image_label(mask):\n"
_SHRUNK = (
    _LABEL + "    defect = (mask > 0).float()[None]\n"
    '    defect = F.pad(defect, (8, 8, 8, 8), mode="reflect")\n'
    "    small = F.avg_pool2d(defect, 17, stride=8)\n"
)
_LOSS = "def joint_loss(segmentation, decision, epoch, epochs, delta):\n"
_SHARE = _LOSS + "    share = 1 - epoch / epochs\n"
_NEXT = "def next_negatives(uses, count, rng):\n"
_ORDER = _NEXT + "    order = rng.permutation(len(uses))\n"
_WEIGHTS = "def distance_weights(mask, distance, power, positive_weight):\n"
_RELATIVE = _WEIGHTS + "    relative = distance / max(distance.max(), 1)\n"


def _inside(formula: str) -> str:
    return _RELATIVE + f"    return np.where(mask == 1, {formula}, 1)"


WRONG_ANSWERS = {
    "image_label": {
        "smaller mask": (_SHRUNK + "    return small.max().item()", "no label but a share"),
        "smaller mask, rounded": (_SHRUNK + "    return int(small.max() > 0.5)", "You round"),
        "sum of the smaller mask": (
            _SHRUNK + "    return min(small.sum().item(), 1)",
            "sum of the smaller",
        ),
        "each eighth pixel": (
            _LABEL + "    return int(mask[::8, ::8].any())",
            "each eighth pixel",
        ),
        "majority": (
            _LABEL + "    return int((mask > 0).float().mean() > 0.5)",
            "More than half",
        ),
        "mean above .5": (_LABEL + "    return int(mask.float().mean() > 0.5)", "mean of the mask"),
        "share": (_LABEL + "    return (mask > 0).float().mean()", "share of the defect"),
        "mean": (_LABEL + "    return mask.float().mean()", "That is the mean"),
        "number": (_LABEL + "    return int((mask > 0).sum())", "**number**"),
        "sum": (_LABEL + "    return mask.sum()", "**sum**"),
        "largest": (_LABEL + "    return int(mask.max())", "number of a class"),
        "mask": (_LABEL + "    return mask.float()", "the mask itself"),
        "each pixel": (_LABEL + "    return (mask > 0).long()", "for each pixel"),
        "all": (_LABEL + "    return int((mask > 0).all())", "**every**"),
        "turned over": (_LABEL + "    return int((mask == 0).all())", "Turned over"),
        "class 1": (_LABEL + "    return int((mask == 1).any())", "value 1 count for you"),
        "white": (_LABEL + "    return int((mask > 127).any())", "close to it"),
        "above 1": (_LABEL + "    return int(mask.max() > 1)", "Pixels of value 1 do not"),
        "two pixels": (_LABEL + "    return int((mask > 0).sum() > 1)", "single pixel is enough"),
        "Python's any": (_LABEL + "    return int(any(mask > 0))", "Ask the tensor"),
        "two values": (_LABEL + "    return int(len(mask.unique()) > 1)", "different values"),
    },
    "joint_loss": {
        "backwards": (
            _SHARE.replace("1 - epoch / epochs", "epoch / epochs")
            + "    return share * segmentation + delta * (1 - share) * decision",
            "backwards",
        ),
        "epochs - 1": (
            _SHARE.replace("/ epochs", "/ (epochs - 1)")
            + "    return share * segmentation + delta * (1 - share) * decision",
            "not by E - 1",
        ),
        "from 1": (
            _SHARE.replace("epoch /", "(epoch + 1) /")
            + "    return share * segmentation + delta * (1 - share) * decision",
            "count from 0",
        ),
        "brackets of the schedule": (
            _SHARE.replace("1 - epoch", "(1 - epoch)")
            + "    return share * segmentation + delta * (1 - share) * decision",
            "not (1 - n) / E",
        ),
        "whole numbers": (
            _SHARE.replace("epoch /", "epoch //")
            + "    return share * segmentation + delta * (1 - share) * decision",
            "drops the rest",
        ),
        "delta at the segmentation": (
            _SHARE + "    return delta * share * segmentation + (1 - share) * decision",
            "belongs to the decision.",
        ),
        "delta at both": (
            _SHARE + "    return delta * (share * segmentation + (1 - share) * decision)",
            "damps both",
        ),
        "no delta": (
            _SHARE + "    return share * segmentation + (1 - share) * decision",
            "Delta is missing",
        ),
        "delta as a share": (
            _SHARE
            + "    return (1 - delta) * share * segmentation + delta * (1 - share) * decision",
            "no share",
        ),
        "no schedule": (_LOSS + "    return segmentation + delta * decision", "without a schedule"),
        "decision from the start": (
            _SHARE + "    return share * segmentation + delta * decision",
            "from the start",
        ),
        "segmentation to the end": (
            _SHARE + "    return segmentation + delta * (1 - share) * decision",
            "never fades",
        ),
        "both fade": (
            _SHARE + "    return share * (segmentation + delta * decision)",
            "fade together",
        ),
        "brackets": (
            _SHARE + "    return share * segmentation + delta * 1 - share * decision",
            "Brackets are missing",
        ),
        "exchanged": (
            _SHARE + "    return share * decision + delta * (1 - share) * segmentation",
            "exchanged",
        ),
        "segmentation alone": (_SHARE + "    return share * segmentation", "decision is missing"),
        "two parts": (
            _SHARE + "    return share * segmentation, delta * (1 - share) * decision",
            "Add them",
        ),
        "share": (_SHARE + "    return share", "lambda alone"),
        "a number": (
            _SHARE + "    total = share * segmentation + delta * (1 - share) * decision\n"
            "    return total.item()",
            "no gradient",
        ),
        "decision detached": (
            _SHARE + "    return share * segmentation + delta * (1 - share) * decision.detach()",
            "gradient for argument 2",
        ),
        "in place": (
            _SHARE + "    segmentation *= share\n"
            "    return segmentation + delta * (1 - share) * decision",
            "changes its argument 1",
        ),
    },
    "next_negatives": {
        "first of equals": (_NEXT + "    return np.argsort(uses)[:count]", "always the same ones"),
        "shuffled afterwards": (
            _NEXT + "    return rng.permutation(np.argsort(uses)[:count])",
            "*after* choosing",
        ),
        "most used": (_NEXT + "    return np.argsort(uses)[::-1][:count]", "*most* used"),
        "uniform": (
            _NEXT + "    return rng.choice(len(uses), count, replace=False)",
            "You draw all images alike",
        ),
        "places": (_ORDER + "    return np.argsort(uses[order])[:count]", "*your shuffled* list"),
        "weighted": (
            _NEXT + "    chances = 1 / (1 + uses)\n"
            "    chances = chances / chances.sum()\n"
            "    return rng.choice(len(uses), count, replace=False, p=chances)",
            "leave out others",
        ),
        "put back": (_NEXT + "    return rng.integers(0, len(uses), count)", "comes twice"),
        "too few to choose from": (
            _NEXT + "    least = np.flatnonzero(uses == uses.min())\n"
            "    return rng.choice(least, count, replace=False)",
            "too few images to choose from",
        ),
        "too few": (
            _NEXT + "    least = np.flatnonzero(uses == uses.min())\n"
            "    return rng.permutation(least)[:count]",
            "Only 3 images",
        ),
        "uses themselves": (_NEXT + "    return np.sort(uses)[:count]", "the uses themselves"),
        "all": (_ORDER + "    return order[np.argsort(uses[order])]", "all 24 images"),
        "truth values": (
            _NEXT + "    return uses <= np.sort(uses)[count - 1]",
            "Those are truth values",
        ),
        "counted": (
            _ORDER + "    chosen = order[np.argsort(uses[order])][:count]\n"
            "    uses[chosen] += 1\n"
            "    return chosen",
            "different afterwards",
        ),
        "another generator": (
            _NEXT + "    order = np.random.permutation(len(uses))\n"
            "    return order[np.argsort(uses[order])][:count]",
            "another generator",
        ),
        "some of the equals": (
            _NEXT + "    order = np.argsort(uses, kind='stable')\n"
            "    return np.append(order[:count - 1], rng.choice(order[count - 1:count + 2]))",
            "need the same chance",
        ),
        "divided by 0": (
            _NEXT + "    with np.errstate(all='ignore'):\n"
            "        shares = uses / uses.max()\n"
            "    return np.argsort(shares + 0.01 * rng.random(len(uses)))[:count]",
            "at the start",
        ),
        "floats": (
            _ORDER + "    return order[np.argsort(uses[order])][:count] * 1.0",
            "these are floats",
        ),
        "a set": (
            _ORDER + "    return set(order[np.argsort(uses[order])][:count])",
            "got a set",
        ),
    },
    "distance_weights": {
        "zeros outside": (
            _RELATIVE + "    return mask * positive_weight * relative**power",
            "punishes a false alarm",
        ),
        "no power": (_inside("positive_weight * relative"), "power is missing"),
        "times the power": (_inside("positive_weight * relative * power"), "raises to it"),
        "by the sum": (
            _WEIGHTS + "    relative = distance / max(distance.sum(), 1)\n"
            "    return np.where(mask == 1, positive_weight * relative**power, 1)",
            "sum of all distances",
        ),
        "by the mean": (
            _WEIGHTS + "    relative = distance / max(distance.mean(), 1e-6)\n"
            "    return np.where(mask == 1, positive_weight * relative**power, 1)",
            "so that the middle",
        ),
        "by columns": (
            _WEIGHTS + "    relative = distance / np.maximum(distance.max(axis=0), 1)\n"
            "    return np.where(mask == 1, positive_weight * relative**power, 1)",
            "each column",
        ),
        "sum of 1": (
            _inside("positive_weight * relative**power").replace("return", "weights =")
            + "\n    return weights / weights.sum()",
            "add up to 1",
        ),
        "mean of 1": (
            _inside("positive_weight * relative**power").replace("return", "weights =")
            + "\n    return weights / weights.mean()",
            "mean weight",
        ),
        "never below 1": (
            _RELATIVE + "    return np.maximum(1, positive_weight * relative**power)",
            "below 1",
        ),
        "not divided": (_inside("positive_weight * distance**power"), "weights of hundreds"),
        "divided afterwards": (
            _inside("positive_weight * distance**power / max(distance.max(), 1)"),
            "Divide first",
        ),
        "outside, too": (
            _RELATIVE + "    return positive_weight * np.where(mask == 1, relative**power, 1)",
            "reaches the good pixels",
        ),
        "weight to the power": (
            _inside("(positive_weight * relative)**power"),
            "raise `positive_weight`",
        ),
        "no weight": (_inside("relative**power"), "`positive_weight` is not used"),
        "all alike": (_inside("positive_weight"), "the distance is not used"),
        "edge counts": (_inside("positive_weight * (1 - relative)**power"), "ends"),
        "1 minus the weight": (
            _inside("positive_weight * (1 - relative**power)"),
            "1 minus the weight",
        ),
        "1 added": (_RELATIVE + "    return 1 + positive_weight * relative**power", "add 1"),
        "exchanged": (
            _RELATIVE + "    return np.where(mask == 0, positive_weight * relative**power, 1)",
            "Exchanged",
        ),
        "whole numbers": (
            _RELATIVE + "    weights = np.ones_like(mask)\n"
            "    weights[mask == 1] = positive_weight * relative[mask == 1] ** power\n"
            "    return weights",
            "behind the point",
        ),
        "rows": (
            _RELATIVE + "    weights = np.ones(mask.shape)\n"
            "    weights[mask] = positive_weight * relative[mask] ** power\n"
            "    return weights",
            "rows",
        ),
        "in place": (
            _WEIGHTS + "    distance /= max(distance.max(), 1)\n"
            "    return np.where(mask == 1, positive_weight * distance**power, 1)",
            "changes its argument 2",
        ),
        "0 / 0": (
            _WEIGHTS + "    weights = positive_weight * (distance / distance.max()) ** power\n"
            "    return mask * weights + (1 - mask)",
            "0 / 0",
        ),
        "largest of none": (
            _WEIGHTS + "    largest = distance[mask == 1].max()\n"
            "    weights = positive_weight * (distance / largest) ** power\n"
            "    return np.where(mask == 1, weights, 1)",
            "(`ValueError`)",
        ),
        "zeros for none": (
            _WEIGHTS + "    if not mask.any():\n"
            "        return np.zeros(mask.shape)\n"
            "    weights = positive_weight * (distance / distance.max()) ** power\n"
            "    return np.where(mask == 1, weights, 1)",
            "teach nothing",
        ),
        "weight for none": (
            _WEIGHTS + "    if not mask.any():\n"
            "        return np.full(mask.shape, positive_weight)\n"
            "    weights = positive_weight * (distance / distance.max()) ** power\n"
            "    return np.where(mask == 1, weights, 1)",
            "in a mask without one all",
        ),
        "a number for none": (
            _WEIGHTS + "    if not mask.any():\n"
            "        return 1.0\n"
            "    weights = positive_weight * (distance / distance.max()) ** power\n"
            "    return np.where(mask == 1, weights, 1)",
            "as many as the mask",
        ),
    },
}
