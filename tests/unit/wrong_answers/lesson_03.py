"""Typical wrong answers to the exercises of lesson 03: source text, and words of the message."""

WRONG_ANSWERS = {
    "valid_side": {
        "bottom forgotten": (
            "def valid_side(side):\n"
            "    for _ in range(4):\n"
            "        side = (side - 4) // 2\n"
            "    for _ in range(4):\n"
            "        side = 2 * side - 4\n"
            "    return side",
            "bottom of the U",
        ),
        "halved first": (
            "def valid_side(side):\n"
            "    for _ in range(4):\n"
            "        side = side // 2 - 4\n"
            "    side -= 4\n"
            "    for _ in range(4):\n"
            "        side = 2 * side - 4\n"
            "    return side",
            "convolves first",
        ),
        "one convolution": (
            "def valid_side(side):\n"
            "    for _ in range(4):\n"
            "        side = (side - 2) // 2\n"
            "    side -= 2\n"
            "    for _ in range(4):\n"
            "        side = 2 * side - 2\n"
            "    return side",
            "there are two",
        ),
        "padding": ("def valid_side(side):\n    return side", "size with padding"),
        "borders of the image": ("def valid_side(side):\n    return side - 36", "its own map"),
        "way up turned over": (
            "def valid_side(side):\n"
            "    for _ in range(4):\n"
            "        side = (side - 4) // 2\n"
            "    side -= 4\n"
            "    for _ in range(4):\n"
            "        side = 2 * (side - 4)\n"
            "    return side",
            "doubles first",
        ),
        "no rounding": (
            "def valid_side(side):\n"
            "    for _ in range(4):\n"
            "        side = (side - 4) / 2\n"
            "    side -= 4\n"
            "    for _ in range(4):\n"
            "        side = 2 * side - 4\n"
            "    return side",
            "Halve with `//`",
        ),
        "a constant": (
            "def valid_side(side):\n    return side - 184",
            "Right for 572",
        ),
        "three stages": (
            "def valid_side(side):\n"
            "    for _ in range(3):\n"
            "        side = (side - 4) // 2\n"
            "    side -= 4\n"
            "    for _ in range(3):\n"
            "        side = 2 * side - 4\n"
            "    return side",
            "depth 4",
        ),
        "way down only": (
            "def valid_side(side):\n"
            "    for _ in range(4):\n"
            "        side = (side - 4) // 2\n"
            "    return side - 4",
            "way up is missing",
        ),
    },
    "field_of_view": {
        "no jump": (
            "def field_of_view(layers):\n    return 1 + sum((k - 1) * d for k, s, d in layers)",
            "layers without stride",
        ),
        "stride too early": (
            "def field_of_view(layers):\n"
            "    field, jump = 1, 1\n"
            "    for k, s, d in layers:\n"
            "        jump *= s\n"
            "        field += (k - 1) * d * jump\n"
            "    return field",
            "not for itself",
        ),
        "whole kernels": (
            "def field_of_view(layers):\n"
            "    field, jump = 1, 1\n"
            "    for k, s, d in layers:\n"
            "        field += k * d * jump\n"
            "        jump *= s\n"
            "    return field",
            "k - 1, not k",
        ),
        "no dilation": (
            "def field_of_view(layers):\n"
            "    field, jump = 1, 1\n"
            "    for k, s, d in layers:\n"
            "        field += (k - 1) * jump\n"
            "        jump *= s\n"
            "    return field",
            "dilation is missing",
        ),
        "sum of kernels": (
            "def field_of_view(layers):\n    return sum(k for k, s, d in layers)",
            "They overlap",
        ),
        "starts at 0": (
            "def field_of_view(layers):\n"
            "    field, jump = 0, 1\n"
            "    for k, s, d in layers:\n"
            "        field += (k - 1) * d * jump\n"
            "        jump *= s\n"
            "    return field",
            "sees itself",
        ),
        "own stride": (
            "def field_of_view(layers):\n"
            "    field, jump = 1, 1\n"
            "    for k, s, d in layers:\n"
            "        field += (k - 1) * d * s\n"
            "    return field",
            "before* a layer",
        ),
        "strides added": (
            "def field_of_view(layers):\n"
            "    field, jump = 1, 1\n"
            "    for k, s, d in layers:\n"
            "        field += (k - 1) * d * jump\n"
            "        jump += s - 1\n"
            "    return field",
            "Strides multiply",
        ),
        "dilated kernel": (
            "def field_of_view(layers):\n"
            "    field, jump = 1, 1\n"
            "    for k, s, d in layers:\n"
            "        field += (k * d - 1) * jump\n"
            "        jump *= s\n"
            "    return field",
            "k - 1 gaps",
        ),
        "no pools": (
            "def field_of_view(layers):\n"
            "    field, jump = 1, 1\n"
            "    for k, s, d in layers:\n"
            "        if (k, s) != (2, 2):\n"
            "            field += (k - 1) * d * jump\n"
            "            jump *= s\n"
            "    return field",
            "leave the max-pools out",
        ),
        "pools for their stride": (
            "def field_of_view(layers):\n"
            "    field, jump = 1, 1\n"
            "    for k, s, d in layers:\n"
            "        if (k, s) != (2, 2):\n"
            "            field += (k - 1) * d * jump\n"
            "        jump *= s\n"
            "    return field",
            "sees, too",
        ),
    },
    "block_parameters": {
        "no biases": (
            "def block_parameters(i, o):\n    return 9 * i * o + 9 * o * o",
            "has a bias",
        ),
        "one convolution": (
            "def block_parameters(i, o):\n    return 9 * i * o + o",
            "The block has two",
        ),
        "twice the first": (
            "def block_parameters(i, o):\n    return 2 * (9 * i * o + o)",
            "what the first",
        ),
        "kernels of one": (
            "def block_parameters(i, o):\n    return i * o + o + o * o + o",
            "nine numbers",
        ),
        "kernels shared": (
            "def block_parameters(i, o):\n    return 9 * i + o + 9 * o + o",
            "kernels of its own",
        ),
        "one bias": (
            "def block_parameters(i, o):\n    return 9 * i * o + o + 9 * o * o",
            "one bias is missing",
        ),
        "bias of the inputs": (
            "def block_parameters(i, o):\n    return 9 * i * o + i + 9 * o * o + o",
            "both biases count",
        ),
        "three": (
            "def block_parameters(i, o):\n    return 3 * i * o + o + 3 * o * o + o",
            "not three",
        ),
        "batch norm": (
            "def block_parameters(i, o):\n    return 9 * i * o + 9 * o * o + 6 * o",
            "Only convolutions",
        ),
    },
    "clean_target": {
        "bicubic": (
            "def clean_target(label, size):\n"
            "    return cv2.resize(label, (size, size), interpolation=cv2.INTER_CUBIC) / 255",
            "published reader",
        ),
        "bilinear": (
            "def clean_target(label, size):\n    return cv2.resize(label, (size, size)) / 255",
            "neither 0 nor 1",
        ),
        "soft nearest": (
            "def clean_target(label, size):\n"
            "    return cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST) / 255",
            "the file was lossy",
        ),
        "above zero": (
            "def clean_target(label, size):\n"
            "    small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)\n"
            "    return (small > 0).astype(np.float32)",
            "Every value above 0",
        ),
        "0 and 255": (
            "def clean_target(label, size):\n"
            "    small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)\n"
            "    return 255 * (small > 127).astype(np.float32)",
            "no probability",
        ),
        "not resized": (
            "def clean_target(label, size):\n    return (label > 127).astype(np.float32)",
            "resize to",
        ),
        "exactly 255": (
            "def clean_target(label, size):\n"
            "    small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)\n"
            "    return (small == 255).astype(np.float32)",
            "exactly 255",
        ),
        "threshold first": (
            "def clean_target(label, size):\n"
            "    hard = (label > 127).astype(np.float32)\n"
            "    return cv2.resize(hard, (size, size))",
            "Soft again",
        ),
        "not scaled": (
            "def clean_target(label, size):\n"
            "    small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)\n"
            "    return small.astype(np.float32)",
            "threshold is missing",
        ),
        "turned over": (
            "def clean_target(label, size):\n"
            "    small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)\n"
            "    return (small < 128).astype(np.float32)",
            "Turned over",
        ),
        "middle cut out": (
            "def clean_target(label, size):\n"
            "    start = (len(label) - size) // 2\n"
            "    middle = label[start : start + size, start : start + size]\n"
            "    return (middle > 127).astype(np.float32)",
            "the middle of the label",
        ),
        "corner cut out": (
            "def clean_target(label, size):\n"
            "    return (label[:size, :size] > 127).astype(np.float32)",
            "upper left corner",
        ),
        "scaled before resizing": (
            "def clean_target(label, size):\n    return cv2.resize(label / 255, (size, size))",
            "such as",
        ),
        "uint8": (
            "def clean_target(label, size):\n"
            "    small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)\n"
            "    return (small > 127).astype(np.uint8)",
            "got an array of uint8",
        ),
        "bool": (
            "def clean_target(label, size):\n"
            "    small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)\n"
            "    return small > 127",
            "got an array of bool",
        ),
        "float64": (
            "def clean_target(label, size):\n"
            "    small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)\n"
            "    return 1.0 * (small > 127)",
            "got an array of float64",
        ),
        "tensor": (
            "def clean_target(label, size):\n"
            "    import torch\n"
            "    small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)\n"
            "    return torch.from_numpy((small > 127).astype(np.float32))",
            "got a tensor of float32",
        ),
    },
}
