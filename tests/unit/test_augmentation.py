from collections import Counter

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from course_utils.data import Sample, TransformedDataset


class Marked:
    """Images that say in red where their own mask is, so that both can be compared."""

    class_names = ("background", "a", "b")
    channels = 3
    split_note = "Made for this test."

    def __init__(self, side=12, *, marked=True, label=1):
        self.side, self.marked, self.label = side, marked, label

    def __len__(self):
        return 6

    def __getitem__(self, index):
        mask = torch.zeros(self.side, self.side + 2, dtype=torch.long)
        if self.marked:
            mask[1 : 2 + index, 1:4] = 1
            mask[-2, -3:] = 2
        image = torch.rand(3, *mask.shape, generator=torch.Generator().manual_seed(index))
        image[0] = mask / 2
        return Sample(image, mask, self.label, f"g{index}", f"n{index}")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_image_and_mask_are_turned_over_alike():
    shown = TransformedDataset(Marked())
    for index in list(range(6)) * 8:
        sample = shown[index]
        assert torch.equal(sample.image[0], sample.mask / 2)


def test_by_default_the_four_ways_to_turn_come_equally_often():
    plain = Marked()[2]
    ways = {
        "as it is": plain.image,
        "left to right": plain.image.flip(-1),
        "upside down": plain.image.flip(-2),
        "both": plain.image.flip(-1, -2),
    }
    shown = TransformedDataset(Marked())
    seen = Counter(
        next(name for name, image in ways.items() if torch.equal(image, found))
        for found in (shown[2].image for _ in range(400))
    )
    assert set(seen) == set(ways)
    # Each has a quarter; beyond 140 or below 60 lies one run in ten thousand.
    assert all(60 < number < 140 for number in seen.values())


def test_a_transform_that_interpolates_leaves_classes_whole():
    turn = v2.RandomAffine(30, (0.2, 0.2), (0.8, 1.3), interpolation=v2.InterpolationMode.BILINEAR)
    shown = TransformedDataset(Marked(24), turn)
    before = set(Marked(24)[0].image.flatten().tolist())
    blended = False
    for _ in range(10):
        sample = shown[0]
        assert sample.mask.dtype == torch.long
        assert set(sample.mask.unique().tolist()) <= {0, 1, 2}
        blended |= bool(set(sample.image.flatten().tolist()) - before)
    assert blended


def test_a_change_of_light_leaves_the_mask_alone():
    shown = TransformedDataset(Marked(), v2.ColorJitter(brightness=(0.5, 0.5)))
    plain = Marked()[1]
    assert torch.equal(shown[1].mask, plain.mask)
    torch.testing.assert_close(shown[1].image, plain.image / 2)


def test_plain_tensors_come_out_and_the_rest_stays():
    found, plain = TransformedDataset(Marked())[3], Marked()[3]
    assert type(found.image) is torch.Tensor
    assert type(found.mask) is torch.Tensor
    assert found.mask.shape == plain.mask.shape
    assert (found.label, found.group, found.name) == (plain.label, plain.group, plain.name)


def test_the_same_random_state_gives_the_same_images():
    shown = TransformedDataset(Marked())
    state = torch.get_rng_state()
    first = [shown[i].image for i in range(6)]
    other = [shown[i].image for i in range(6)]
    torch.set_rng_state(state)
    again = [shown[i].image for i in range(6)]
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


def test_a_border_filled_with_defects_is_refused_with_the_remedy():
    good = Marked(marked=False, label=0)
    with pytest.raises(ValueError, match=r"class 1 into the mask of 'n2': .*fill=\{tv_tensors.Im"):
        TransformedDataset(good, v2.RandomRotation((45, 45), fill=1.0))[2]
    each = {tv_tensors.Image: 1.0, tv_tensors.Mask: 0}
    found = TransformedDataset(good, v2.RandomRotation((45, 45), fill=each))[2]
    assert not found.mask.any()
    assert bool((found.image[:, 0, 0] == 1).all())


def test_a_crop_without_defects_is_a_good_image_and_a_label_without_a_mask_stays():
    plain = TransformedDataset(Marked(16), v2.CenterCrop(16))[2]
    assert (plain.label, bool(plain.mask.any())) == (1, True)
    cropped = TransformedDataset(Marked(16), v2.CenterCrop(6))[0]
    assert (cropped.label, bool(cropped.mask.any())) == (0, False)
    assert TransformedDataset(Marked(marked=False))[0].label == 1
