"""Typical wrong answers to the exercises of lesson 07, by the name of each."""

SMALL = """
defect = (mask > 0).float()[None]
defect = F.pad(defect, (8, 8, 8, 8), mode="reflect")
small = F.avg_pool2d(defect, 17, stride=8)
"""
SHARE = "share = 1 - epoch / epochs\n"
ORDER = "order = rng.permutation(len(uses))\n"
RELATIVE = "relative = distance / max(distance.max(), 1)\n"

WRONG_ANSWERS = {
    "image_label": {
        "smaller_mask": SMALL + "return small.max().item()",
        "smaller_mask_rounded": SMALL + "return int(small.max() > 0.5)",
        "sum_of_the_smaller_mask": SMALL + "return min(small.sum().item(), 1)",
        "each_eighth_pixel": "return int(mask[::8, ::8].any())",
        "majority": "return int((mask > 0).float().mean() > 0.5)",
        "mean_above_5": "return int(mask.float().mean() > 0.5)",
        "share": "return (mask > 0).float().mean()",
        "mean": "return mask.float().mean()",
        "number": "return int((mask > 0).sum())",
        "sum": "return mask.sum()",
        "largest": "return int(mask.max())",
        "mask": "return mask.float()",
        "each_pixel": "return (mask > 0).long()",
        "all": "return int((mask > 0).all())",
        "turned_over": "return int((mask == 0).all())",
        "class_1": "return int((mask == 1).any())",
        "white": "return int((mask > 127).any())",
        "above_1": "return int(mask.max() > 1)",
        "two_pixels": "return int((mask > 0).sum() > 1)",
        "pythons_any": "return int(any(mask > 0))",
        "two_values": "return int(len(mask.unique()) > 1)",
    },
    "joint_loss": {
        "backwards": """
            share = epoch / epochs
            return share * segmentation + delta * (1 - share) * decision
        """,
        "epochs_minus_1": """
            share = 1 - epoch / (epochs - 1)
            return share * segmentation + delta * (1 - share) * decision
        """,
        "from_1": """
            share = 1 - (epoch + 1) / epochs
            return share * segmentation + delta * (1 - share) * decision
        """,
        "brackets_of_the_schedule": """
            share = (1 - epoch) / epochs
            return share * segmentation + delta * (1 - share) * decision
        """,
        "whole_numbers": """
            share = 1 - epoch // epochs
            return share * segmentation + delta * (1 - share) * decision
        """,
        "delta_at_the_segmentation": SHARE
        + "return delta * share * segmentation + (1 - share) * decision",
        "delta_at_both": SHARE + "return delta * (share * segmentation + (1 - share) * decision)",
        "no_delta": SHARE + "return share * segmentation + (1 - share) * decision",
        "delta_as_a_share": SHARE
        + "return (1 - delta) * share * segmentation + delta * (1 - share) * decision",
        "no_schedule": "return segmentation + delta * decision",
        "decision_from_the_start": SHARE + "return share * segmentation + delta * decision",
        "segmentation_to_the_end": SHARE + "return segmentation + delta * (1 - share) * decision",
        "both_fade": SHARE + "return share * (segmentation + delta * decision)",
        "brackets": SHARE + "return share * segmentation + delta * 1 - share * decision",
        "exchanged": SHARE + "return share * decision + delta * (1 - share) * segmentation",
        "segmentation_alone": SHARE + "return share * segmentation",
        "two_parts": SHARE + "return share * segmentation, delta * (1 - share) * decision",
        "share": SHARE + "return share",
        "no gradient": """
            share = 1 - epoch / epochs
            total = share * segmentation + delta * (1 - share) * decision
            return total.item()
        """,
        "gradient for argument 2": SHARE
        + "return share * segmentation + delta * (1 - share) * decision.detach()",
        "changes its argument 1": """
            share = 1 - epoch / epochs
            segmentation *= share
            return segmentation + delta * (1 - share) * decision
        """,
    },
    "next_negatives": {
        "first_of_equals": "return np.argsort(uses)[:count]",
        "shuffled_afterwards": "return rng.permutation(np.argsort(uses)[:count])",
        "most_used": "return np.argsort(uses)[::-1][:count]",
        "uniform": "return rng.choice(len(uses), count, replace=False)",
        "places": ORDER + "return np.argsort(uses[order])[:count]",
        "weighted": """
            chances = 1 / (1 + uses)
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
        "some_of_the_equals": """
            order = np.argsort(uses, kind='stable')
            return np.append(order[:count - 1], rng.choice(order[count - 1:count + 2]))
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
        "zeros_outside": RELATIVE + "return mask * positive_weight * relative**power",
        "no_power": RELATIVE + "return np.where(mask == 1, positive_weight * relative, 1)",
        "times_the_power": RELATIVE
        + "return np.where(mask == 1, positive_weight * relative * power, 1)",
        "by_the_sum": """
            relative = distance / max(distance.sum(), 1)
            return np.where(mask == 1, positive_weight * relative**power, 1)
        """,
        "by_the_mean": """
            relative = distance / max(distance.mean(), 1e-6)
            return np.where(mask == 1, positive_weight * relative**power, 1)
        """,
        "by_columns": """
            relative = distance / np.maximum(distance.max(axis=0), 1)
            return np.where(mask == 1, positive_weight * relative**power, 1)
        """,
        "sum_of_1": """
            relative = distance / max(distance.max(), 1)
            weights = np.where(mask == 1, positive_weight * relative**power, 1)
            return weights / weights.sum()
        """,
        "mean_of_1": """
            relative = distance / max(distance.max(), 1)
            weights = np.where(mask == 1, positive_weight * relative**power, 1)
            return weights / weights.mean()
        """,
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
