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
        "never replaced": (
            "def draw_until(draw, lowest):\n"
            "    mask = draw()\n"
            "    while mask.mean() < lowest:\n"
            "        draw()\n"
            "    return mask",
            "never replaced",
        ),
        "union": (
            "def draw_until(draw, lowest):\n"
            "    mask = draw()\n"
            "    while mask.mean() < lowest:\n"
            "        mask |= draw()\n"
            "    return mask",
            "add each draw",
        ),
        "largest of many": (
            "def draw_until(draw, lowest):\n"
            "    return max((draw() for _ in range(20)), key=lambda mask: mask.mean())",
            "you drew 20 times. Return the first",
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
        "nothing of the image": (
            "def blend(image, source, mask, opacity):\n"
            "    return (1 - mask) * image + opacity * mask * source",
            "too dark",
        ),
        "image twice": (
            "def blend(image, source, mask, opacity):\n"
            "    mixture = opacity * source + (1 - opacity) * image\n"
            "    return image + mask * mixture",
            "there twice",
        ),
        "hole": (
            "def blend(image, source, mask, opacity):\n    return (1 - mask) * image",
            "all is black",
        ),
        "whole numbers": (
            "import numpy as np\n"
            "def blend(image, source, mask, opacity):\n"
            "    image, source = (255 * image).astype(np.uint8), (255 * source).astype(np.uint8)\n"
            "    change = (opacity * (source - image)).astype(np.uint8)\n"
            "    return image + mask.astype(np.uint8) * change",
            "uint8 comes out",
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
        "closed with 15": (
            "import cv2, numpy as np\n"
            "def clean_foreground(mask):\n"
            "    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))\n"
            "    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))",
            "9 x 9 pixels is filled",
        ),
        "square of 3": (
            "import cv2, numpy as np\n"
            "def clean_foreground(mask):\n"
            "    kernel = np.ones((3, 3), np.uint8)\n"
            "    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)\n"
            "    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)",
            "3 x 3 pixels: it still fits",
        ),
        "square of 7": (
            "import cv2, numpy as np\n"
            "def clean_foreground(mask):\n"
            "    kernel = np.ones((7, 7), np.uint8)\n"
            "    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)\n"
            "    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)",
            "7 x 7 pixels: wanted 5 x 5",
        ),
        "ellipse": (
            "import cv2\n"
            "def clean_foreground(mask):\n"
            "    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))\n"
            "    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)\n"
            "    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)",
            "no square",
        ),
        "eroded": (
            "import cv2, numpy as np\n"
            "def clean_foreground(mask):\n"
            "    return cv2.erode(mask, np.ones((5, 5), np.uint8))",
            "Dilate afterwards",
        ),
        "dilated": (
            "import cv2, numpy as np\n"
            "def clean_foreground(mask):\n"
            "    return cv2.dilate(mask, np.ones((5, 5), np.uint8))",
            "Erode afterwards",
        ),
        "turned over": ("def clean_foreground(mask):\n    return 1 - mask", "Turned over"),
        "small areas": (
            "import cv2, numpy as np\n"
            "def clean_foreground(mask):\n"
            "    count, pieces = cv2.connectedComponents(mask)\n"
            "    mask = mask.copy()\n"
            "    for piece in range(1, count):\n"
            "        if (pieces == piece).sum() < 25:\n"
            "            mask[pieces == piece] = 0\n"
            "    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))",
            "number of their pixels",
        ),
        "largest area": (
            "import cv2, numpy as np\n"
            "def clean_foreground(mask):\n"
            "    _, pieces, numbers, _ = cv2.connectedComponentsWithStats(mask)\n"
            "    mask = (pieces == 1 + numbers[1:, 4].argmax()).astype(np.uint8)\n"
            "    return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))",
            "largest piece alone",
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
        "laid down the columns": (
            "from einops import rearrange\n"
            "def shuffle_tiles(image, order, rows, columns):\n"
            '    tiles = rearrange(image, "(r h) (c w) -> (r c) h w", r=rows, c=columns)\n'
            '    back = "(c r) h w -> (r h) (c w)"\n'
            "    return rearrange(tiles[order], back, r=rows, c=columns)",
            "laid down the columns",
        ),
        "down the columns both ways": (
            "from einops import rearrange\n"
            "def shuffle_tiles(image, order, rows, columns):\n"
            '    tiles = rearrange(image, "(r h) (c w) -> (c r) h w", r=rows, c=columns)\n'
            '    back = "(c r) h w -> (r h) (c w)"\n'
            "    return rearrange(tiles[order], back, r=rows, c=columns)",
            "on both ways. Places",
        ),
        "laid line by line": (
            "from einops import rearrange\n"
            "def shuffle_tiles(image, order, rows, columns):\n"
            '    tiles = rearrange(image, "(r h) (c w) -> (r c) h w", r=rows, c=columns)\n'
            '    back = "(r c) h w -> (h r) (w c)"\n'
            "    return rearrange(tiles[order], back, r=rows, c=columns)",
            "laid badly",
        ),
        "cut line by line": (
            "from einops import rearrange\n"
            "def shuffle_tiles(image, order, rows, columns):\n"
            '    tiles = rearrange(image, "(h r) (w c) -> (r c) h w", r=rows, c=columns)\n'
            '    back = "(r c) h w -> (r h) (c w)"\n'
            "    return rearrange(tiles[order], back, r=rows, c=columns)",
            "Cut with",
        ),
        "line by line both ways": (
            "from einops import rearrange\n"
            "def shuffle_tiles(image, order, rows, columns):\n"
            '    tiles = rearrange(image, "(h r) (w c) -> (r c) h w", r=rows, c=columns)\n'
            '    back = "(r c) h w -> (h r) (w c)"\n'
            "    return rearrange(tiles[order], back, r=rows, c=columns)",
            "not one piece",
        ),
        "torn lines": (
            "def shuffle_tiles(image, order, rows, columns):\n"
            "    h, w = image.shape[0] // rows, image.shape[1] // columns\n"
            "    return image.reshape(rows * columns, h, w)[order].reshape(image.shape)",
            "cuts lines, not tiles",
        ),
    },
}
