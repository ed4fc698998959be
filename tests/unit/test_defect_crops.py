import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from course_utils.data import DefectDataset, Sample
from course_utils.data.defect_crops import (
    Crop,
    DefectCrops,
    Region,
    crop_upright,
    find_regions,
)
from course_utils.models import CompactDefectCNN
from course_utils.training import fit, predict_probabilities


def turned_rectangle(center, size, angle, side=200) -> np.ndarray:
    """Return whether the middle of each pixel lies in the rectangle, (side, side)."""
    u, v = turned_grid(center, angle, side)
    return (abs(u) <= size[0] / 2) & (abs(v) <= size[1] / 2)


def turned_grid(center, angle, side=200) -> tuple[np.ndarray, np.ndarray]:
    """Return how far along and across the turned axes the pixels lie."""
    y, x = np.mgrid[:side, :side].astype(float)
    x, y, turn = x - center[0], y - center[1], math.radians(angle)
    return x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)


def smallest_rectangle_by_trying(mask: np.ndarray) -> float:
    """Return the smallest area of a rectangle around whole pixels, over many angles."""
    rows, columns = np.nonzero(mask)
    corners = [(columns + i, rows + j) for i in (-0.5, 0.5) for j in (-0.5, 0.5)]
    x, y = np.concatenate(corners, axis=1)
    areas = []
    for angle in np.radians(np.arange(0, 90, 0.25)):
        u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        areas.append(np.ptp(u) * np.ptp(v))
    return min(areas)


class Surfaces:
    """Three gray images: two defects of two classes, none, and one, with groups a, a, b."""

    class_names, channels, split_note = ("background", "line", "spot"), 1, "by hand"

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Sample:
        mask = torch.zeros(64, 64, dtype=torch.long)
        if index != 1:
            mask[10:13, 5:45] = 1
        if index == 0:
            mask[30:40, 30:40] = 2
        image = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(index))
        return Sample(image, mask, int(mask.max()), "aab"[index], f"image-{index}")


@pytest.mark.parametrize("angle", [-80, -45, -30, 0, 15, 45, 60, 90])
def test_a_drawn_rectangle_is_found_with_its_center_size_and_angle(angle):
    mask = turned_rectangle((90.3, 110.6), (80, 30), angle)
    (region,) = find_regions(mask)
    assert region.center == pytest.approx((90.3, 110.6), abs=1)
    assert region.size == pytest.approx((80, 30), abs=2)
    assert abs((region.angle - angle + 90) % 180 - 90) < 1.5
    assert -90 < region.angle <= 90
    assert region.area == mask.sum()


def test_a_level_rectangle_is_found_exactly():
    mask = np.zeros((50, 60), np.uint8)
    mask[10:14, 20:41] = 2
    assert find_regions(mask) == [Region((30.0, 11.5), (21.0, 4.0), 0.0, 84, 2)]
    assert find_regions(mask.T) == [Region((11.5, 30.0), (21.0, 4.0), 90.0, 84, 2)]
    mask[:] = 0
    assert find_regions(mask) == []
    mask[5:10, 7:12] = 1  # a square is not turned needlessly
    assert find_regions(mask) == [Region((9.0, 7.0), (5.0, 5.0), 0.0, 25, 1)]
    mask[:] = mask == 5
    mask[1, 3] = 1
    assert find_regions(mask, min_area=1) == [Region((3.0, 1.0), (1.0, 1.0), 0.0, 1, 1)]


