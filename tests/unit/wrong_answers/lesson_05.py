"""Typical wrong answers to the exercises of lesson 05, by the name of each."""

LEVELS = """
levels = []
for m, f in zip(memory, features):
    difference = f.flatten(1)[:, None] - m.flatten(1)[None]
    levels.append(difference.square().mean(2))
"""


def maps(
    how='mode="bilinear", align_corners=True',
    mean="mean",
    sign="*",
    deeper="m2",
    result="[m1, m2, m3]",
):
    return f"""
        def doubled(m):
            return F.interpolate(m, scale_factor=2, {how})
        m3 = d3.{mean}(1, keepdim=True)
        m2 = d2.{mean}(1, keepdim=True) {sign} doubled(m3)
        m1 = d1.{mean}(1, keepdim=True) {sign} doubled({deeper})
        return {result}
    """


WRONG_ANSWERS = {
    "difference_map": {
        "absolute": "return (features - remembered).abs().mean(1, keepdim=True)",
        "no_square": "return (features - remembered).mean(1, keepdim=True)",
        "square_of_the_mean": "return (features - remembered).mean(1, keepdim=True) ** 2",
        "means_first": """
            difference = features.mean(1) - remembered.mean(1)
            return difference.square()
        """,
        "sum": "return (features - remembered).square().sum(1, keepdim=True)",
        "root": "return (features - remembered).square().mean(1, keepdim=True).sqrt()",
        "each_channel": "return (features - remembered).square()",
        "over_the_places": "return (features - remembered).square().mean((2, 3), keepdim=True)",
        "length": "return (features - remembered).square().sum(1, keepdim=True).sqrt()",
    },
    "nearest_image": {
        "distances": LEVELS + "return sum(levels)",
        "smallest_distance": LEVELS + "return sum(levels).min(1).values",
        "for_each_memory": LEVELS + "return sum(levels).argmin(0)",
        "sum_over_elements": """
            levels = []
            for m, f in zip(memory, features):
                difference = f.flatten(1)[:, None] - m.flatten(1)[None]
                levels.append(difference.square().sum(2))
            return sum(levels).argmin(1)
        """,
        "one_for_each_level": LEVELS + "return torch.stack([d.argmin(1) for d in levels])",
        "one_for_each_level_by_image": LEVELS
        + "return torch.stack([d.argmin(1) for d in levels], dim=1)",
        "level_1_alone": LEVELS + "return levels[0].argmin(1)",
        "level_3_alone": LEVELS + "return levels[-1].argmin(1)",
        "farthest": LEVELS + "return sum(levels).argmax(1)",
        "largest_product": """
            return sum(
                f.flatten(1) @ m.flatten(1).T / m[0].numel()
                for m, f in zip(memory, features)
            ).argmax(1)
        """,
        "level_2_alone": LEVELS + "return levels[1].argmin(1)",
        "floats": LEVELS + "return sum(levels).argmin(1).float()",
    },
    "spatial_maps": {
        "turned_round": maps(result="[m3, m2, m1]"),
        "means_alone": "return [d.mean(1, keepdim=True) for d in (d1, d2, d3)]",
        "no_chain": maps(deeper="d2.mean(1, keepdim=True)"),
        "added": maps(sign="+"),
        "summed": maps(mean="sum"),
        "corners": maps(how='mode="bilinear"'),
        "nearest": maps(how='mode="nearest"'),
        "no_three_maps": [maps(result="m1"), "return [d1, d2, d3]"],
    },
    "freeze": {
        "returned `None`": "layers.requires_grad_(False)",
        "unchanged": "return layers",
        "eval_alone": "return layers.eval()",
        "flag_on_the_module": """
            layers.requires_grad = False
            return layers
        """,
        "no_gradient_alone": "return layers.requires_grad_(False)",
        "convolutions_alone": """
            from torch import nn
            for part in layers.modules():
                if isinstance(part, nn.Conv2d):
                    part.requires_grad_(False)
            return layers.eval()
        """,
        "until_train": "return layers.requires_grad_(False).eval()",
        "no_train_with_a_mode": [
            """
            layers.requires_grad_(False).eval()
            layers.train = False
            return layers
        """,
            """
            layers.requires_grad_(False).eval()
            layers.train = lambda: layers
            return layers
        """,
        ],
        "eval_too_late": """
            layers.requires_grad_(False)
            layers.train = lambda mode=True: layers
            return layers.eval()
        """,
        "no_momentum": """
            from torch import nn
            for part in layers.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.momentum = 0.0
            return layers.requires_grad_(False).eval()
        """,
        "no_statistics": """
            from torch import nn
            for part in layers.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.running_mean = part.running_var = None
                    part.track_running_stats = False
            return layers.requires_grad_(False).eval()
        """,
        "no_layers": "return [layers]",
    },
}
