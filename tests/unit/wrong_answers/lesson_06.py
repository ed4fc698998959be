"""Typical wrong answers to the exercises of lesson 06, by the name of each."""

KEEP = "keep = fpr <= limit\n"
ON = "values = scores[region == 1].sort(descending=True).values\n"
KNOWN = "known = mask != 255\n"
P = KNOWN + "p, m = logits.softmax(1)[:, 1][known], mask[known]\n"
Q = P + "q = torch.where(m == 1, p, 1 - p)\n"
FOCAL = "(1 - q) ** 4 * q.log()"
ALL = "p = logits.softmax(1)[:, 1]\n"
OF_ALL = f"q = torch.where(m == 1, p, 1 - p)\nreturn (0.6 * (p - m).abs() - 0.4 * {FOCAL}).mean()"
LIMIT = "limit = np.sort(good_scores)[::-1][allowed]\n"
COUNT = "return np.sum(alarm & (labels == 0)), np.sum(~alarm & (labels == 1))"
ALARM = "alarm = scores > limit\n" + COUNT
RAISED = LIMIT + "alarm = scores > limit\n"

WRONG_ANSWERS = {
    "image_score": {
        "ground_counts": "return scores.flatten().topk(top).values.mean()",
        "divided_by_top": [
            ON + "return values[:top].sum() / top",
        ],
        "zeros_beside": [
            "return (scores * region).flatten().topk(min(top, int(region.sum()))).values.mean()",
            "return (scores * region).flatten().topk(top).values.mean()",
        ],
        "always_100": ON + "return values[:100].mean()",
        ", wanted": """
            values = (scores * region).flatten()
            values = values[values > 0]
            return values.topk(min(top, len(values))).values.mean()
        """,
        "outside": """
            values = scores[region == 0]
            return values.topk(min(top, len(values))).values.mean()
        """,
        "maximum": "return scores[region == 1].max()",
        "mean": "return scores[region == 1].mean()",
        "smallest": "return scores[region == 1].sort().values[:top].mean()",
        "sum": ON + "return values[:top].sum()",
        "one_of_them": ON + "return values[:top][-1]",
        "unsorted": [
            "return scores[region == 1][:top].mean()",
            "return scores[region == 1][-top:].mean()",
        ],
        "has the shape": ON + "return values[:top]",
        "text `'high'`": 'return "high"',
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
        "axes_exchanged": """
            x = np.append(fpr[fpr < limit], limit)
            y = np.append(pro[fpr < limit], np.interp(limit, fpr, pro))
            return np.trapezoid(x, y) / limit
        """,
        ", wanted": """
            i = np.argmax(fpr > limit)  # 0 if no point lies above the limit
            x, y = np.append(fpr[:i], limit), np.append(pro[:i], np.interp(limit, fpr, pro))
            return np.trapezoid(y, x) / limit
        """,
        "held": """
            x, y = fpr[fpr < limit], pro[fpr < limit]
            return np.trapezoid(np.append(y, y[-1]), np.append(x, limit)) / limit
        """,
        "mean": KEEP + "return pro[keep].mean()",
        "height": "return np.interp(limit, fpr, pro)",
    },
    "anomaly_loss": {
        "unknown_counts": [
            ALL + "m = mask\n" + OF_ALL,
            ALL + "m = torch.where(mask == 255, 0, mask)\n" + OF_ALL,
        ],
        "unknown_is_defect": ALL + "m = mask.clamp(max=1)\n" + OF_ALL,
        "divided_by_all": Q + f"return (0.6 * (p - m).abs() - 0.4 * {FOCAL}).sum() / mask.numel()",
        "mean_of_means": ALL
        + "m = mask\n"
        + OF_ALL.replace("return (", "loss = (").replace(").mean()", ")")
        + "\nreturn torch.stack([one[k].mean() for one, k in zip(loss, mask != 255)]).mean()",
        "softmax_twice": P
        + "twice = logits.softmax(1).softmax(1)[:, 1][known]\n"
        + "q = torch.where(m == 1, twice, 1 - twice)\n"
        + f"return (0.6 * (p - m).abs() - 0.4 * {FOCAL}).mean()",
        "weights_exchanged": Q + f"return (0.4 * (p - m).abs() - 0.6 * {FOCAL}).mean()",
        "no_weights": Q + f"return ((p - m).abs() - {FOCAL}).mean()",
        "gamma_2": Q + "return (0.6 * (p - m).abs() - 0.4 * (1 - q) ** 2 * q.log()).mean()",
        "cross_entropy": Q + "return (0.6 * (p - m).abs() - 0.4 * q.log()).mean()",
        "channel_0": (Q + f"return (0.6 * (p - m).abs() - 0.4 * {FOCAL}).mean()").replace(
            "[:, 1]", "[:, 0]"
        ),
        "sigmoid": (Q + f"return (0.6 * (p - m).abs() - 0.4 * {FOCAL}).mean()").replace(
            "logits.softmax(1)[:, 1]", "logits[:, 1].sigmoid()"
        ),
        "no_focal": P + "return 0.6 * (p - m).abs().mean()",
        "no_l1": Q + f"return (-0.4 * {FOCAL}).mean()",
        "sum": Q + f"return (0.6 * (p - m).abs() - 0.4 * {FOCAL}).sum()",
        "defects_only": Q
        + "return (0.6 * (p - m).abs() - 0.4 * m * (1 - p) ** 4 * p.log()).mean()",
        "focal_of_the_mean": """
            entropy = torch.nn.functional.cross_entropy(logits, mask, ignore_index=255)
            l1 = (logits.softmax(1)[:, 1] - mask)[mask != 255].abs().mean()
            return 0.6 * l1 + 0.4 * (1 - torch.exp(-entropy)) ** 4 * entropy
        """,
        "sign": Q + f"return (0.6 * (p - m).abs() + 0.4 * {FOCAL}).mean()",
        "squared": Q + f"return (0.6 * (p - m) ** 2 - 0.4 * {FOCAL}).mean()",
        "each_pixel": Q + f"return 0.6 * (p - m).abs() - 0.4 * {FOCAL}",
        "no gradient": Q + f"return (0.6 * (p - m).abs() - 0.4 * {FOCAL}).mean().item()",
    },
    "count_errors": {
        "at_the_limit": LIMIT + "alarm = scores >= limit\n" + COUNT,
        "one_too_few": "limit = np.sort(good_scores)[-max(allowed, 1)]\n" + ALARM,
        "one_too_many": "limit = np.sort(good_scores)[-allowed - 2]\n" + ALARM,
        "never_allowed": "limit = good_scores.max()\n" + ALARM,
        "from_below": "limit = np.sort(good_scores)[allowed]\n" + ALARM,
        "between": "limit = np.quantile(good_scores, 1 - allowed / len(good_scores))\n" + ALARM,
        "by_test": [
            "limit = np.sort(scores[labels == 0])[::-1][allowed]\n" + ALARM,
            "limit = np.sort(scores)[::-1][allowed]\n" + ALARM,
        ],
        "unsorted": "limit = good_scores[allowed]\n" + ALARM,
        "exchanged": RAISED
        + "return np.sum(~alarm & (labels == 1)), np.sum(alarm & (labels == 0))",
        "labels_exchanged": RAISED
        + "return np.sum(alarm & (labels == 1)), np.sum(~alarm & (labels == 0))",
        "hits": RAISED + "return np.sum(alarm & (labels == 0)), np.sum(alarm & (labels == 1))",
        "shares": RAISED + "return np.mean(alarm[labels == 0]), np.mean(~alarm[labels == 1])",
        "together": LIMIT + "return np.sum((scores > limit) != (labels == 1))",
        ", wanted": [LIMIT + "return 0, 0", "return np.array([[1, 2]])"],
    },
}
