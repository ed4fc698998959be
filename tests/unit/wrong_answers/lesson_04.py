"""Typical wrong answers to the exercises of lesson 04, by the name of each."""

CUT, LAID = "(r h) (c w) -> (r c) h w", "(r c) h w -> (r h) (c w)"


def cleaned(
    kernel="np.ones((5, 5), np.uint8)", mask="mask", first="MORPH_OPEN", then="MORPH_CLOSE"
):
    return f"""
        kernel = {kernel}
        mask = cv2.morphologyEx({mask}, cv2.{first}, kernel)
        return cv2.morphologyEx(mask, cv2.{then}, kernel)
    """


def rearranged(there, back, order="order"):
    return f"""
        tiles = rearrange(image, "{there}", r=rows, c=columns)
        return rearrange(tiles[{order}], "{back}", r=rows, c=columns)
    """


WRONG_ANSWERS = {
    "draw_until": {
        "the_first_one": "return draw()",
        "not_empty": """
            mask = draw()
            while not mask.any():
                mask = draw()
            return mask
        """,
        "looks_at_another": """
            while draw().mean() < lowest:
                pass
            return draw()
        """,
        "never_replaced": """
            mask = draw()
            while mask.mean() < lowest:
                draw()
            return mask
        """,
        "union": """
            mask = draw()
            while mask.mean() < lowest:
                mask |= draw()
            return mask
        """,
        "a_later_one": "return max((draw() for _ in range(20)), key=lambda mask: mask.mean())",
        "draws_on": """
            masks = [draw() for _ in range(10)]
            return next(mask for mask in masks if mask.mean() >= lowest)
        """,
        "truth_value": "return draw().mean() < lowest",
    },
    "blend": {
        "exchanged": "return (1 - mask) * image + mask * ((1 - opacity) * source + opacity * image)",
        "everywhere": "return opacity * source + (1 - opacity) * image",
        "black_outside": "return mask * (opacity * source + (1 - opacity) * image)",
        "added": "return image + opacity * mask * source",
        "nothing_of_the_image": "return (1 - mask) * image + opacity * mask * source",
        "image_twice": """
            mixture = opacity * source + (1 - opacity) * image
            return image + mask * mixture
        """,
        "hole": "return (1 - mask) * image",
        "whole_numbers": """
            import numpy as np
            image, source = (255 * image).astype(np.uint8), (255 * source).astype(np.uint8)
            change = (opacity * (source - image)).astype(np.uint8)
            return image + mask.astype(np.uint8) * change
        """,
        "pasted": "return (1 - mask) * image + mask * source",
        "mask_turned_over": """
            mixture = opacity * source + (1 - opacity) * image
            return mask * image + (1 - mask) * mixture
        """,
    },
    "clean_foreground": {
        "unchanged": "return mask",
        "opened": "return cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))",
        "closed": "return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))",
        "closed_first": cleaned(first="MORPH_CLOSE", then="MORPH_OPEN"),
        "hole_filled": """
            mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
            return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
        """,
        "square_of_3": cleaned(kernel="np.ones((3, 3), np.uint8)"),
        "square_of_7": cleaned(kernel="np.ones((7, 7), np.uint8)"),
        "square_of_9": cleaned(kernel="np.ones((9, 9), np.uint8)"),
        "no_square": cleaned(kernel="cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))"),
        "eroded": "return cv2.erode(mask, np.ones((5, 5), np.uint8))",
        "dilated": "return cv2.dilate(mask, np.ones((5, 5), np.uint8))",
        "turned_over": "return 1 - mask",
        "by_area": """
            count, pieces = cv2.connectedComponents(mask)
            mask = mask.copy()
            for piece in range(1, count):
                if (pieces == piece).sum() < 25:
                    mask[pieces == piece] = 0
            return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        """,
        "largest_piece": """
            _, pieces, numbers, _ = cv2.connectedComponentsWithStats(mask)
            mask = (pieces == 1 + numbers[1:, 4].argmax()).astype(np.uint8)
            return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        """,
        "median": "return cv2.medianBlur(mask, 5)",
        "other_values": cleaned(mask="mask * 255"),
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
}
