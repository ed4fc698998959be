"""Typical wrong answers to the exercises of lesson 05, by the name of each."""

import textwrap

LEVELS = """
levels = []
for m, f in zip(memory, features):
    difference = f.flatten(1)[:, None] - m.flatten(1)[None]
    levels.append(difference.square().mean(2))
"""
CROSSED = """
rows, columns = masks.amax(2), masks.amax(1)
passed = rows[:, :, None] * columns[:, None, :]
"""
BOX = """
found = []
for mask in masks:
    y, x = torch.nonzero(mask, as_tuple=True)
    empty = len(y) == 0
    side = lambda v: 0 if empty else v.max() - v.min() + 1
    found.append(torch.as_tensor(side(y) * side(x)))
"""


def maps(
    how='mode="bilinear", align_corners=True',
    sign="*",
    deeper="m2",
    result="[m / m.mean((2, 3), keepdim=True).clamp(min=1e-8) for m in (m1, m2, m3)]",
):
    return f"""
        def doubled(m):
            return F.interpolate(m, scale_factor=2, {how})
        m3 = d3.mean(1, keepdim=True)
        m2 = d2.mean(1, keepdim=True) {sign} doubled(m3)
        m1 = d1.mean(1, keepdim=True) {sign} doubled({deeper})
        return {result}
    """


def divided(by):
    return maps(result=f"[m / {by}.clamp(min=1e-8) for m in (m1, m2, m3)]")


def patches(
    size="(features - m).square().mean(1)",
    pad='float("inf")',
    reach="range(2 * radius + 1)",
    skip="False",
    best="torch.full_like(features[:, 0], float('inf'))",
    keep="torch.minimum",
    result="best",
):
    return f"""
        h, w = features.shape[2:]
        padded = F.pad(memory, [radius] * 4, value={pad})
        best = {best}
        for y in {reach}:
            for x in {reach}:
                if {skip}:
                    continue
                for m in padded[:, :, y : y + h, x : x + w]:
                    best = {keep}(best, {size})
        return {result}
    """