@given(
    st.lists(
        st.tuples(st.integers(0, 23), st.integers(0, 23), st.integers(1, 9), st.integers(1, 9)),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=60, deadline=None)
def test_each_rectangle_holds_all_pixels_and_none_is_smaller(boxes):
    mask = np.zeros((40, 40), np.int64)
    for top, left, height, width in boxes:
        mask[top : top + height, left : left + width] = 1
    _, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    regions = find_regions(mask, min_area=1)
    assert sum(region.area for region in regions) == mask.sum()
    for region in regions:
        long, short = region.size
        assert long >= short
        along, across = region.axes()
        inside = np.zeros_like(mask, dtype=bool)
        for row, column in np.argwhere(mask):
            offset = np.subtract((column, row), region.center)
            inside[row, column] = (
                abs(offset @ along) <= long / 2 and abs(offset @ across) <= short / 2
            )
        # Its own pixels are all those of one connected part of the mask.
        own = [n for n in range(1, numbers.max() + 1) if inside[numbers == n].all()]
        areas = [smallest_rectangle_by_trying(numbers == n) for n in own]
        assert any(long * short <= area + 0.01 for area in areas)
        assert any((numbers == n).sum() == region.area for n in own)


def test_classes_that_touch_are_regions_of_their_own_and_holes_do_not_count():
    mask = np.zeros((30, 30), np.int64)
    mask[2:12, 2:12] = 1
    mask[4:9, 4:9] = 0
    mask[6, 6] = 1
    mask[12:20, 2:12] = 3
    found = [(r.label, r.area) for r in find_regions(mask, min_area=1)]
    assert sorted(found) == [(1, 1), (1, 75), (3, 80)]


def test_a_neighbor_in_the_bounding_box_does_not_widen_the_rectangle():
    mask = np.zeros((40, 40), int)
    mask[np.arange(30), np.arange(30)] = 1  # pixels that touch at a corner belong together
    mask[2:8, 20:26] = 1
    regions = {region.area: region for region in find_regions(mask)}
    assert {area: one.size[1] for area, one in regions.items()} == {
        30: pytest.approx(math.sqrt(2), abs=1e-3),
        36: pytest.approx(6),
    }
    assert regions[30].angle == pytest.approx(45)


def test_specks_are_left_out():
    mask = np.zeros((30, 30), int)
    mask[1:5, 1:5] = mask[20:23, 20:25] = 1
    assert [r.area for r in find_regions(mask)] == [16]
    assert [r.area for r in find_regions(mask, min_area=15)] == [16, 15]


def test_a_probability_map_is_cut_at_100_of_255():
    probabilities = torch.zeros(20, 20, dtype=torch.bfloat16)
    probabilities[2:8, 2:8] = 0.4
    probabilities[12:18, 12:18] = 0.39
    assert [r.center for r in find_regions(probabilities)] == [(4.5, 4.5)]
    assert len(find_regions(probabilities, threshold=0.3)) == 2


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (np.zeros((1, 8, 8), int), {}, r"\(H, W\), got \(1, 8, 8\)"),
        (np.full((8, 8), 255, np.uint8), {}, "threshold an 8-bit picture"),
        (np.full((8, 8), -1), {}, r"0\.\.254, got -1"),
        (np.full((8, 8), 1.5), {}, "apply the softmax"),
        (np.full((8, 8), np.nan), {}, r"probabilities must lie in \[0, 1\]"),
        (np.zeros((8, 8), complex), {}, "got complex128"),
        (np.zeros((8, 8)), {"threshold": 100}, "divide by 255"),
        (np.zeros((8, 8), int), {"min_area": 0}, "at least 1 pixel, got 0"),
    ],
)
def test_unusable_masks_and_settings_are_refused(mask, options, message):
    with pytest.raises(ValueError, match=message):
        find_regions(mask, **options)


def square_at(x, y, side, angle=0.0):
    return Region((x, y), (side, side), angle, int(side**2), 1)


def test_the_crop_of_a_level_square_is_the_image_itself():
    image = torch.rand(1, 40, 50)
    region = square_at(20.5, 14.5, 12.0)
    assert torch.equal(crop_upright(image, region, size=12, margin=0), image[:, 9:21, 15:27])
    assert torch.equal(crop_upright(image, region, size=18, margin=3), image[:, 6:24, 12:30])


