"""Typical wrong answers to the exercises of lesson 03, by the name of each."""

SMALL = "small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)\n"


def turned(
    image="turned(image)", mask="turned(mask)", turns="k % 4", flip="x.flip(-1) if k >= 4 else x"
):
    return f"""
        def turned(x):
            x = torch.rot90(x, {turns}, dims=(-2, -1))
            return {flip}

        return {image}, {mask}
    """


def tile(up="-(-(side + 4) // 2)", bottom="side + 4", down="2 * side + 4", stages=4):
    return f"""
        side = output
        for _ in range({stages}):
            side = {up}
        side = {bottom}
        for _ in range({stages}):
            side = {down}
        return side
    """


def fed(
    x="(image / 255 - np.array(mean)) / np.array(std)", moved=".permute(2, 0, 1)[None].float()"
):
    return f"""
        x = {x}
        return torch.from_numpy(x.copy()){moved}
    """


def field(start="1, 1", adds="(k - 1) * d * jump", jump="jump * s", seen="True", counted="True"):
    return f"""
        field, jump = {start}
        for k, s, d in layers:
            if {seen}:
                field += {adds}
            if {counted}:
                jump = {jump}
        return field
    """


WRONG_ANSWERS = {
    "turn_both": {
        "mask_stays": turned(mask="mask"),
        "image_stays": turned(image="image"),
        "wrong_axes": """
            turned = torch.rot90(image, k % 4), torch.rot90(mask, k % 4)
            return tuple(x.flip(-1) for x in turned) if k >= 4 else turned
        """,
        "clockwise": turned(turns="-(k % 4)"),
        "never_mirrored": turned(flip="x"),
        "always_mirrored": turned(flip="x.flip(-1)"),
        "upside_down": turned(flip="x.flip(-2) if k >= 4 else x"),
        "channels_mirrored": """
            image, mask = torch.rot90(image, k, dims=(1, 2)), torch.rot90(mask, k)
            return (image.flip(0), mask.flip(1)) if k >= 4 else (image, mask)
        """,
        "mirrored_first": """
            if k >= 4:
                image, mask = image.flip(-1), mask.flip(-1)
            return torch.rot90(image, k, dims=(1, 2)), torch.rot90(mask, k)
        """,
        "half_turns": turned(turns="2 * k"),
        "exchanged": turned(image="turned(mask)", mask="turned(image)"),
        "image_alone": """
            image = torch.rot90(image, k, dims=(1, 2))
            return image.flip(-1) if k >= 4 else image
        """,
        "image right, mask wrong": turned(mask="torch.rot90(mask, k % 4)"),
        "image wrong, mask right": turned(image="torch.rot90(image, k % 4, dims=(1, 2))"),
        "Wanted a pair": "return 'turned'",
    },
    "tile_side": {
        "a_constant": "return output + 184",
        "next_multiple": "return (output + 15) // 16 * 16 + 184",
        "not_rounded": tile(up="(side + 4) / 2"),
        "rounded_down": tile(up="(side + 4) // 2"),
        "bottom_forgotten": tile(bottom="side"),
        "halved_first": tile(up="-(-side // 2) + 4"),
        "down_reversed": tile(down="2 * (side + 4)"),
        "one_convolution": tile("-(-(side + 2) // 2)", "side + 2", "2 * side + 2"),
        "three_stages": tile(stages=3),
        "way_up_only": tile(down="side"),
        "forwards": """
            side = output
            for _ in range(4):
                side = (side - 4) // 2
            side = side - 4
            for _ in range(4):
                side = 2 * side - 4
            return side
        """,
        "padding": "return output",
        "a_large_one": "return -(-(output + 60) // 16) * 16 + 124 + 16",
    },
    "field_of_view": {
        "no_jump": "return 1 + sum((k - 1) * d for k, s, d in layers)",
        "stride_too_early": field(adds="(k - 1) * d * jump * s"),
        "whole_kernels": field(adds="k * d * jump"),
        "no_dilation": field(adds="(k - 1) * jump"),
        "sum_of_kernels": "return sum(k for k, s, d in layers)",
        "starts_at_0": field(start="0, 1"),
        "own_stride": field(adds="(k - 1) * d * s"),
        "strides_added": field(jump="jump + s - 1"),
        "dilated_kernel": field(adds="(k * d - 1) * jump"),
        "no_pools": field(seen="(k, s) != (2, 2)", counted="(k, s) != (2, 2)"),
        "pools_for_their_stride": field(seen="(k, s) != (2, 2)"),
    },
    "block_parameters": {
        "no_biases": "return 9 * inputs * outputs + 9 * outputs * outputs",
        "one_convolution": "return 9 * inputs * outputs + outputs",
        "twice_the_first": "return 2 * (9 * inputs * outputs + outputs)",
        "kernels_of_one": "return inputs * outputs + outputs + outputs * outputs + outputs",
        "kernels_shared": "return 9 * inputs + outputs + 9 * outputs + outputs",
        "one_bias": "return 9 * inputs * outputs + outputs + 9 * outputs * outputs",
        "bias_of_the_inputs": "return 9 * inputs * outputs + inputs + 9 * outputs * outputs + outputs",
        "three": "return 3 * inputs * outputs + outputs + 3 * outputs * outputs + outputs",
        "batch_norm": "return 9 * inputs * outputs + 9 * outputs * outputs + 6 * outputs",
    },
    "encoder_input": {
        "not_divided": fed(x="(image - np.array(mean)) / np.array(std)"),
        "not_normalized": fed(x="image / 255"),
        "mean_only": fed(x="image / 255 - np.array(mean)"),
        "std_only": fed(x="image / 255 / np.array(std)"),
        "divided_first": fed(x="image / 255 / np.array(std) - np.array(mean)"),
        "own_statistics": fed(x="(image - image.mean((0, 1))) / image.std((0, 1))"),
        "reversed_statistics": fed(x="(image / 255 - np.array(mean[::-1])) / np.array(std[::-1])"),
        "minus_one_to_one": fed(x="image / 127.5 - 1"),
        "exchanged_channels": fed(x="(image[..., ::-1] / 255 - np.array(mean)) / np.array(std)"),
        "reshaped": fed(moved=".reshape(1, 3, *image.shape[:2]).float()"),
        "rows_and_columns": fed(moved=".permute(2, 1, 0)[None].float()"),
        "channels_last": [fed(moved="[None].float()"), fed(moved=".float()")],
        "no_batch": fed(moved=".permute(2, 0, 1).float()"),
        "another_type": [
            fed(moved=".permute(2, 0, 1)[None]"),
            fed(moved=".permute(2, 0, 1)[None].float().numpy()"),
        ],
        "Wanted 72 numbers": ["return 'fed'", "return {}"],
    },
    "clean_target": {
        "bicubic": "return cv2.resize(label, (size, size), interpolation=cv2.INTER_CUBIC) / 255",
        "smooth": "return cv2.resize(label, (size, size)) / 255",
        "soft_nearest": "return cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST_EXACT) / 255",
        "above_zero": [
            SMALL + "return (small > 0).astype(np.float32)",
            """
                small = cv2.resize(label, (size, size), interpolation=cv2.INTER_AREA)
                return (small > 0).astype(np.float32)
            """,
        ],
        "extra_axis": SMALL + "return (small > 127).astype(np.float32)[None]",
        "older_nearest": """
            small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)
            return (small > 127).astype(np.float32)
        """,
        "thickened": """
            hard = (label > 127).astype(np.float32)
            return (cv2.resize(hard, (size, size)) > 0).astype(np.float32)
        """,
        "too_low": SMALL + "return (small > 50).astype(np.float32)",
        "too_high": SMALL + "return (small > 220).astype(np.float32)",
        "median": """
            quiet = cv2.medianBlur(label, 3)
            small = cv2.resize(quiet, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
            return (small > 127).astype(np.float32)
        """,
        "0_and_255": SMALL + "return 255 * (small > 127).astype(np.float32)",
        "not_resized": "return (label > 127).astype(np.float32)",
        "exactly_255": SMALL + "return (small == 255).astype(np.float32)",
        "threshold_first": """
            hard = (label > 127).astype(np.float32)
            return cv2.resize(hard, (size, size))
        """,
        "not_scaled": SMALL + "return small.astype(np.float32)",
        "inverted": SMALL + "return (small < 128).astype(np.float32)",
        "middle_cut_out": """
            start = (len(label) - size) // 2
            middle = label[start : start + size, start : start + size]
            return (middle > 127).astype(np.float32)
        """,
        "corner_cut_out": "return (label[:size, :size] > 127).astype(np.float32)",
        "other_values": "return cv2.resize(label / 255, (size, size))",
        "another_type": [
            SMALL + "return (small > 127).astype(np.uint8)",
            SMALL + "return small > 127",
            SMALL + "return 1.0 * (small > 127)",
        ],
        "tensor": """
            import torch
            small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
            return torch.from_numpy((small > 127).astype(np.float32))
        """,
        "no_array": SMALL + "return (small > 127).tolist()",
    },
}
