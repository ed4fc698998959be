"""Typical wrong answers to the exercises of lesson 03, by the name of each."""

WRONG_ANSWERS = {
    "valid_side": {
        "bottom_forgotten": """
            for _ in range(4):
                side = (side - 4) // 2
            for _ in range(4):
                side = 2 * side - 4
            return side
        """,
        "halved_first": """
            for _ in range(4):
                side = side // 2 - 4
            side -= 4
            for _ in range(4):
                side = 2 * side - 4
            return side
        """,
        "one_convolution": """
            for _ in range(4):
                side = (side - 2) // 2
            side -= 2
            for _ in range(4):
                side = 2 * side - 2
            return side
        """,
        "padding": "return side",
        "borders_of_the_image": "return side - 36",
        "way_up_turned_over": """
            for _ in range(4):
                side = (side - 4) // 2
            side -= 4
            for _ in range(4):
                side = 2 * (side - 4)
            return side
        """,
        "no_rounding": """
            for _ in range(4):
                side = (side - 4) / 2
            side -= 4
            for _ in range(4):
                side = 2 * side - 4
            return side
        """,
        "a_constant": "return side - 184",
        "three_stages": """
            for _ in range(3):
                side = (side - 4) // 2
            side -= 4
            for _ in range(3):
                side = 2 * side - 4
            return side
        """,
        "way_down_only": """
            for _ in range(4):
                side = (side - 4) // 2
            return side - 4
        """,
    },
    "field_of_view": {
        "no_jump": "return 1 + sum((k - 1) * d for k, s, d in layers)",
        "stride_too_early": """
            field, jump = 1, 1
            for k, s, d in layers:
                jump *= s
                field += (k - 1) * d * jump
            return field
        """,
        "whole_kernels": """
            field, jump = 1, 1
            for k, s, d in layers:
                field += k * d * jump
                jump *= s
            return field
        """,
        "no_dilation": """
            field, jump = 1, 1
            for k, s, d in layers:
                field += (k - 1) * jump
                jump *= s
            return field
        """,
        "sum_of_kernels": "return sum(k for k, s, d in layers)",
        "starts_at_0": """
            field, jump = 0, 1
            for k, s, d in layers:
                field += (k - 1) * d * jump
                jump *= s
            return field
        """,
        "own_stride": """
            field, jump = 1, 1
            for k, s, d in layers:
                field += (k - 1) * d * s
            return field
        """,
        "strides_added": """
            field, jump = 1, 1
            for k, s, d in layers:
                field += (k - 1) * d * jump
                jump += s - 1
            return field
        """,
        "dilated_kernel": """
            field, jump = 1, 1
            for k, s, d in layers:
                field += (k * d - 1) * jump
                jump *= s
            return field
        """,
        "no_pools": """
            field, jump = 1, 1
            for k, s, d in layers:
                if (k, s) != (2, 2):
                    field += (k - 1) * d * jump
                    jump *= s
            return field
        """,
        "pools_for_their_stride": """
            field, jump = 1, 1
            for k, s, d in layers:
                if (k, s) != (2, 2):
                    field += (k - 1) * d * jump
                jump *= s
            return field
        """,
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
        "above_zero": """
            small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)
            return (small > 0).astype(np.float32)
        """,
        "0_and_255": """
            small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)
            return 255 * (small > 127).astype(np.float32)
        """,
        "not_resized": "return (label > 127).astype(np.float32)",
        "exactly_255": """
            small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)
            return (small == 255).astype(np.float32)
        """,
        "threshold_first": """
            hard = (label > 127).astype(np.float32)
            return cv2.resize(hard, (size, size))
        """,
        "not_scaled": """
            small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)
            return small.astype(np.float32)
        """,
        "turned_over": """
            small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)
            return (small < 128).astype(np.float32)
        """,
        "middle_cut_out": """
            start = (len(label) - size) // 2
            middle = label[start : start + size, start : start + size]
            return (middle > 127).astype(np.float32)
        """,
        "corner_cut_out": "return (label[:size, :size] > 127).astype(np.float32)",
        "other_values": "return cv2.resize(label / 255, (size, size))",
        "another_type": [
            """
            small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)
            return (small > 127).astype(np.uint8)
        """,
            """
            small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)
            return small > 127
        """,
            """
            small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)
            return 1.0 * (small > 127)
        """,
        ],
        "tensor": """
            import torch
            small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)
            return torch.from_numpy((small > 127).astype(np.float32))
        """,
        "no_array": """
            small = cv2.resize(label, (size, size), interpolation=cv2.INTER_NEAREST)
            return (small > 127).tolist()
        """,
    },
}
