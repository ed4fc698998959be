"""What `SyntheticProducts` promises: exact masks, known foreground, defects that need a place."""

import re

import cv2
import numpy as np
import pytest
import torch

from course_utils.data import PRODUCT_NAMES, DefectDataset, data_fingerprint, open_dataset
from course_utils.data.registry import is_synthetic
from course_utils.data.synthetic import PRODUCTS, SyntheticProducts
from course_utils.data.synthetic.product_scene import ANYWHERE, kinds_of
from course_utils.data.synthetic_layouts import LAYOUTS, lay_out, of_product, write_set
from course_utils.lessons.content import find_lesson

EVERY = [(product, kind) for product in PRODUCTS for kind in kinds_of(product)]


def defective(product: str, kind: str, **options: object) -> SyntheticProducts:
    settings = {"size": 128, "length": 8, "frequency": 1.0, "defects": [kind], "seed": 3}
    return SyntheticProducts(product, **{**settings, **options})


def grown(mask: np.ndarray, radius: int) -> np.ndarray:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(mask.astype(np.uint8), disc) > 0


def change(data: SyntheticProducts, index: int) -> np.ndarray:
    return (data[index].image - data.clean(index)).abs().mean(0).numpy()


def test_products_are_opened_by_name():
    assert [name.partition("/")[2] for name in PRODUCT_NAMES] == list(PRODUCTS)
    for name in PRODUCT_NAMES:
        parts = [open_dataset(name, part, size=32) for part in ("train", "val", "test")]
        assert [len(part) for part in parts] == [600, 200, 200]
        assert all(isinstance(part, DefectDataset) for part in parts)
        assert parts[0].class_names == ("background", *kinds_of(name.partition("/")[2]))
        assert is_synthetic(name)
        assert data_fingerprint(name) == name
        assert find_lesson("01").parameters(dataset=name).dataset == name
    options = {"size": 32, "length": 30, "normal_only": True}
    good = [open_dataset("synthetic_product/cap", part, **options) for part in ("train", "test")]
    assert [any(sample.label for sample in part) for part in good] == [False, True]
    assert len(open_dataset("synthetic_product/cap", "all", size=32, length=4)) == 12
    leaking = open_dataset("synthetic_product/cap", size=32, length=40, split_by="image")
    assert "all shots of one part" in leaking.split_note


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("synthetic_product", "unknown: choose one of synthetic_product/plate, synthetic_prod"),
        ("synthetic_product/plat", "Did you mean synthetic_product/plate?"),
        ("synthetic_products/cap", "Did you mean synthetic_product/cap?"),
        ("syntetic", "Did you mean synthetic?"),
    ],
)
def test_a_mistyped_name_is_answered_with_the_right_one(name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        open_dataset(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"product": "nut"}, "product must be one of plate, washer, cap, got 'nut'"),
        ({"defects": ["missing_print"]}, "unknown: 'missing_print'"),
        ({"split": "dev"}, "split must be one of"),
        ({"size": 31}, "size must be a whole number in 32..1024"),
        ({"frequency": 2}, "frequency must be a number in 0..1"),
    ],
)
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        SyntheticProducts(**{"product": "washer", **options})


@pytest.mark.parametrize("size", [32, (48, 100), (90, 40)])
@pytest.mark.parametrize(("product", "kind"), EVERY)
def test_every_kind_is_made_at_odd_sizes(product, kind, size):
    for settings in ({}, {"defect_size": 0.25}, {"defect_size": 4.0, "contrast": 2.0}):
        data = defective(product, kind, size=size, length=2, **settings)
        sample = data[1]
        assert sample.image.dtype == torch.float32
        assert 0 <= sample.image.min() <= sample.image.max() <= 1
        assert sample.mask.dtype == torch.int64
        assert sample.label == data.class_names.index(kind)
        assert (sample.mask == sample.label).any()


def test_images_depend_on_arguments_and_index_alone():
    data, again = (SyntheticProducts("plate", size=64, length=n) for n in (12, 9))
    for index in reversed(range(9)):
        first, second = data[index], again[index]
        assert torch.equal(first.image, second.image)
        assert torch.equal(first.mask, second.mask)
        assert first[2:] == second[2:]
    for other in ({"seed": 1}, {"split": "val"}):
        assert not torch.equal(SyntheticProducts("plate", size=64, **other)[0].image, data[0].image)


def test_every_kind_occurs_and_some_parts_have_two_defects():
    data = SyntheticProducts("plate", length=600, frequency=1.0)
    shown = [data.describe(index) for index in range(600)]
    assert {kind for one in shown for kind in one.kinds} == set(kinds_of("plate"))
    assert {len(one.kinds) for one in shown} == {1, 2}
    assert all(one.classes == one.kinds for one in shown)
    assert {one.kinds[1] for one in shown if len(one.kinds) == 2} == set(ANYWHERE)


