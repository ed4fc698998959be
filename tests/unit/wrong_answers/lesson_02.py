"""Typical wrong answers to the exercises of lesson 02: source text, and words of the message."""

WRONG_ANSWERS = {
    "focal_weight": {
        "defects only": (
            "def focal_weight(p, y, gamma):\n    return (1 - p) ** gamma",
            "Right for defects",
        ),
        "mutes the hard ones": (
            "def focal_weight(p, y, gamma):\n    return (p if y else 1 - p) ** gamma",
            "mutes the *hard*",
        ),
        "gamma fixed": (
            "def focal_weight(p, y, gamma):\n    return (1 - (p if y else 1 - p)) ** 2",
            "gamma = 2 only",
        ),
        "gamma missing": (
            "def focal_weight(p, y, gamma):\n    return 1 - (p if y else 1 - p)",
            "Gamma is missing",
        ),
        "whole loss": (
            "import math\n"
            "def focal_weight(p, y, gamma):\n"
            "    q = p if y else 1 - p\n"
            "    return -((1 - q) ** gamma) * math.log(q)",
            "whole loss",
        ),
    },
    "stable_focal": {
        "naive": (
            "def stable_focal(x, y):\n"
            "    p = torch.sigmoid(x)\n"
            "    loss = 0.25 * (1 - p) ** 2 * y * -p.log() + 0.75 * p**2 * (1 - y) * -(1 - p).log()\n"
            "    return loss.mean()",
            "log(0)",
        ),
        "clipped": (
            "def stable_focal(x, y):\n"
            "    p = torch.sigmoid(x).clamp(1e-7, 1 - 1e-7)\n"
            "    loss = 0.25 * (1 - p) ** 2 * y * -p.log() + 0.75 * p**2 * (1 - y) * -(1 - p).log()\n"
            "    return loss.mean()",
            "inside a logarithm",
        ),
        "no gradient": (
            "def stable_focal(x, y):\n"
            "    p = torch.sigmoid(x)\n"
            "    loss = 0.25 * (1 - p) ** 2 * y * -p.log() + 0.75 * p**2 * (1 - y) * -(1 - p).log()\n"
            "    return loss.mean().item()",
            "no gradient flows back",
        ),
        "detached weight": (
            "def stable_focal(x, y):\n"
            "    p = torch.sigmoid(x).detach()\n"
            "    defect = 0.25 * (1 - p) ** 2 * softplus(-x)\n"
            "    background = 0.75 * p**2 * softplus(x)\n"
            "    return (y * defect + (1 - y) * background).mean()",
            "gradient for argument 1 is not",
        ),
        "alpha on the background": (
            "def stable_focal(x, y):\n"
            "    p = torch.sigmoid(x)\n"
            "    defect = 0.75 * (1 - p) ** 2 * softplus(-x)\n"
            "    background = 0.25 * p**2 * softplus(x)\n"
            "    return (y * defect + (1 - y) * background).mean()",
            "sits on the background",
        ),
        "no alpha": (
            "def stable_focal(x, y):\n"
            "    p = torch.sigmoid(x)\n"
            "    defect = 1 * (1 - p) ** 2 * softplus(-x)\n"
            "    background = 1 * p**2 * softplus(x)\n"
            "    return (y * defect + (1 - y) * background).mean()",
            "Alpha is missing",
        ),
        "no focus": (
            "def stable_focal(x, y):\n"
            "    p = torch.sigmoid(x)\n"
            "    defect = 0.25 * (1 - p) ** 0 * softplus(-x)\n"
            "    background = 0.75 * p**0 * softplus(x)\n"
            "    return (y * defect + (1 - y) * background).mean()",
            "focus is missing",
        ),
        "sum": (
            "def stable_focal(x, y):\n"
            "    p = torch.sigmoid(x)\n"
            "    defect = 0.25 * (1 - p) ** 2 * softplus(-x)\n"
            "    background = 0.75 * p**2 * softplus(x)\n"
            "    return (y * defect + (1 - y) * background).sum()",
            "sum over the pixels",
        ),
        "double sigmoid": (
            "def stable_focal(x, y):\n"
            "    x = torch.sigmoid(x)\n"
            "    p = torch.sigmoid(x)\n"
            "    defect = 0.25 * (1 - p) ** 2 * softplus(-x)\n"
            "    background = 0.75 * p**2 * softplus(x)\n"
            "    return (y * defect + (1 - y) * background).mean()",
            "sigmoid twice",
        ),
    },
    "capped_weights": {
        "inverse": (
            "def capped_weights(counts, cap):\n    return counts.sum() / counts",
            "The K is missing",
        ),
        "inverse, capped": (
            "def capped_weights(counts, cap):\n"
            "    w = counts.sum() / counts\n"
            "    return np.minimum(w, cap * w.min())",
            "number of classes is missing",
        ),
        "not capped": (
            "def capped_weights(counts, cap):\n    return counts.sum() / (len(counts) * counts)",
            "not capped",
        ),
        "absolute cap": (
            "def capped_weights(counts, cap):\n"
            "    return np.minimum(counts.sum() / (len(counts) * counts), cap)",
            "cap at `cap` itself",
        ),
        "shares": (
            "def capped_weights(counts, cap):\n    return counts / counts.sum()",
            "These are the shares",
        ),
    },
    "repaired_weighting": {
        "as published": (
            "def repaired(logits, target, weights):\n"
            "    p = logits.softmax(1)\n"
            "    w = torch.einsum('nchw,c->nhw', p, weights)\n"
            "    return (w * cross_entropy(logits, target, reduction='none')).mean()",
            "still the published version",
        ),
        "sum": (
            "def repaired(logits, target, weights):\n"
            "    return (weights[target] * cross_entropy(logits, target, reduction='none')).sum()",
            "That is a sum",
        ),
        "torch's mean": (
            "def repaired(logits, target, weights):\n"
            "    return cross_entropy(logits, target, weight=weights)",
            "sum of the weights",
        ),
        "no weights": (
            "def repaired(logits, target, weights):\n    return cross_entropy(logits, target)",
            "without weights",
        ),
        "detached": (
            "def repaired(logits, target, weights):\n"
            "    each = cross_entropy(logits.detach(), target, reduction='none')\n"
            "    return (weights[target] * each).mean()",
            "no gradient flows back",
        ),
    },
}
