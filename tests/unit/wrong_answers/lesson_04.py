"""Typical wrong answers to the exercises of lesson 04, by the name of each."""

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
        "closed_first": """
            kernel = np.ones((5, 5), np.uint8)
            mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
            return cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
        """,
        "hole_filled": """
            mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
            return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
        """,
        "square_of_3": """
            kernel = np.ones((3, 3), np.uint8)
            mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
            return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
        """,
        "square_of_7": """
            kernel = np.ones((7, 7), np.uint8)
            mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
            return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
        """,
        "square_of_9": """
            kernel = np.ones((9, 9), np.uint8)
            mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
            return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
        """,
        "no_square": """
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
            mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
            return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
        """,
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
        "other_values": """
            kernel = np.ones((5, 5), np.uint8)
            mask = cv2.morphologyEx(mask * 255, cv2.MORPH_OPEN, kernel)
            return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
        """,
    },
    "shuffle_tiles": {
        "unchanged": "return image",
        "sent_instead_of_shown": """
            tiles = rearrange(image, "(r h) (c w) -> (r c) h w", r=rows, c=columns)
            back = "(r c) h w -> (r h) (c w)"
            return rearrange(tiles[np.argsort(order)], back, r=rows, c=columns)
        """,
        "down_the_columns": """
            tiles = rearrange(image, "(r h) (c w) -> (c r) h w", r=rows, c=columns)
            back = "(r c) h w -> (r h) (c w)"
            return rearrange(tiles[order], back, r=rows, c=columns)
        """,
        "laid_down_the_columns": """
            tiles = rearrange(image, "(r h) (c w) -> (r c) h w", r=rows, c=columns)
            back = "(c r) h w -> (r h) (c w)"
            return rearrange(tiles[order], back, r=rows, c=columns)
        """,
        "down_the_columns_both_ways": """
            tiles = rearrange(image, "(r h) (c w) -> (c r) h w", r=rows, c=columns)
            back = "(c r) h w -> (r h) (c w)"
            return rearrange(tiles[order], back, r=rows, c=columns)
        """,
        "laid_line_by_line": """
            tiles = rearrange(image, "(r h) (c w) -> (r c) h w", r=rows, c=columns)
            back = "(r c) h w -> (h r) (w c)"
            return rearrange(tiles[order], back, r=rows, c=columns)
        """,
        "cut_line_by_line": """
            tiles = rearrange(image, "(h r) (w c) -> (r c) h w", r=rows, c=columns)
            back = "(r c) h w -> (r h) (c w)"
            return rearrange(tiles[order], back, r=rows, c=columns)
        """,
        "line_by_line_both_ways": """
            tiles = rearrange(image, "(h r) (w c) -> (r c) h w", r=rows, c=columns)
            back = "(r c) h w -> (h r) (w c)"
            return rearrange(tiles[order], back, r=rows, c=columns)
        """,
        "torn_lines": """
            h, w = image.shape[0] // rows, image.shape[1] // columns
            return image.reshape(rows * columns, h, w)[order].reshape(image.shape)
        """,
    },
}
