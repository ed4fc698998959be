"""Typical wrong answers to the exercises of lesson 04: source text, and words of the message."""

WRONG_ANSWERS = {
    "draw_until": {
        "the first one": ("def draw_until(draw, lowest):\n    return draw()", "it is empty"),
        "not empty": (
            "def draw_until(draw, lowest):\n"
            "    mask = draw()\n"
            "    while not mask.any():\n"
            "        mask = draw()\n"
            "    return mask",
            "share of the pixels",
        ),
        "looks at another": (
            "def draw_until(draw, lowest):\n"
            "    while draw().mean() < lowest:\n"
            "        pass\n"
            "    return draw()",
            "keep the one",
        ),
        "draws on": (
            "def draw_until(draw, lowest):\n"
            "    masks = [draw() for _ in range(10)]\n"
            "    return next(mask for mask in masks if mask.mean() >= lowest)",
            "10 times",
        ),
    },
    "blend": {
        "exchanged": (
            "def blend(image, source, mask, opacity):\n"
            "    return (1 - mask) * image + mask * ((1 - opacity) * source + opacity * image)",
            "exchanged",
        ),
        "everywhere": (
            "def blend(image, source, mask, opacity):\n"
            "    return opacity * source + (1 - opacity) * image",
            "mask is missing",
        ),
        "black outside": (
            "def blend(image, source, mask, opacity):\n"
            "    return mask * (opacity * source + (1 - opacity) * image)",
            "must stay as it is",
        ),
        "added": (
            "def blend(image, source, mask, opacity):\n    return image + opacity * mask * source",
            "add light",
        ),
        "pasted": (
            "def blend(image, source, mask, opacity):\n"
            "    return (1 - mask) * image + mask * source",
            "opacity is not used",
        ),
        "mask turned over": (
            "def blend(image, source, mask, opacity):\n"
            "    mixture = opacity * source + (1 - opacity) * image\n"
            "    return mask * image + (1 - mask) * mixture",
            "everything but the mask",
        ),
    },
    "clean_foreground": {
        "unchanged": ("def clean_foreground(mask):\n    return mask", "as it came"),
        "opened": (
            "import cv2, numpy as np\n"
            "def clean_foreground(mask):\n"
            "    return cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))",
            "Now close",
        ),
        "closed": (
            "import cv2, numpy as np\n"
            "def clean_foreground(mask):\n"
            "    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))",
            "Open first",
        ),
        "closed first": (
            "import cv2, numpy as np\n"
            "def clean_foreground(mask):\n"
            "    kernel = np.ones((5, 5), np.uint8)\n"
            "    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)\n"
            "    return cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)",
            "grow together",
        ),
        "median": (
            "import cv2\ndef clean_foreground(mask):\n    return cv2.medianBlur(mask, 5)",
            "rounds corners",
        ),
        "of 255": (
            "import cv2, numpy as np\n"
            "def clean_foreground(mask):\n"
            "    kernel = np.ones((5, 5), np.uint8)\n"
            "    mask = cv2.morphologyEx(mask * 255, cv2.MORPH_OPEN, kernel)\n"
            "    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)",
            "0 and 1 come out",
        ),
    },
    "shuffle_tiles": {
        "unchanged": (
            "def shuffle_tiles(image, order, rows, columns):\n    return image",
            "Nothing has moved",
        ),
        "sent instead of shown": (
            "import numpy as np\n"
            "from einops import rearrange\n"
            "def shuffle_tiles(image, order, rows, columns):\n"
            '    tiles = rearrange(image, "(r h) (c w) -> (r c) h w", r=rows, c=columns)\n'
            '    back = "(r c) h w -> (r h) (c w)"\n'
            "    return rearrange(tiles[np.argsort(order)], back, r=rows, c=columns)",
            "Turned over",
        ),
        "down the columns": (
            "from einops import rearrange\n"
            "def shuffle_tiles(image, order, rows, columns):\n"
            '    tiles = rearrange(image, "(r h) (c w) -> (c r) h w", r=rows, c=columns)\n'
            '    back = "(r c) h w -> (r h) (c w)"\n'
            "    return rearrange(tiles[order], back, r=rows, c=columns)",
            "along the rows",
        ),
        "torn lines": (
            "def shuffle_tiles(image, order, rows, columns):\n"
            "    h, w = image.shape[0] // rows, image.shape[1] // columns\n"
            "    return image.reshape(rows * columns, h, w)[order].reshape(image.shape)",
            "cuts lines, not tiles",
        ),
    },
}
