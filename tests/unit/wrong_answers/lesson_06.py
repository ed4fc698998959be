"""Typical wrong answers to the exercises of lesson 06, by the name of each."""

KEEP = "keep = fpr <= limit\n"
P = "p = logits.softmax(1)[:, 1]\n"
Q = P + "q = torch.where(mask == 1, p, 1 - p)\n"

WRONG_ANSWERS = {
    "checkpoint": {
        "by_test": 'return max(evaluations, key=lambda one: one["test"])["step"]',
        "by_both": 'return max(evaluations, key=lambda one: one["val"] + one["test"])["step"]',
        ", wanted": 'return max(evaluations, key=lambda one: one["val"] - one["test"])["step"]',
        "the_last": 'return evaluations[-1]["step"]',
        "the_worst": 'return min(evaluations, key=lambda one: one["val"])["step"]',
        "the_score": 'return max(one["val"] for one in evaluations)',
        "the_place": """
            scores = [one["val"] for one in evaluations]
            return scores.index(max(scores))
        """,
        "the_evaluation": 'return max(evaluations, key=lambda one: one["val"])',
        "the_first": 'return evaluations[0]["step"]',
    },
    "image_score": {
        "maximum": "return scores.max()",
        "mean": "return scores.mean()",
        "smallest": "return np.sort(scores.ravel())[:top].mean()",
        "sum": "return np.sort(scores.ravel())[-top:].sum()",
        "one_of_them": "return np.sort(scores.ravel())[-top]",
        "all_of_them": "return np.sort(scores.ravel())[-top:]",
        "by_rows": "return np.sort(scores)[:, -top:].mean()",
        "by_columns": "return np.sort(scores, axis=0)[-top:].mean()",
        "unsorted": "return scores.ravel()[-top:].mean()",
    },
    "limited_area": {
        "not_divided": """
            x = np.append(fpr[fpr < limit], limit)
            y = np.append(pro[fpr < limit], np.interp(limit, fpr, pro))
            return np.trapezoid(y, x)
        """,
        "no_limit": "return np.trapezoid(pro, fpr)",
        "whole_divided": "return np.trapezoid(pro, fpr) / limit",
        "last_piece_missing": KEEP + "return np.trapezoid(pro[keep], fpr[keep]) / limit",
        "divided_by_the_last_point": KEEP
        + "return np.trapezoid(pro[keep], fpr[keep]) / fpr[keep][-1]",
        "last_piece_and_division_missing": KEEP + "return np.trapezoid(pro[keep], fpr[keep])",
        "held": """
            x, y = fpr[fpr < limit], pro[fpr < limit]
            return np.trapezoid(np.append(y, y[-1]), np.append(x, limit)) / limit
        """,
        "mean": KEEP + "return pro[keep].mean()",
        "height": "return np.interp(limit, fpr, pro)",
    },
    "anomaly_loss": {
        "softmax_twice": """
            twice = logits.softmax(1).softmax(1)[:, 1]
            p = logits.softmax(1)[:, 1]
            q = torch.where(mask == 1, twice, 1 - twice)
            return (0.6 * (p - mask).abs() - 0.4 * (1 - q) ** 4 * q.log()).mean()
        """,
        "weights_exchanged": Q
        + "return (0.4 * (p - mask).abs() - 0.6 * (1 - q) ** 4 * q.log()).mean()",
        "no_weights": Q + "return ((p - mask).abs() - (1 - q) ** 4 * q.log()).mean()",
        "gamma_2": Q + "return (0.6 * (p - mask).abs() - 0.4 * (1 - q) ** 2 * q.log()).mean()",
        "cross_entropy": Q + "return (0.6 * (p - mask).abs() - 0.4 * q.log()).mean()",
        "channel_0": """
            p = logits.softmax(1)[:, 0]
            q = torch.where(mask == 1, p, 1 - p)
            return (0.6 * (p - mask).abs() - 0.4 * (1 - q) ** 4 * q.log()).mean()
        """,
        "sigmoid": """
            p = logits[:, 1].sigmoid()
            q = torch.where(mask == 1, p, 1 - p)
            return (0.6 * (p - mask).abs() - 0.4 * (1 - q) ** 4 * q.log()).mean()
        """,
        "no_focal": P + "return 0.6 * (p - mask).abs().mean()",
        "no_l1": Q + "return (-0.4 * (1 - q) ** 4 * q.log()).mean()",
        "sum": Q + "return (0.6 * (p - mask).abs() - 0.4 * (1 - q) ** 4 * q.log()).sum()",
        "sign": Q + "return (0.6 * (p - mask).abs() + 0.4 * (1 - q) ** 4 * q.log()).mean()",
        "defects_only": """
            p = logits.softmax(1)[:, 1]
            focal = -mask * (1 - p) ** 4 * p.log()
            return (0.6 * (p - mask).abs() + 0.4 * focal).mean()
        """,
        "squared": Q + "return (0.6 * (p - mask) ** 2 - 0.4 * (1 - q) ** 4 * q.log()).mean()",
        "no gradient": Q
        + "return (0.6 * (p - mask).abs() - 0.4 * (1 - q) ** 4 * q.log()).mean().item()",
        "half_and_half": Q + "return (0.5 * (p - mask).abs() - 0.5 * (1 - q)**4 * q.log()).mean()",
        "focal_of_softmax_twice": """
            p = logits.softmax(1).softmax(1)[:, 1]
            q = torch.where(mask == 1, p, 1 - p)
            return -((1 - q) ** 4 * q.log()).mean()
        """,
    },
}