WRONG_ANSWERS = {
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
        "min_of_both": LEVELS + "return sum(levels).min(1)",
        "two_levels": LEVELS + "return sum(levels[:2]).argmin(1)",
        "absolute": """
            d = 0
            for m, f in zip(memory, features):
                d = d + (f.flatten(1)[:, None] - m.flatten(1)[None]).abs().mean(2)
            return d.argmin(1)
        """,
        "changes its arguments": """
            d = 0
            while memory:
                m, f = memory.pop(), features.pop()
                d = d + (f.flatten(1)[:, None] - m.flatten(1)[None]).square().mean(2)
            return d.argmin(1)
        """,
    },
    "nearest_patch": {
        "same_place": """
            pairs = (features[:, None] - memory[None]).square().mean(2)
            return pairs.amin(1)
        """,
        "anywhere": """
            cells = features.permute(0, 2, 3, 1).flatten(1, 2)
            known = memory.permute(0, 2, 3, 1).flatten(0, 2)
            nearest = torch.stack([torch.cdist(one, known).amin(1) for one in cells])
            return (nearest.square() / features.shape[1]).view(len(features), *features.shape[2:])
        """,
        "window_of_one": """
            h, w = features.shape[2:]
            padded = F.pad(memory, [1] * 4, value=float("inf"))
            moved = [padded[:, :, y : y + h, x : x + w] for y in range(3) for x in range(3)]
            return (features[:, None] - torch.cat(moved)[None]).square().mean(2).amin(1)
        """,
        "wraps_round": """
            best = torch.full_like(features[:, 0], float("inf"))
            for y in range(-radius, radius + 1):
                for x in range(-radius, radius + 1):
                    for m in memory.roll((y, x), dims=(2, 3)):
                        best = torch.minimum(best, (features - m).square().mean(1))
            return best
        """,
        "zeros_outside": patches(pad="0.0"),
        "diamond": patches(skip="abs(y - radius) + abs(x - radius) > radius"),
        "one_direction": [
            patches(reach="range(radius, 2 * radius + 1)"),
            patches(reach="range(radius + 1)"),
        ],
        "one_short": patches(reach="range(max(2 * radius, 1))"),
        "farthest": patches(
            best="torch.zeros_like(features[:, 0])",
            keep="torch.maximum",
            size="(features - m).square().mean(1).nan_to_num(posinf=0.0)",
        ),
        "one_image": """
            h, w = features.shape[2:]
            padded = F.pad(memory, [radius] * 4, value=float("inf"))
            each = []
            for m in padded:
                moved = [
                    m[:, y : y + h, x : x + w]
                    for y in range(2 * radius + 1)
                    for x in range(2 * radius + 1)
                ]
                pairs = (features[:, None] - torch.stack(moved)[None]).square().mean(2)
                each.append(pairs.amin(1))
            each = torch.stack(each, dim=1)
            return each[torch.arange(len(features)), each.mean((2, 3)).argmin(1)]
        """,
        "sum": patches(size="(features - m).square().sum(1)"),
        "root": [
            patches(result="best.sqrt()"),
            patches(size="(features - m).norm(dim=1)"),
        ],
        "absolute": patches(size="(features - m).abs().mean(1)"),
        "channel_by_channel": patches(size="(features - m).square().amin(1)"),
        "wanted the shape": "return torch.zeros(len(features), len(memory))",
        "pooled_distances": """
            distances = (features[:, None] - memory[None]).square().mean(2).amin(1)
            return -F.max_pool2d(-distances[:, None], 2 * radius + 1, 1, radius)[:, 0]
        """,
        "mean_of_the_images": """
            h, w = features.shape[2:]
            padded = F.pad(memory.mean(0, keepdim=True), [radius] * 4, value=float("inf"))
            shifts = range(2 * radius + 1)
            moved = [padded[:, :, y : y + h, x : x + w] for y in shifts for x in shifts]
            return (features[:, None] - torch.cat(moved)[None]).square().mean(2).amin(1)
        """,
    },
    "spatial_maps": {
        "turned_round": maps(
            result="[m / m.mean((2, 3), keepdim=True).clamp(min=1e-8) for m in (m3, m2, m1)]"
        ),
        "nothing_by_nothing": maps(
            result="[m / m.mean((2, 3), keepdim=True) for m in (m1, m2, m3)]"
        ),
        "not_divided": maps(result="[m1, m2, m3]"),
        "means_alone": [
            "return [d.mean(1, keepdim=True) for d in (d1, d2, d3)]",
            """
            means = [d.mean(1, keepdim=True) for d in (d1, d2, d3)]
            return [m / m.mean((2, 3), keepdim=True).clamp(min=1e-8) for m in means]
        """,
        ],
        "whole_batch": divided("m.mean()"),
        "by_the_largest": divided("m.amax((2, 3), keepdim=True)"),
        "by_the_sum": divided("m.sum((2, 3), keepdim=True)"),
        "by_row": [divided("m.mean(3, keepdim=True)"), divided("m.mean(2, keepdim=True)")],
        "no_chain": maps(deeper="d2.mean(1, keepdim=True)"),
        "added": maps(sign="+"),
        "corners": maps(how='mode="bilinear"'),
        "nearest": maps(how='mode="nearest"'),
        "no_three_maps": [maps(result="m1"), "return [d1, d2, d3]"],
        "doubled_apart": """
            def doubled(m):
                return F.interpolate(m, scale_factor=2, mode="bilinear", align_corners=True)
            m3, m2, m1 = (d.mean(1, keepdim=True) for d in (d3, d2, d1))
            found = [m1 * doubled(m2) * doubled(doubled(m3)), m2 * doubled(m3), m3]
            return [m / m.mean((2, 3), keepdim=True).clamp(min=1e-8) for m in found]
        """,
        "changes its arguments": "d1 *= 0.5\n" + textwrap.dedent(maps()),
    },
    "crossings": {
        "all_that_passes": "return masks.amax(2).sum(1) * masks.amax(1).sum(1)",
        "whole_batch": CROSSED + "return (passed - masks).sum()",
        "shares": [
            CROSSED + "return (passed - masks).float().mean((1, 2))",
            CROSSED + "return (passed - masks).sum((1, 2)) / passed.sum((1, 2)).clamp(min=1)",
        ],
        "rows_and_columns": "return masks.amax(2).sum(1) + masks.amax(1).sum(1)",
        "either": [
            """
            rows, columns = masks.amax(2), masks.amax(1)
            passed = (rows[:, :, None] + columns[:, None, :]).clamp(max=1)
            return (passed - masks).sum((1, 2))
        """,
            """
            rows, columns = masks.amax(2), masks.amax(1)
            return ((rows[:, :, None] + columns[:, None, :]) > 0).sum((1, 2))
        """,
        ],
        "the_box": [
            BOX + "return torch.stack(found) - masks.sum((1, 2))",
            BOX + "return torch.stack(found)",
        ],
        "sums_of_rows": [
            """
            rows, columns = masks.sum(2), masks.sum(1)
            return (rows[:, :, None] * columns[:, None, :] - masks).sum((1, 2))
        """,
            """
            rows, columns = masks.sum(2), masks.sum(1)
            return (rows[:, :, None] * columns[:, None, :]).sum((1, 2))
        """,
        ],
        "not_passed": CROSSED + "return (1 - passed).sum((1, 2))",
        "area": "return masks.sum((1, 2))",
        "changes its argument": """
            rows, columns = masks.amax(2), masks.amax(1)
            masks -= rows[:, :, None] * columns[:, None, :]
            return -masks.sum((1, 2))
        """,
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
            """
            def train(mode=True):
                raise RuntimeError("frozen")
            layers.requires_grad_(False).eval()
            layers.train = train
            return layers
        """,
        ],
        "calls_itself": """
            layers.requires_grad_(False).eval()
            layers.train = lambda mode=True: layers.eval()
            return layers
        """,
        "train_of_the_class": """
            layers.requires_grad_(False).eval()
            type(layers).train = lambda self, mode=True: self
            return layers
        """,
        "another_module": [
            """
            import copy
            layers = copy.deepcopy(layers)
            layers.requires_grad_(False).eval()
            layers.train = lambda mode=True: layers
            return layers
        """,
            "import torch\nreturn torch.nn.Linear(3, 4)",
            "import torch\nreturn torch.nn.Identity()",
        ],
        "train_returns_nothing": [
            """
            layers.requires_grad_(False).eval()
            layers.train = lambda mode=True: None
            return layers
        """,
            """
            def train(self, mode=True):
                return self
            layers.requires_grad_(False).eval()
            layers.train = train
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
