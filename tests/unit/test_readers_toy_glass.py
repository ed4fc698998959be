"""Toy panes in miniature: shots of one pane stay together, and faults are named."""

import numpy as np
import pytest
from few_images import open_all, samples_of, write_image

from course_utils.data import open_dataset
from course_utils.data.readers import toy_glass


@pytest.fixture
def folder(tmp_path):
    """Twelve panes with three shots each; the second shot of every third pane has a defect."""
    rng = np.random.default_rng(0)
    for pane in range(12):
        for shot in range(3):
            mask = np.zeros((24, 40), np.uint8)
            mask[4:12, 8:16] = 255 * (shot == 1 and pane % 3 == 0)
            place = tmp_path / "toy_glass" / f"pane_{pane}"
            write_image(place / f"{shot}.png", rng.integers(0, 256, (24, 40), np.uint8))
            write_image(place / f"{shot}_defect.png", mask)
    return tmp_path / "toy_glass"


def test_shots_have_masks_labels_and_their_pane_as_group(folder):
    image_set = toy_glass.read(folder)
    samples = samples_of(open_all(image_set, (24, 40)))
    assert len(samples) == 36
    assert {name for name, sample in samples.items() if sample.label} == {
        f"pane_{pane}/1" for pane in (0, 3, 6, 9)
    }
    assert samples["pane_3/1"].mask.sum() == 64
    assert [len(set(image_set.groups[i : i + 3])) for i in range(0, 36, 3)] == [1] * 12


def test_no_pane_is_on_both_sides(folder):
    panes = {
        split: {e.name.partition("/")[0] for e in open_dataset(
            "toy_glass", split, root=folder.parent, size=16).entries}
        for split in ("train", "val", "test")
    }  # fmt: skip
    assert not panes["train"] & panes["test"]
    assert not panes["train"] & panes["val"]


def test_a_folder_without_panes_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no images: want pane_<i>"):
        toy_glass.read(tmp_path)
