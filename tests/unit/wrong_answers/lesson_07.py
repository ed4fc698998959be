"""Typical wrong answers to the exercises of lesson 07, by the name of each."""

ORDER = "order = rng.permutation(len(uses))\n"
WEIGHTED = "\nreturn np.where(mask == 1, positive_weight * relative**power, 1)"
RELATIVE = "relative = distance / max(distance.max(), 1)\n"

WRONG_ANSWERS = {
    "half_stop": {
        "all_passes": "return x",
        "nothing_passes": [
            "return x.detach()",
            "return share * x.detach() + (1 - share) * x.detach()",
            "with torch.no_grad():\n    return share * x + (1 - share) * x",
        ],
        "values_shrink": ["return share * x", "return (share * x).detach()"],
        "values_grow": "return x.detach() + share * x",
        "turned_over": "return x.detach() * share + (1 - share) * x",
        "all_or_nothing": [
            "return x if share > 0.5 else x.detach()",
            "return x if share else x.detach()",
            "return x if share == 1 else x.detach()",
        ],
        "squared": "return share**2 * x + (1 - share**2) * x.detach()",
        "negative": "return (1 + share) * x.detach() - share * x",
        "changed": "x *= share\nreturn x + (1 - share) / max(share, 1e-9) * x.detach()",
        "no_tensor": ["return x.tolist()", "return x, share", "return x.sum()"],
        "other_values": [
            "return x + share",
            "return x / 2",
            "return share * x + (1 - share)",
            "return x.detach() + share",
            "global kept\nkept = x.detach() if 'kept' not in globals() else kept\n"
            "return share * x + (1 - share) * kept",
        ],
        "other_ways": "x.register_hook(lambda g: share * g)\nreturn x",
        "some_elements": """
            few, flat = int(share * x.numel()), x.flatten()
            return torch.cat([flat[:few], flat[few:].detach()]).view(x.shape)
        """,
        "other_gradient": "return share * x / 2 + (1 - share / 2) * x.detach()",
    },
    "next_negatives": {
        "first_of_equals": [
            "return np.argsort(uses)[:count]",
            "rng = np.random.default_rng(0)\n"
            + ORDER
            + "return order[np.argsort(uses[order])][:count]",
        ],
        "shuffled_afterwards": "return rng.permutation(np.argsort(uses)[:count])",
        "most_used": "return np.argsort(uses)[::-1][:count]",
        "uniform": "return rng.choice(len(uses), count, replace=False)",
        "places": ORDER + "return np.argsort(uses[order])[:count]",
        "weighted": """
            chances = 1 / (1 + uses)
            chances = chances / chances.sum()
            return rng.choice(len(uses), count, replace=False, p=chances)
        """,
        "pool": [
            """
            most = np.sort(uses)[count - 1]
            return rng.choice(np.flatnonzero(uses <= most), count, replace=False)
            """,
            "return np.flatnonzero(uses <= np.sort(uses)[count - 1])[:count]",
        ],
        "endless": [
            """
            chosen = []
            while len(chosen) < count:
                i = rng.integers(len(uses))
                if uses[i] == uses.min() and i not in chosen:
                    chosen.append(i)
            return chosen
            """,
            """
            chosen, least = [], list(np.flatnonzero(uses == uses.min()))
            while len(chosen) < count:
                if least:
                    chosen.append(least.pop(rng.integers(len(least))))
            return chosen
            """,
        ],
        "one_over_uses": """
            with np.errstate(all="ignore"):
                chances = 1 / uses
                chances = chances / chances.sum()
            return rng.choice(len(uses), count, replace=False, p=chances)
        """,
        "put_back": "return rng.integers(0, len(uses), count)",
        "too_few_to_choose_from": """
            least = np.flatnonzero(uses == uses.min())
            return rng.choice(least, count, replace=False)
        """,
        "too_few": """
            least = np.flatnonzero(uses == uses.min())
            return rng.permutation(least)[:count]
        """,
        "uses_themselves": "return np.sort(uses)[:count]",
        "all_of_them": ORDER + "return order[np.argsort(uses[order])]",
        "truth_values": "return uses <= np.sort(uses)[count - 1]",
        "counted": """
            order = rng.permutation(len(uses))
            chosen = order[np.argsort(uses[order])][:count]
            uses[chosen] += 1
            return chosen
        """,
        "another_generator": """
            order = np.random.permutation(len(uses))
            return order[np.argsort(uses[order])][:count]
        """,
        "some_of_the_equals": [
            """
            order = np.argsort(uses, kind='stable')
            return np.append(order[:count - 1], rng.choice(order[count - 1:count + 2]))
            """,
            "return np.argsort(uses + 1e-3 * rng.integers(0, 2, len(uses)))[:count]",
        ],
        "neighbors": """
            order = np.roll(np.arange(len(uses)), rng.integers(len(uses)))
            return order[np.argsort(uses[order], kind='stable')][:count]
        """,
        "divided_by_0": """
            with np.errstate(all='ignore'):
                shares = uses / uses.max()
            return np.argsort(shares + 0.01 * rng.random(len(uses)))[:count]
        """,
        "floats": ORDER + "return order[np.argsort(uses[order])][:count] * 1.0",
        "no_indices": ORDER + "return set(order[np.argsort(uses[order])][:count])",
        "no_image": ORDER + "return order[np.argsort(uses[order])][:count] + 24",
    },
    "distance_weights": {
        "own_distance": """
            import torch
            from course_utils import data
            options = {"power": power, "positive_weight": positive_weight}
            return data.distance_weights(torch.as_tensor(mask), **options).numpy()
        """,
        "zeros_outside": RELATIVE + "return mask * positive_weight * relative**power",
        "no_power": RELATIVE + "return np.where(mask == 1, positive_weight * relative, 1)",
        "times_the_power": RELATIVE
        + "return np.where(mask == 1, positive_weight * relative * power, 1)",
        "by_the_sum": "relative = distance / max(distance.sum(), 1)" + WEIGHTED,
        "by_the_mean": "relative = distance / max(distance.mean(), 1e-6)" + WEIGHTED,
        "by_component": """
            import cv2
            weights, (_, labels) = np.ones(mask.shape), cv2.connectedComponents(mask.astype(np.uint8))
            for k in range(1, labels.max() + 1):
                largest = distance[labels == k].max()
                weights[labels == k] = positive_weight * (distance[labels == k] / largest) ** power
            return weights
        """,
        "is off by": "return np.where(mask == 1, positive_weight * (distance / 7) ** power, 1)",
        "by_columns": "relative = distance / np.maximum(distance.max(axis=0), 1)" + WEIGHTED,
        "sum_of_1": RELATIVE
        + WEIGHTED.replace("return", "weights =")
        + "\nreturn weights / weights.sum()",
        "mean_of_1": RELATIVE
        + WEIGHTED.replace("return", "weights =")
        + "\nreturn weights / weights.mean()",
        "never_below_1": RELATIVE + "return np.maximum(1, positive_weight * relative**power)",
        "not_divided": RELATIVE
        + "return np.where(mask == 1, positive_weight * distance**power, 1)",
        "divided_afterwards": RELATIVE
        + "return np.where(mask == 1, positive_weight * distance**power / max(distance.max(), 1), 1)",
        "outside_too": RELATIVE
        + "return positive_weight * np.where(mask == 1, relative**power, 1)",
        "weight_to_the_power": RELATIVE
        + "return np.where(mask == 1, (positive_weight * relative)**power, 1)",
        "no_weight": RELATIVE + "return np.where(mask == 1, relative**power, 1)",
        "all_alike": RELATIVE + "return np.where(mask == 1, positive_weight, 1)",
        "edge_counts": RELATIVE
        + "return np.where(mask == 1, positive_weight * (1 - relative)**power, 1)",
        "1_minus_the_weight": RELATIVE
        + "return np.where(mask == 1, positive_weight * (1 - relative**power), 1)",
        "1_added": RELATIVE + "return 1 + positive_weight * relative**power",
        "exchanged": RELATIVE + "return np.where(mask == 0, positive_weight * relative**power, 1)",
        "whole_numbers": """
            relative = distance / max(distance.max(), 1)
            weights = np.ones_like(mask)
            weights[mask == 1] = positive_weight * relative[mask == 1] ** power
            return weights
        """,
        "rows": """
            relative = distance / max(distance.max(), 1)
            weights = np.ones(mask.shape)
            weights[mask] = positive_weight * relative[mask] ** power
            return weights
        """,
        "changes its argument 2": """
            distance /= max(distance.max(), 1)
            return np.where(mask == 1, positive_weight * distance**power, 1)
        """,
        "nan_for_none": """
            weights = positive_weight * (distance / distance.max()) ** power
            return mask * weights + (1 - mask)
        """,
        "error_for_none": """
            largest = distance[mask == 1].max()
            weights = positive_weight * (distance / largest) ** power
            return np.where(mask == 1, weights, 1)
        """,
        "zeros_for_none": """
            if not mask.any():
                return np.zeros(mask.shape)
            weights = positive_weight * (distance / distance.max()) ** power
            return np.where(mask == 1, weights, 1)
        """,
        "weight_for_none": """
            if not mask.any():
                return np.full(mask.shape, positive_weight)
            weights = positive_weight * (distance / distance.max()) ** power
            return np.where(mask == 1, weights, 1)
        """,
        "a_number_for_none": """
            if not mask.any():
                return 1.0
            weights = positive_weight * (distance / distance.max()) ** power
            return np.where(mask == 1, weights, 1)
        """,
        "by_the_mean_of_defects": """
            mean = distance[mask == 1].mean() if mask.any() else 1
            return np.where(mask == 1, positive_weight * (distance / mean) ** power, 1)
        """,
    },
}