def test_a_quarter_turn_is_a_quarter_turn_and_no_mirror():
    image = torch.rand(1, 40, 40)
    crop = crop_upright(image, square_at(20.5, 14.5, 12.0, 90.0), size=12, margin=0)
    # At 90 degrees the long side runs down; level again, what was below is at the right.
    expected = torch.rot90(image[:, 9:21, 15:27], 1, dims=(1, 2))
    torch.testing.assert_close(crop, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("angle", [-70, -20, 33, 80])
@pytest.mark.parametrize("keep_aspect", [False, True])
def test_a_turned_picture_crops_to_its_own_upright_content(angle, keep_aspect):
    """A smooth pattern is laid on a turned rectangle; its crop is the pattern, level."""
    center = (100.0, 96.0)

    def pattern(u: np.ndarray, v: np.ndarray) -> np.ndarray:  # no symmetry: mirrors would show
        return 0.5 + 0.2 * np.sin(u / 7) + 0.15 * np.cos(v / 5 + 1) + 0.002 * u + 0.003 * v

    image = torch.from_numpy(pattern(*turned_grid(center, angle))).float().clip(0, 1)[None]
    region = Region(center, (90.0, 36.0), angle, 90 * 36, 1)
    crop = crop_upright(image, region, size=96, margin=2, keep_aspect=keep_aspect)[0]
    width, height = (94, 94) if keep_aspect else (94, 40)
    v, u = np.mgrid[:96, :96]
    expected = pattern((u + 0.5) / 96 * width - width / 2, (v + 0.5) / 96 * height - height / 2)
    assert np.abs(crop.numpy() - expected.clip(0, 1)).max() < 0.02


def test_corners_go_round_from_the_top_left_of_the_crop():
    image = torch.zeros(1, 100, 100)
    (region,) = find_regions(turned_rectangle((50, 50), (50, 20), 60, side=100))
    x, y = region.corners()[0]
    image[0, round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4] = 1
    crop = crop_upright(image, region, size=50, margin=0)[0]
    assert crop.argmax() % 50 < 10
    assert crop.argmax() // 50 < 15
    assert cv2.contourArea(region.corners(2).astype(np.float32)) == pytest.approx(
        (region.size[0] + 4) * (region.size[1] + 4), rel=1e-4
    )


def test_a_region_larger_than_the_crop_is_averaged():
    stripes = torch.zeros(1, 100, 100)
    stripes[:, :, ::2] = 1
    crop = crop_upright(stripes, square_at(49.5, 49.5, 80.0), size=16, margin=0)
    expected = stripes[:, 10:90, 10:90].unfold(1, 5, 5).unfold(2, 5, 5).mean(dim=(3, 4))
    torch.testing.assert_close(crop, expected, atol=1e-4, rtol=0)


def test_colors_become_gray_by_their_brightness():
    image = torch.zeros(3, 20, 20)
    image[1] = 1
    crop = crop_upright(image, square_at(10.0, 10.0, 5.0), size=8)
    torch.testing.assert_close(crop, torch.full((1, 8, 8), 0.587), atol=1e-3, rtol=0)


def test_a_region_at_the_edge_is_filled_by_reflection():
    image = torch.rand(1, 20, 20)
    crop = crop_upright(image, square_at(1.5, 9.5, 4.0), size=8, margin=2)
    torch.testing.assert_close(crop[:, :, :2], crop[:, :, 2:4].flip(2))


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (torch.zeros(1, 9, 9, dtype=torch.uint8), {}, r"float32 \(1 or 3, H, W\), got torch.uint8"),
        (torch.zeros(9, 9), {}, r"got torch.float32 \(9, 9\)"),
        (torch.zeros(1, 9, 9), {"size": 0}, "size must be at least 1"),
        (torch.zeros(1, 9, 9), {"margin": -1}, "margin at least 0"),
    ],
)
def test_unusable_crops_are_refused(image, options, message):
    with pytest.raises(ValueError, match=message):
        crop_upright(image, square_at(5.0, 5.0, 4.0), **options)


def test_crops_carry_class_group_and_name_of_their_image():
    crops = DefectCrops(Surfaces(), size=16)
    assert crops.class_names == ("line", "spot")
    assert [(c.label, c.group, c.name) for c in (crops[0], crops[1], crops[2])] == [
        (0, "a", "image-0/0"),
        (1, "a", "image-0/1"),
        (0, "b", "image-2/0"),
    ]
    assert crops.labels.tolist() == [0, 1, 0]
    assert crops.groups == ["a", "a", "b"]
    assert crops.image_indices == [0, 0, 2]
    assert isinstance(crops, DefectDataset)


def test_crops_are_those_of_crop_upright_at_8_bits():
    surfaces = Surfaces()
    crops = DefectCrops(surfaces, size=32, margin=1, keep_aspect=True)
    for number in range(3):
        image = surfaces[crops.image_indices[number]].image
        exact = crop_upright(image, crops.regions[number], size=32, margin=1, keep_aspect=True)
        torch.testing.assert_close(crops[number].image, exact, atol=0.51 / 255, rtol=0)


def test_crops_of_chosen_images_alone():
    assert DefectCrops(Surfaces(), indices=[2], size=8).names == ["image-2/0"]
    with pytest.raises(IndexError, match=r"0\.\.2, got \[3\]"):
        DefectCrops(Surfaces(), indices=[3])
    with pytest.raises(ValueError, match="none of 1 images has a defect of at least 16 pixels"):
        DefectCrops(Surfaces(), indices=[1])


def test_a_batch_of_crops_is_a_crop_with_targets():
    batch = next(iter(DataLoader(DefectCrops(Surfaces(), size=8), batch_size=3)))
    assert isinstance(batch, Crop)
    assert batch.image.shape == (3, 1, 8, 8)
    assert torch.equal(batch.mask, torch.tensor([0, 1, 0]))
    assert DefectCrops(Surfaces(), size=8)[1].mask.dtype == torch.int64


def test_the_compact_network_learns_crops_through_fit():
    torch.manual_seed(0)
    crops = DefectCrops(Surfaces())
    model = CompactDefectCNN(1, 2)
    loss = torch.nn.functional.cross_entropy
    history = fit(model, DataLoader(crops, 3), loss, steps=8, learning_rate=1e-3, device="cpu")
    assert history.loss[-1] < history.loss[0]
    probabilities, labels = predict_probabilities(model, crops)
    assert probabilities.shape == (3, 2)
    assert torch.equal(labels, torch.tensor([0, 1, 0]))
