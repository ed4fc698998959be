"""A small instance of every network and form, and the shape of what it takes."""

import torch
from torch import nn

from course_utils import models


def filled_memseg(**options) -> nn.Module:
    model = models.MemSeg(weights=None, memory_size=2, **options)
    model.fill_memory(torch.rand(2, 3, 64, 64))
    return model


def filled_patches(**options) -> nn.Module:
    model = models.NearestPatches(weights=None, **options)
    model.fill(torch.rand(2, 3, 64, 64))
    return model


def filled_bank() -> nn.Module:
    bank = models.MemoryBank(1)
    bank.fill([torch.empty(3, 2, 4, 4)])
    bank.forward = lambda x: bank.best_differences([x])[0]  # it has none of its own
    return bank


NETWORKS = {
    "CascadedAutoencoder": (lambda: models.CascadedAutoencoder(width=2), (2, 1, 32, 32)),
    "CompactDefectCNN": (models.CompactDefectCNN, (2, 1, 227, 227)),
    "CoordinateAttention": (lambda: models.CoordinateAttention(8), (2, 8, 4, 6)),
    "EfficientNetEncoder": (lambda: models.EfficientNetEncoder(weights=None), (2, 1, 64, 64)),
    "FeatureNorm": (lambda: models.FeatureNorm(3), (2, 3, 4, 4)),
    "FeatureNorm, published": (lambda: models.FeatureNorm(3, kind="published"), (2, 3, 4, 4)),
    "MemSeg": (filled_memseg, (2, 3, 64, 64)),
    "MemSeg, EfficientNet-Lite0, scaled maps": (
        lambda: filled_memseg(encoder="efficientnet_lite0", spatial_maps="scaled"),
        (2, 1, 64, 64),
    ),
    "MemSeg, per level, no maps": (
        lambda: filled_memseg(nearest="per_level", difference="absolute", spatial_maps=None),
        (2, 1, 64, 64),
    ),
    "MemSeg, published": (lambda: filled_memseg(published_code=True), (2, 3, 64, 64)),
    "MemoryBank": (filled_bank, (2, 2, 4, 4)),
    "MultiScaleFeatureFusion": (
        lambda: models.MultiScaleFeatureFusion((4, 8, 16)),
        ((2, 4, 8, 8), (2, 8, 4, 4), (2, 16, 2, 2)),
    ),
    "NearestPatches": (filled_patches, (2, 3, 64, 64)),
    "NearestPatches, ResNet-18": (lambda: filled_patches(encoder="resnet18"), (2, 3, 64, 64)),
    "ResNetEncoder": (lambda: models.ResNetEncoder(weights=None), (2, 1, 64, 64)),
    "SegmentationAutoencoder": (lambda: models.SegmentationAutoencoder(width=2), (2, 1, 32, 32)),
    "SmallSegmenter": (lambda: models.SmallSegmenter(prior=0.01), (2, 3, 32, 32)),
    "TwoStageNet": (lambda: models.TwoStageNet(channels=(2, 2, 2, 4)), (2, 1, 128, 64)),
    "UNet": (lambda: models.UNet(width=2, dropout=0.5, prior=0.01), (2, 3, 32, 32)),
    "UNet, EfficientNet-Lite0": (
        lambda: models.UNet(5, width=2, encoder="efficientnet_lite0", weights=None),
        (2, 5, 64, 64),
    ),
    "UNet, ResNet-18": (
        lambda: models.UNet(1, width=2, encoder="resnet18", weights=None),
        (2, 1, 64, 64),
    ),
    "UNet, original": (
        lambda: models.UNet(
            1,
            width=2,
            depth=1,
            padding="valid",
            normalize=False,
            standardize_input=False,
            dropout=0.5,
            bottleneck=2,
        ),
        (2, 1, 64, 64),
    ),
    "UNet, no skips": (lambda: models.UNet(width=2, depth=1, skips=False), (2, 3, 32, 32)),
}
