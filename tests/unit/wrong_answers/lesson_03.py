"""Typical wrong answers to the exercises of lesson 03, by the name of each."""

SMALL = "small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)\n"


def side(down="(side - 4) // 2", bottom="side - 4", up="2 * side - 4", stages=4):
    return f"""
        for _ in range({stages}):
            side = {down}
        side = {bottom}
        for _ in range({stages}):
            side = {up}
        return side
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
    "valid_side": {
        "bottom_forgotten": side(bottom="side"),
        "halved_first": side(down="side // 2 - 4"),
        "one_convolution": side("(side - 2) // 2", "side - 2", "2 * side - 2"),
        "padding": "return side",
        "borders_of_the_image": "return side - 36",
        "way_up_turned_over": side(up="2 * (side - 4)"),
        "no_rounding": side(down="(side - 4) / 2"),
        "a_constant": "return side - 184",
        "three_stages": side(stages=3),
        "way_down_only": side(up="side"),
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
    "clean_target": {
        "bicubic": "return cv2.resize(label, (size, size), interpolation=cv2.INTER_CUBIC) / 255",
        "smooth": "return cv2.resize(label, (size, size)) / 255",
        "soft_nearest": "return cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST) / 255",
        "above_zero": SMALL + "return (small > 0).astype(np.float32)",
        "0_and_255": SMALL + "return 255 * (small > 127).astype(np.float32)",
        "not_resized": "return (label > 127).astype(np.float32)",
        "exactly_255": SMALL + "return (small == 255).astype(np.float32)",
        "threshold_first": """
            hard = (label > 127).astype(np.float32)
            return cv2.resize(hard, (size, size))
        """,
        "not_scaled": SMALL + "return small.astype(np.float32)",
        "turned_over": SMALL + "return (small < 128).astype(np.float32)",
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
            small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)
            return torch.from_numpy((small > 127).astype(np.float32))
        """,
        "no_array": SMALL + "return (small > 127).tolist()",
    },
}
