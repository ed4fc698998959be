"""Typical wrong answers to the exercises of lesson 05: source text, and words of the message."""

_MAPS = (
    "from torch.nn import functional as F\n"
    "def spatial_maps(d1, d2, d3):\n"
    "    def doubled(m):\n"
    "        return F.interpolate(m, scale_factor=2, {how})\n"
    "    m3 = d3.{mean}(1, keepdim={keep})\n"
    "    m2 = d2.{mean}(1, keepdim={keep}) {sign} doubled(m3)\n"
    "    m1 = d1.{mean}(1, keepdim={keep}) {sign} doubled({deeper})\n"
    "    return {result}"
)


def _maps(**changed):
    usual = {
        "how": 'mode="bilinear", align_corners=True',
        "mean": "mean",
        "keep": "True",
        "sign": "*",
        "deeper": "m2",
        "result": "[m1, m2, m3]",
    }
    return _MAPS.format(**{**usual, **changed})


_NEAREST = (
    "import torch\n"
    "def nearest_image(memory, features):\n"
    "    levels = []\n"
    "    for m, f in zip(memory, features):\n"
    "        difference = f.flatten(1)[:, None] - m.flatten(1)[None]\n"
    "        levels.append(difference.square().{reduce}(2))\n"
    "    return {result}"
)


def _nearest(result, reduce="mean"):
    return _NEAREST.format(result=result, reduce=reduce)


WRONG_ANSWERS = {
    "difference_map": {
        "absolute": (
            "def difference_map(features, remembered):\n"
            "    return (features - remembered).abs().mean(1, keepdim=True)",
            "absolute",
        ),
        "no square": (
            "def difference_map(features, remembered):\n"
            "    return (features - remembered).mean(1, keepdim=True)",
            "Without a square",
        ),
        "square of the mean": (
            "def difference_map(features, remembered):\n"
            "    return (features - remembered).mean(1, keepdim=True) ** 2",
            "square the mean",
        ),
        "means first": (
            "def difference_map(features, remembered):\n"
            "    difference = features.mean(1) - remembered.mean(1)\n"
            "    return difference.square()",
            "axis of the channels is gone",
        ),
        "sum": (
            "def difference_map(features, remembered):\n"
            "    return (features - remembered).square().sum(1, keepdim=True)",
            "sum over the channels",
        ),
        "root": (
            "def difference_map(features, remembered):\n"
            "    return (features - remembered).square().mean(1, keepdim=True).sqrt()",
            "root at the end",
        ),
        "each channel": (
            "def difference_map(features, remembered):\n"
            "    return (features - remembered).square()",
            "mean over the channels is missing",
        ),
        "over the places": (
            "def difference_map(features, remembered):\n"
            "    return (features - remembered).square().mean((2, 3), keepdim=True)",
            "over the places",
        ),
    },
    "nearest_image": {
        "distances": (_nearest("sum(levels)"), "Those are the distances"),
        "smallest distance": (_nearest("sum(levels).min(1).values"), "not `min`"),
        "for each memory": (_nearest("sum(levels).argmin(0)"), "For each *memory*"),
        "sum over elements": (_nearest("sum(levels).argmin(1)", "sum"), "outvotes"),
        "one for each level": (
            _nearest("torch.stack([d.argmin(1) for d in levels])"),
            "for each level. Add",
        ),
        "one for each level, by image": (
            _nearest("torch.stack([d.argmin(1) for d in levels], dim=1)"),
            "image by image",
        ),
        "level 1 alone": (_nearest("levels[0].argmin(1)"), "level 1 alone"),
        "the last level alone": (_nearest("levels[-1].argmin(1)"), "level 3 alone"),
        "farthest": (_nearest("sum(levels).argmax(1)"), "farthest"),
        "largest product": (
            "def nearest_image(memory, features):\n"
            "    return sum(\n"
            "        f.flatten(1) @ m.flatten(1).T / m[0].numel()\n"
            "        for m, f in zip(memory, features)\n"
            "    ).argmax(1)",
            "largest product",
        ),
    },
    "spatial_maps": {
        "turned round": (_maps(result="[m3, m2, m1]"), "turned round"),
        "means alone": (
            "def spatial_maps(d1, d2, d3):\n"
            "    return [d.mean(1, keepdim=True) for d in (d1, d2, d3)]",
            "means alone",
        ),
        "no chain": (_maps(deeper="d2.mean(1, keepdim=True)"), "level 3 has no say"),
        "added": (_maps(sign="+"), "add the maps"),
        "summed": (_maps(mean="sum"), "sum over the channels"),
        "corners": (_maps(how='mode="bilinear"'), "align_corners"),
        "nearest": (_maps(how='mode="nearest"'), "leaves blocks"),
        "only the finest": (_maps(result="m1"), "Tensor"),
        "not averaged": (
            "from torch.nn import functional as F\n"
            "def spatial_maps(d1, d2, d3):\n"
            "    return [d1, d2, d3]",
            "keepdim",
        ),
    },
    "freeze": {
        "no return": ("def freeze(layers):\n    layers.requires_grad_(False)", "None"),
        "unchanged": ("def freeze(layers):\n    return layers", "Every weight still learns"),
        "eval alone": ("def freeze(layers):\n    return layers.eval()", "stops the statistics"),
        "flag on the module": (
            "def freeze(layers):\n    layers.requires_grad = False\n    return layers",
            "hangs a new attribute",
        ),
        "no gradient alone": (
            "def freeze(layers):\n    return layers.requires_grad_(False)",
            "training mode",
        ),
        "convolutions alone": (
            "from torch import nn\n"
            "def freeze(layers):\n"
            "    for part in layers.modules():\n"
            "        if isinstance(part, nn.Conv2d):\n"
            "            part.requires_grad_(False)\n"
            "    return layers.eval()",
            "tensors still learn",
        ),
        "until train": (
            "def freeze(layers):\n    return layers.requires_grad_(False).eval()",
            "Frozen, until somebody",
        ),
        "train is no function": (
            "def freeze(layers):\n"
            "    layers.requires_grad_(False).eval()\n"
            "    layers.train = False\n"
            "    return layers",
            "failed on your layers ('bool'",
        ),
        "train takes no mode": (
            "def freeze(layers):\n"
            "    layers.requires_grad_(False).eval()\n"
            "    layers.train = lambda: layers\n"
            "    return layers",
            "function that takes `mode`",
        ),
        "eval too late": (
            "def freeze(layers):\n"
            "    layers.requires_grad_(False)\n"
            "    layers.train = lambda mode=True: layers\n"
            "    return layers.eval()",
            "*before* you replace",
        ),
        "no momentum": (
            "from torch import nn\n"
            "def freeze(layers):\n"
            "    for part in layers.modules():\n"
            "        if isinstance(part, nn.BatchNorm2d):\n"
            "            part.momentum = 0.0\n"
            "    return layers.requires_grad_(False).eval()",
            "depends on its neighbors",
        ),
        "no statistics": (
            "from torch import nn\n"
            "def freeze(layers):\n"
            "    for part in layers.modules():\n"
            "        if isinstance(part, nn.BatchNorm2d):\n"
            "            part.running_mean = part.running_var = None\n"
            "            part.track_running_stats = False\n"
            "    return layers.requires_grad_(False).eval()",
            "another output than before",
        ),
    },
}