def test_shots_of_one_part_are_moved_and_share_group_and_defects():
    data = SyntheticProducts("washer", size=64, length=60, frequency=1.0)
    shown = [data.describe(index) for index in range(60)]
    twins = [i for i in range(59) if shown[i].group == shown[i + 1].group]
    assert len(twins) > 10
    for index in twins:
        assert shown[index].kinds == shown[index + 1].kinds
        assert (data.foreground(index) != data.foreground(index + 1)).any()
    train, test = (SyntheticProducts("washer", part, size=32) for part in ("train", "test"))
    assert {train.describe(i).group for i in range(9)}.isdisjoint(
        test.describe(i).group for i in range(9)
    )


@pytest.mark.parametrize(("product", "kind"), EVERY)
def test_the_mask_is_where_the_image_changes(product, kind):
    data = defective(product, kind, size=192, length=12)
    for index in range(0, 12, 3):
        changed, mask = change(data, index), data[index].mask.numpy() > 0
        around = grown(mask, 3)
        # The shadow on the ground changes with the edge that casts it, and is no defect.
        part = data.foreground(index) | around
        assert changed[mask].mean() > 4 * changed[part & ~around].mean()
        assert changed[around].sum() > 0.9 * changed[part].sum()


@pytest.mark.parametrize("product", PRODUCTS)
def test_contrast_zero_is_the_clean_image_with_the_mask_kept(product):
    shown, none = (
        SyntheticProducts(product, size=64, frequency=1.0, length=6, contrast=contrast)
        for contrast in (1.0, 0.0)
    )
    for index in range(6):
        assert torch.equal(none[index].image, shown.clean(index))
        assert torch.equal(none[index].mask, shown[index].mask)
        assert not torch.equal(shown[index].image, shown.clean(index))
    good = SyntheticProducts(product, size=64, frequency=0.0)
    assert torch.equal(good[2].image, good.clean(2))
    assert not good[2].mask.any()


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_foreground_is_the_sound_part(product):
    for kind in kinds_of(product):
        data = defective(product, kind)
        for index in range(3):
            part, mask = data.foreground(index), data[index].mask.numpy() > 0
            assert part.dtype == bool
            assert 0.2 < part.mean() < 0.6
            if kind == "missing_hole":
                # A hole with its bevel: the ground inside of it, a ring of the part around it.
                assert (mask & ~part).sum() > 0.4 * mask.sum()
            elif kind != "wrong_hole":
                assert (mask & part).sum() > 0.95 * mask.sum()


@pytest.mark.parametrize("product", ["plate", "washer"])
def test_a_missing_hole_is_filled_and_the_others_are_there(product):
    data = defective(product, "missing_hole", size=192)
    for index in range(4):
        image, clean = data[index].image.mean(0).numpy(), data.clean(index).mean(0).numpy()
        part = data.foreground(index)
        hole = (data[index].mask.numpy() > 0) & ~part
        _, _, stats, _ = cv2.connectedComponentsWithStats(hole.astype(np.uint8))
        assert len(stats) == 2
        inner = cv2.erode(hole.astype(np.uint8), np.ones((3, 3))) > 0
        metal = clean[cv2.erode(part.astype(np.uint8), np.ones((9, 9))) > 0]
        assert clean[inner].mean() < 0.5 * metal.mean()
        assert image[inner].mean() > 0.75 * metal.mean()


@pytest.mark.parametrize("kind", ["wrong_hole", "broken_edge", "shifted_print", "stain"])
def test_larger_defects_cover_more(kind):
    covered = [
        np.mean([(one.mask > 0).float().mean() for one in defective("plate", kind, defect_size=s)])
        for s in (0.5, 1.0, 2.0)
    ]
    assert covered[0] < covered[1] < covered[2]


@pytest.mark.parametrize("layout", ["mvtec_ad", "folder"])
def test_a_product_is_written_and_read_again(layout, tmp_path):
    chosen = of_product(LAYOUTS[layout], "plate")
    write_set(chosen, lay_out(chosen, count=18, size=(48, 48)), tmp_path)
    read = open_dataset(chosen.opens.format(root=tmp_path), "all", size=48, root=tmp_path)
    assert len(read) == 18
    assert set(read.class_names) <= {"background", "combined", *kinds_of("plate")}
    assert any(sample.label for sample in read)


def test_layouts_that_show_surfaces_refuse_a_product():
    with pytest.raises(ValueError, match="shows surfaces, got product 'cap': choose one of folder"):
        of_product(LAYOUTS["dagm"], "cap")
