"""A small detector of each method, untrained but whole."""

import torch

from course_utils.inference import Detector, DetectorSettings, choose_image_threshold
from course_utils.inference.networks import build_network

HEIGHT, WIDTH = 64, 128
NETWORKS = {
    "unet": ("UNet", {"in_channels": 3, "num_classes": 2, "width": 2}),
    "unet_encoder": ("UNet", {"in_channels": 3, "num_classes": 2, "encoder": "resnet18"}),
    "classes": ("UNet", {"in_channels": 1, "num_classes": 4, "width": 2}),
    "casae": ("CascadedAutoencoder", {"in_channels": 3, "num_classes": 2, "width": 2}),
    "memseg": ("MemSeg", {"encoder": "efficientnet_lite0", "memory_size": 2}),
    "nearest": ("NearestPatches", {"encoder": "resnet18"}),
    "two-stage": ("TwoStageNet", {"in_channels": 1, "channels": [2, 2, 2, 4]}),
}


def tiny_detector(kind: str) -> Detector:
    """Return a detector with random weights, filled where it has to be."""
    torch.manual_seed(0)
    name, arguments = NETWORKS[kind]
    network = build_network(name, arguments)
    normal = torch.rand(2, 3, HEIGHT, WIDTH)
    if kind == "memseg":
        network.fill_memory(normal)
    if kind == "nearest":
        network.fill(normal)
    classes = (
        ("background", "line", "spot", "area") if kind == "classes" else ("background", "defect")
    )
    settings = DetectorSettings(
        method=kind,
        network=name,
        arguments=arguments,
        class_names=classes,
        channels=arguments.get("in_channels", 3),
        height=HEIGHT,
        width=WIDTH,
        score_pixels=0 if kind == "two-stage" else 10,
        threshold=choose_image_threshold([0.2, 0.6], [0, 1], ["a", "b"]),
        pixel_threshold=None if kind == "classes" else 0.5,
        pixel_source="by hand",
        data="synthetic",
        split="none",
    )
    return Detector(settings, network, device="cpu")
