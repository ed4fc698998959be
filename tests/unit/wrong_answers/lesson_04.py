"""Typical wrong answers to the exercises of lesson 04, by the name of each."""

CUT, LAID = "(r h) (c w) -> (r c) h w", "(r c) h w -> (r h) (c w)"


def rearranged(there, back, order="order"):
    return f"""
        tiles = rearrange(image, "{there}", r=rows, c=columns)
        return rearrange(tiles[{order}], "{back}", r=rows, c=columns)
    """


def drawn(
    look="lowest <= mask.mean() <= highest", *, most="most", take="mask", end="raise ValueError"
):
    return f"""
        for _ in range({most}):
            mask = draw()
            if {look}:
                return {take}
        {end}
    """


BORDER = "border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])"


def distance(
    background="np.median(border, axis=0)", end="np.linalg.norm(image - background, axis=-1)"
):
    return f"{BORDER}\nbackground = {background}\nreturn {end}"


FULL = "full = np.abs(source - image)[mask == 1].mean()"

WRONG_ANSWERS = {
    "draw_until": {
        "endless": [
            """
            mask = draw()
            while not lowest <= mask.mean() <= highest:
                draw()
            return mask
            """,
            """
            try:
                while not lowest <= draw().mean() <= highest / 100:
                    pass
            except Exception:
                return 0
            """,
        ],
        "endless_without_drawing": [
            """
            mask = draw()
            while not lowest <= mask.mean() <= highest:
                pass
            return mask
            """,
            "while True: pass",
            "mask = draw()\nwhile True: mask.mean()",
        ],
        "gives_up_early": drawn(most="3"),
        "the_first_one": "return draw()",
        "not_empty": drawn("mask.any()"),
        "no_upper_end": drawn("mask.mean() >= lowest"),
        "looks_at_another": [
            drawn(take="draw()"),
            "masks = [draw() for _ in range(most)]\nreturn masks[-1]",
        ],
        "union": """
            mask = draw()
            while not lowest <= mask.mean() <= highest:
                mask |= draw()
            return mask
        """,
        "truth_value": [
            "return lowest <= draw().mean() <= highest or 1",
            drawn(take="mask.mean()"),
        ],
        "returned_error": drawn(end="return ValueError('none fits')"),
        "ends_left_out": [
            drawn("lowest < mask.mean() <= highest"),
            drawn("lowest <= mask.mean() < highest"),
        ],
        "fixed_limits": [
            drawn("0.001 <= mask.mean() <= 0.1"),
            drawn("lowest <= mask.sum() / len(mask) ** 2 <= highest"),
        ],
        "draws_on": """
            masks = [draw() for _ in range(most)]
            for mask in masks:
                if lowest <= mask.mean() <= highest:
                    return mask
            raise ValueError
        """,
        "one_draw_too_few": drawn(most="most - 1"),
        "too_many": [
            drawn(most="most + 1", end="return mask"),
            """
            while True:
                mask = draw()
                if lowest <= mask.mean() <= highest:
                    return mask
            """,
        ],
        "gives_up_silently": drawn(end="return mask"),
        "other_error": drawn(end="raise RuntimeError"),
        "returned `None`": drawn(end=""),
        "the text": "return 'mask'",
        "cannot be called with 4 arguments": "def draw_until(draw, lowest):\n    return draw()",
    },
    "background_distance": {
        "mean": distance("border.mean(axis=0)"),
        "corner": [distance(f"image[{y}, {x}]") for y in (0, -1) for x in (0, -1)],
        "one_side": [
            distance("np.median(image[0], axis=0)"),
            distance("np.median(image[-1], axis=0)"),
            distance("np.median(image[:, 0], axis=0)"),
            distance("np.median(image[:, -1], axis=0)"),
        ],
        "is off by up to": [
            distance("np.median(image[:, [0, -1]].reshape(-1, 3), axis=0)"),
            distance("np.median(np.concatenate([image[0], image[:, 0], image[:, -1]]), axis=0)"),
            distance("np.median(np.concatenate([image[-1], image[:, 0], image[:, -1]]), axis=0)"),
            distance("np.median(border, axis=0).astype(int)"),
        ],
        "whole_image": [
            distance("np.median(image, axis=(0, 1))"),
            distance("image.mean(axis=(0, 1))"),
        ],
        "one_number": distance("np.median(border)"),
        "sum": distance(end="np.abs(image - background).sum(axis=-1)"),
        "signed": distance(end="(image - background).sum(axis=-1)"),
        "squared": distance(end="((image - background) ** 2).sum(axis=-1)"),
        "largest": distance(end="np.abs(image - background).max(axis=-1)"),
        "per_channel": distance(end="image - background"),
        "is the text": "return 'far'",
        "changes its argument 1": """
            border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
            image -= np.median(border, axis=0)
            return np.linalg.norm(image, axis=-1)
        """,
        "wanted the shape": distance(end="np.linalg.norm(image - background)"),
    },
    "shuffle_tiles": {
        "unchanged": "return image",
        "sent_instead_of_shown": rearranged(CUT, LAID, order="np.argsort(order)"),
        "down_the_columns": rearranged("(r h) (c w) -> (c r) h w", LAID),
        "laid_down_the_columns": rearranged(CUT, "(c r) h w -> (r h) (c w)"),
        "down_the_columns_both_ways": rearranged(
            "(r h) (c w) -> (c r) h w", "(c r) h w -> (r h) (c w)"
        ),
        "laid_line_by_line": rearranged(CUT, "(r c) h w -> (h r) (w c)"),
        "cut_line_by_line": rearranged("(h r) (w c) -> (r c) h w", LAID),
        "line_by_line_both_ways": rearranged(
            "(h r) (w c) -> (r c) h w", "(r c) h w -> (h r) (w c)"
        ),
        "torn_lines": """
            h, w = image.shape[0] // rows, image.shape[1] // columns
            return image.reshape(rows * columns, h, w)[order].reshape(image.shape)
        """,
    },
    "opacity_for": {
        "always_one": [
            "return 1.0",
            f"{FULL}\nreturn max(1.0, change / full)",
            """
            at = np.where(mask == 1, np.abs(source - image), np.nan)
            return min(1.0, change / at.mean())
            """,
        ],
        "everywhere": "return min(1.0, change / np.abs(source - image).mean())",
        "divided_by_all": "return min(1.0, change / (mask * np.abs(source - image)).mean())",
        "cancels": [
            "return min(1.0, change / abs((source - image)[mask == 1].mean()))",
            "return change / (source - image)[mask == 1].mean()",
        ],
        "upside_down": f"{FULL}\nreturn full / change",
        "rest": f"{FULL}\nreturn 1 - min(1.0, change / full)",
        "squares": "return change / np.sqrt(((source - image)[mask == 1] ** 2).mean())",
        "largest": "return change / np.abs(source - image)[mask == 1].max()",
        "of_255": "return change / 255",
        "above_one": f"{FULL}\nreturn change / full",
        "same_picture": [
            f"{FULL}\nreturn 0.0 if full == 0 else min(1.0, change / full)",
            f"{FULL}\nreturn min(1.0, change / float(full))",
        ],
        "the text": "return 'a little'",
        # As the lesson blends: the picture, not the opacity.
        "of shape (14, 11)": "return (1 - mask) * image + mask * (0.5 * source + 0.5 * image)",
    },
    "item_generator": {
        "no_generator": ["return seed", "return [seed, epoch, name]"],
        "global_one": [
            "np.random.seed(seed)\nreturn np.random",
            "return np.random.RandomState(zlib.crc32(f'{seed},{epoch},{name}'.encode()))",
            """
            np.random.seed(zlib.crc32(f'{seed}/{epoch}/{name}'.encode()))
            return np.random.default_rng(np.random.randint(0, 2**31, 4))
            """,
        ],
        "one_for_all": """
            rng = np.random.default_rng(0)
            def item_generator(seed, epoch, name):
                return rng
        """,
        "unseeded": "return np.random.default_rng()",
        "salted": [
            "return np.random.default_rng(abs(hash((seed, epoch, name))))",
            "return np.random.default_rng([seed, epoch, abs(hash(name))])",
            """
            import os
            return np.random.default_rng([seed, epoch, zlib.crc32(name.encode()), os.getpid()])
            """,
            "return np.random.default_rng([seed, epoch, id(name)])",
            "return np.random.default_rng([seed, epoch, name.__hash__() & 0xFFFFFFFF])",
            "import builtins\nreturn np.random.default_rng([seed, epoch, abs(builtins.hash(name))])",
            """
            _seen = {}
            def item_generator(seed, epoch, name):
                return np.random.default_rng([seed, epoch, _seen.setdefault(name, len(_seen))])
            """,
        ],
        "without_seed": "return np.random.default_rng([epoch, zlib.crc32(name.encode())])",
        "without_epoch": "return np.random.default_rng([seed, zlib.crc32(name.encode())])",
        # As in the lesson, with what there is in place of an index.
        "without_name": "return np.random.default_rng([seed, epoch])",
        "collision": [
            "return np.random.default_rng(seed + epoch + zlib.crc32(name.encode()))",
            "return np.random.default_rng([seed * 1000 + epoch, zlib.crc32(name.encode())])",
            "return np.random.default_rng(zlib.crc32(f'{seed}{epoch}{name}'.encode()))",
            "return np.random.default_rng([seed, epoch, len(name)])",
            "return np.random.default_rng([seed, epoch, zlib.crc32(name.encode()) % 1000])",
            "return np.random.default_rng([seed, epoch, sum(name.encode())])",
            "return np.random.default_rng([seed ^ epoch, zlib.crc32(name.encode())])",
            "return np.random.default_rng([seed, epoch, zlib.crc32(name.split('/')[-1].encode())])",
            "return np.random.default_rng([seed, epoch, zlib.crc32(name.lower().encode())])",
            "return np.random.default_rng([seed, epoch, zlib.crc32(name.strip().encode())])",
            "return np.random.default_rng([seed, epoch, zlib.crc32(name.encode('ascii', 'ignore'))])",
        ],
    },
}
