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
    },
}
