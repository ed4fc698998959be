"""Typical wrong answers to the exercises of lesson 02, by the name of each."""

WRONG_ANSWERS = {
    "focal_weight": {
        "defects_only": "return (1 - p) ** gamma",
        "mutes_the_hard_ones": "return (p if y else 1 - p) ** gamma",
        "gamma_fixed": "return (1 - (p if y else 1 - p)) ** 2",
        "gamma_missing": "return 1 - (p if y else 1 - p)",
        "whole_loss": """
            import math
            q = p if y else 1 - p
            return -((1 - q) ** gamma) * math.log(q)
        """,
    },
    "stable_focal": {
        "naive": """
            p = torch.sigmoid(x)
            loss = 0.25 * (1 - p) ** 2 * y * -p.log() + 0.75 * p**2 * (1 - y) * -(1 - p).log()
            return loss.mean()
        """,
        "clipped": """
            p = torch.sigmoid(x).clamp(1e-7, 1 - 1e-7)
            loss = 0.25 * (1 - p) ** 2 * y * -p.log() + 0.75 * p**2 * (1 - y) * -(1 - p).log()
            return loss.mean()
        """,
        "no gradient flows back": """
            p = torch.sigmoid(x)
            loss = 0.25 * (1 - p) ** 2 * y * -p.log() + 0.75 * p**2 * (1 - y) * -(1 - p).log()
            return loss.mean().item()
        """,
        "gradient for argument 1 is not": """
            p = torch.sigmoid(x).detach()
            defect = 0.25 * (1 - p) ** 2 * softplus(-x)
            background = 0.75 * p**2 * softplus(x)
            return (y * defect + (1 - y) * background).mean()
        """,
        "alpha_on_the_background": """
            p = torch.sigmoid(x)
            defect = 0.75 * (1 - p) ** 2 * softplus(-x)
            background = 0.25 * p**2 * softplus(x)
            return (y * defect + (1 - y) * background).mean()
        """,
        "no_alpha": """
            p = torch.sigmoid(x)
            defect = 1 * (1 - p) ** 2 * softplus(-x)
            background = 1 * p**2 * softplus(x)
            return (y * defect + (1 - y) * background).mean()
        """,
        "no_focus": """
            p = torch.sigmoid(x)
            defect = 0.25 * (1 - p) ** 0 * softplus(-x)
            background = 0.75 * p**0 * softplus(x)
            return (y * defect + (1 - y) * background).mean()
        """,
        "sum": """
            p = torch.sigmoid(x)
            defect = 0.25 * (1 - p) ** 2 * softplus(-x)
            background = 0.75 * p**2 * softplus(x)
            return (y * defect + (1 - y) * background).sum()
        """,
        "double_sigmoid": """
            x = torch.sigmoid(x)
            p = torch.sigmoid(x)
            defect = 0.25 * (1 - p) ** 2 * softplus(-x)
            background = 0.75 * p**2 * softplus(x)
            return (y * defect + (1 - y) * background).mean()
        """,
        "no_gradient_at_extremes": """
            p = torch.sigmoid(x)
            defect = 0.25 * (1 - p) ** 2 * softplus(-x)
            background = 0.75 * p**2 * softplus(x)
            loss = (y * defect + (1 - y) * background).mean()
            return loss if x.abs().max() < 100 else loss.detach()
        """,
        "infinite_gradient": """
            p, q = torch.sigmoid(x), torch.sigmoid(-x)
            defect = 0.25 * q**2 * torch.where(p > 0, -p.log(), -x)
            background = 0.75 * p**2 * torch.where(q > 0, -q.log(), x)
            return (y * defect + (1 - y) * background).mean()
        """,
        "capped": """
            x = torch.where(x.abs() > 20, 18 * x.sign() + 0.1 * x, x)
            p = torch.sigmoid(x)
            defect = 0.25 * (1 - p) ** 2 * softplus(-x)
            background = 0.75 * p**2 * softplus(x)
            return (y * defect + (1 - y) * background).mean()
        """,
    },
    "capped_weights": {
        "inverse": "return counts.sum() / counts",
        "inverse_capped": """
            w = counts.sum() / counts
            return np.minimum(w, cap * w.min())
        """,
        "not_capped": "return counts.sum() / (len(counts) * counts)",
        "absolute_cap": "return np.minimum(counts.sum() / (len(counts) * counts), cap)",
        "shares": "return counts / counts.sum()",
    },
    "repaired_weighting": {
        "as_published": """
            p = logits.softmax(1)
            w = torch.einsum('nchw,c->nhw', p, weights)
            return (w * cross_entropy(logits, target, reduction='none')).mean()
        """,
        "sum": "return (weights[target] * cross_entropy(logits, target, reduction='none')).sum()",
        "torchs_mean": "return cross_entropy(logits, target, weight=weights)",
        "no_weights": "return cross_entropy(logits, target)",
        "no gradient flows back": """
            each = cross_entropy(logits.detach(), target, reduction='none')
            return (weights[target] * each).mean()
        """,
    },
}
