"""Typical wrong answers to the exercises of lesson 06: source text, and words of the message."""

_CUT = "def limited_area(fpr, pro, limit):\n    keep = fpr <= limit\n"
_P = "def anomaly_loss(logits, mask):\n    p = logits.softmax(1)[:, 1]\n"
_Q = _P + "    q = torch.where(mask == 1, p, 1 - p)\n"

WRONG_ANSWERS = {
    "checkpoint": {
        "by test": (
            'def checkpoint(looks):\n    return max(looks, key=lambda look: look["test"])["step"]',
            "chose by the test",
        ),
        "by both": (
            "def checkpoint(looks):\n"
            '    return max(looks, key=lambda look: look["val"] + look["test"])["step"]',
            "Half of your choice",
        ),
        "val minus test": (
            "def checkpoint(looks):\n"
            '    return max(looks, key=lambda look: look["val"] - look["test"])["step"]',
            "wanted",
        ),
        "the last": ('def checkpoint(looks):\n    return looks[-1]["step"]', "last one is honest"),
        "the worst": (
            'def checkpoint(looks):\n    return min(looks, key=lambda look: look["val"])["step"]',
            "the worst",
        ),
        "the score": (
            'def checkpoint(looks):\n    return max(look["val"] for look in looks)',
            "That is the score",
        ),
        "the place": (
            "def checkpoint(looks):\n"
            '    scores = [look["val"] for look in looks]\n'
            "    return scores.index(max(scores))",
            "place in the list",
        ),
        "the look": (
            'def checkpoint(looks):\n    return max(looks, key=lambda look: look["val"])',
            "the whole look",
        ),
        "the first": ('def checkpoint(looks):\n    return looks[0]["step"]', "first look"),
    },
    "image_score": {
        "maximum": ("def image_score(scores, top):\n    return scores.max()", "largest pixel"),
        "mean": ("def image_score(scores, top):\n    return scores.mean()", "drowns"),
        "smallest": (
            "def image_score(scores, top):\n    return np.sort(scores.ravel())[:top].mean()",
            "goes upwards",
        ),
        "sum": (
            "def image_score(scores, top):\n    return np.sort(scores.ravel())[-top:].sum()",
            "their sum",
        ),
        "one of them": (
            "def image_score(scores, top):\n    return np.sort(scores.ravel())[-top]",
            "one pixel",
        ),
        "all of them": (
            "def image_score(scores, top):\n    return np.sort(scores.ravel())[-top:]",
            "now take their mean",
        ),
        "by rows": (
            "def image_score(scores, top):\n    return np.sort(scores)[:, -top:].mean()",
            "each row",
        ),
        "by columns": (
            "def image_score(scores, top):\n    return np.sort(scores, axis=0)[-top:].mean()",
            "each column",
        ),
        "unsorted": (
            "def image_score(scores, top):\n    return scores.ravel()[-top:].mean()",
            "sort first",
        ),
    },
    "limited_area": {
        "not divided": (
            "def limited_area(fpr, pro, limit):\n"
            "    x = np.append(fpr[fpr < limit], limit)\n"
            "    y = np.append(pro[fpr < limit], np.interp(limit, fpr, pro))\n"
            "    return np.trapezoid(y, x)",
            "Without the division",
        ),
        "no limit": (
            "def limited_area(fpr, pro, limit):\n    return np.trapezoid(pro, fpr)",
            "limit is not used",
        ),
        "whole, divided": (
            "def limited_area(fpr, pro, limit):\n    return np.trapezoid(pro, fpr) / limit",
            "*whole* curve",
        ),
        "last piece missing": (
            _CUT + "    return np.trapezoid(pro[keep], fpr[keep]) / limit",
            "The piece between",
        ),
        "divided by the last point": (
            _CUT + "    return np.trapezoid(pro[keep], fpr[keep]) / fpr[keep][-1]",
            "different places",
        ),
        "last piece and division missing": (
            _CUT + "    return np.trapezoid(pro[keep], fpr[keep])",
            "so is the division",
        ),
        "held": (
            "def limited_area(fpr, pro, limit):\n"
            "    x, y = fpr[fpr < limit], pro[fpr < limit]\n"
            "    return np.trapezoid(np.append(y, y[-1]), np.append(x, limit)) / limit",
            "You hold",
        ),
        "mean": (_CUT + "    return pro[keep].mean()", "not evenly spaced"),
        "height": (
            "def limited_area(fpr, pro, limit):\n    return np.interp(limit, fpr, pro)",
            "the height",
        ),
    },
    "anomaly_loss": {
        "softmax twice": (
            _P.replace("p = ", "twice = logits.softmax(1).softmax(1)[:, 1]\n    p = ")
            + "    q = torch.where(mask == 1, twice, 1 - twice)\n"
            "    return (0.6 * (p - mask).abs() - 0.4 * (1 - q) ** 4 * q.log()).mean()",
            "softmax already",
        ),
        "weights exchanged": (
            _Q + "    return (0.4 * (p - mask).abs() - 0.6 * (1 - q) ** 4 * q.log()).mean()",
            "exchanged",
        ),
        "no weights": (
            _Q + "    return ((p - mask).abs() - (1 - q) ** 4 * q.log()).mean()",
            "are missing",
        ),
        "gamma 2": (
            _Q + "    return (0.6 * (p - mask).abs() - 0.4 * (1 - q) ** 2 * q.log()).mean()",
            "takes 4",
        ),
        "cross entropy": (
            _Q + "    return (0.6 * (p - mask).abs() - 0.4 * q.log()).mean()",
            "is cross entropy",
        ),
        "channel 0": (
            _Q.replace("[:, 1]", "[:, 0]")
            + "    return (0.6 * (p - mask).abs() - 0.4 * (1 - q) ** 4 * q.log()).mean()",
            "took channel 0",
        ),
        "sigmoid": (
            _Q.replace("logits.softmax(1)[:, 1]", "logits[:, 1].sigmoid()")
            + "    return (0.6 * (p - mask).abs() - 0.4 * (1 - q) ** 4 * q.log()).mean()",
            "sigmoid of channel 1",
        ),
        "no focal": (_P + "    return 0.6 * (p - mask).abs().mean()", "focal part is missing"),
        "no L1": (
            _Q + "    return (-0.4 * (1 - q) ** 4 * q.log()).mean()",
            "L1 part is missing",
        ),
        "sum": (
            _Q + "    return (0.6 * (p - mask).abs() - 0.4 * (1 - q) ** 4 * q.log()).sum()",
            "take the mean",
        ),
        "sign": (
            _Q + "    return (0.6 * (p - mask).abs() + 0.4 * (1 - q) ** 4 * q.log()).mean()",
            "sign of the focal",
        ),
        "defects only": (
            _P + "    focal = -mask * (1 - p) ** 4 * p.log()\n"
            "    return (0.6 * (p - mask).abs() + 0.4 * focal).mean()",
            "defects alone",
        ),
        "squared": (
            _Q + "    return (0.6 * (p - mask) ** 2 - 0.4 * (1 - q) ** 4 * q.log()).mean()",
            "square the difference",
        ),
        "NumPy": (
            _Q + "    return (0.6 * (p - mask).abs() - 0.4 * (1 - q) ** 4 * q.log()).mean().item()",
            "no gradient",
        ),
    },
}
