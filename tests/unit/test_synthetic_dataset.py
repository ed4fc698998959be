"""What `SyntheticSurfaces` promises of its items, its splits and its settings."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from course_utils.data.samples import DefectDataset, Sample
from course_utils.data.synthetic import DEFECTS, SURFACES, SyntheticSurfaces
from course_utils.data.synthetic.defects import KINDS


def small(split: str = "train", **options: object) -> SyntheticSurfaces:
    return SyntheticSurfaces(split, **{"size": 64, "length": 40, **options})


def same(first: Sample, second: Sample) -> bool:
    tensors = torch.equal(first.image, second.image) and torch.equal(first.mask, second.mask)
    return tensors and first[2:] == second[2:]


def test_it_is_a_defect_dataset_with_default_lengths():
    assert [len(SyntheticSurfaces(split)) for split in ("train", "val", "test")] == [600, 200, 200]
    data = small(length=3)
    assert isinstance(data, DefectDataset)
    assert data.class_names == ("background", "line", "spot", "area")
    assert {kind.label for kind in KINDS.values()} == {1, 2, 3}
    assert data.channels == 3
    assert "no surface is shared" in data.split_note
    assert len(list(data)) == 3
    with pytest.raises(IndexError, match=r"0\.\.2, got 3"):
        data[3]


@settings(max_examples=25, deadline=None)
@given(
    index=st.integers(0, 39),
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(32, 97),
    width=st.integers(32, 97),
    defect_size=st.sampled_from([0.25, 1.0, 4.0]),
    contrast=st.sampled_from([0.0, 1.0, 2.0]),
    labels=st.sampled_from(["exact", "ellipse"]),
)
def test_every_item_keeps_the_contract(index, seed, height, width, defect_size, contrast, labels):
    options = {"defect_size": defect_size, "contrast": contrast, "labels": labels}
    data = SyntheticSurfaces(size=(height, width), seed=seed, length=40, frequency=0.8, **options)
    image, mask, label, group, name = data[index]
    assert image.dtype == torch.float32
    assert image.shape == (3, height, width)
    assert 0 <= image.min() <= image.max() <= 1
    assert mask.dtype == torch.int64
    assert mask.shape == (height, width)
    assert 0 <= mask.min() <= mask.max() <= 3
    assert (label > 0) == bool((mask > 0).any()) == bool(data.describe(index).kinds)
    assert group == data.describe(index).group
    assert name == f"synthetic/train/{index:05d}"


@pytest.mark.parametrize("size", [32, (32, 200), (150, 40)])
@pytest.mark.parametrize("family", SURFACES)
def test_every_family_and_kind_is_made_at_odd_sizes(family, size):
    for kind in DEFECTS:
        data = SyntheticSurfaces(
            size=size, surfaces=[family], defects=[kind], frequency=1.0, length=1
        )
        assert data.describe(0).family == family
        assert set(data.describe(0).kinds) == {kind}
        sample = data[0]
        assert sample.label == KINDS[kind].label
        assert (sample.mask == sample.label).any()


def test_the_largest_size_works():
    assert SyntheticSurfaces(size=1024, length=1, frequency=1.0)[0].image.shape == (3, 1024, 1024)


def test_all_families_and_likely_kinds_are_reached():
    data = SyntheticSurfaces(length=600, frequency=1.0)
    shown = [data.describe(index) for index in range(len(data))]
    assert {item.family for item in shown} == set(SURFACES)
    assert {kind for item in shown for kind in item.kinds} == set(DEFECTS)
    assert {len(item.kinds) for item in shown} == {1, 2, 3}
    assert not any(item.family in KINDS[kind].unlikely for item in shown for kind in item.kinds)
    first = [KINDS[item.kinds[0]].label for item in shown if item.shot == 0]
    shares = np.bincount(first, minlength=4)[1:] / len(first)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.08)


def test_the_label_is_the_class_of_the_largest_defect():
    data = small(length=200, frequency=1.0, size=96)
    indices = [
        index
        for index in range(len(data))
        if len({KINDS[kind].label for kind in data.describe(index).kinds}) > 1
    ]
    assert len(indices) > 5
    agree = 0
    for index in indices:
        counts = torch.bincount(data[index].mask.flatten(), minlength=4)[1:]
        agree += data[index].label == int(counts.argmax()) + 1
    # Two small defects of one class may together outweigh the largest single one.
    assert agree >= 0.8 * len(indices)


def test_items_do_not_depend_on_order_length_or_instance():
    data = small()
    forward = [data[index] for index in range(8)]
    again = small(length=9)
    backward = [again[index] for index in reversed(range(8))][::-1]
    assert all(map(same, forward, backward))
    assert same(data[-1], data[39])


def test_workers_make_the_same_items():
    data = small(length=8)
    batches = DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context="fork")
    images = torch.cat([batch.image for batch in batches])
    assert torch.equal(images, torch.stack([data[index].image for index in range(8)]))


def test_seed_and_split_change_everything():
    picture = small()[3].image
    assert not torch.equal(picture, small(seed=1)[3].image)
    assert not torch.equal(picture, small("val")[3].image)


def test_each_decision_has_a_random_stream_of_its_own(monkeypatch):
    states = {}

    def recorded(key: tuple[int, ...]) -> np.random.Generator:
        rng = default_rng(key)
        states[key] = rng.bit_generator.state["state"]["state"]
        return rng

    default_rng = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", recorded)
    for split in ("train", "val", "test"):
        list(small(split, size=32, length=12, frequency=1.0))
    assert len(states) > 60
    assert len(set(states.values())) == len(states)


def test_splits_share_no_surface():
    groups, pictures = [], []
    for split in ("train", "val", "test"):
        data = small(split, size=32)
        groups.append({sample.group for sample in data})
        pictures += [data.clean(index).flatten() for index in range(len(data))]
    assert len(set.union(*groups)) == sum(map(len, groups))
    # Across splits no two pictures agree as twins do.
    likeness = torch.corrcoef(torch.stack(pictures))
    owner = np.repeat([0, 1, 2], 40)
    assert likeness[owner[:, None] != owner[None, :]].max() < 0.98


def test_twins_are_adjacent_share_their_group_and_look_alike():
    data = small(length=120, size=96)
    groups = [data.describe(index).group for index in range(120)]
    starts = [index for index in range(120) if index == 0 or groups[index] != groups[index - 1]]
    assert len(set(groups)) == len(starts)
    sizes = np.diff(starts)
    assert set(sizes) == {1, 2, 3}
    twins = [start for start, size in zip(starts, sizes, strict=False) if size > 1][:20]
    alike = []
    for index in twins:
        first, second = data[index], data[index + 1]
        assert data.describe(index + 1).shot == data.describe(index).shot + 1
        assert data.describe(index).shots == groups.count(groups[index])
        assert first.group == second.group
        assert first.label == second.label
        assert not torch.equal(first.image, second.image)
        blurred = [
            torch.nn.functional.avg_pool2d(sample.image, 8).flatten() for sample in (first, second)
        ]
        alike.append(torch.corrcoef(torch.stack(blurred))[0, 1].item())
    assert np.median(alike) > 0.95


def test_frequency_is_the_share_of_defective_surfaces():
    for wanted in (0.0, 0.25, 1.0):
        data = small(length=2000, frequency=wanted)
        found = np.mean([bool(data.describe(index).kinds) for index in range(2000)])
        assert found == pytest.approx(wanted, abs=0.05)
    good = small(frequency=0.0)
    assert torch.equal(good[2].image, good.clean(2))
    assert good[2].label == 0
    # A surface that is defective stays so, with the same defects, when more of them are.
    rare, often = small(frequency=0.3), small(frequency=0.9)
    kept = [index for index in range(40) if rare.describe(index).kinds]
    assert kept
    assert all(same(rare[index], often[index]) for index in kept)


def test_contrast_zero_is_the_clean_image_with_the_mask_kept():
    plain, none = small(frequency=1.0), small(frequency=1.0, contrast=0.0)
    for index in range(6):
        assert torch.equal(none[index].image, plain.clean(index))
        assert torch.equal(none[index].mask, plain[index].mask)
        assert not torch.equal(plain[index].image, plain.clean(index))


def change_in(data: SyntheticSurfaces, index: int) -> float:
    """How much the defects change the image, on average in their pixels."""
    sample = data[index]
    return float((sample.image - data.clean(index)).abs()[:, sample.mask > 0].mean())


def test_more_contrast_shows_more():
    datasets = [small(frequency=1.0, contrast=contrast) for contrast in (0.3, 1.0, 2.0)]
    seen = [np.mean([change_in(data, index) for index in range(12)]) for data in datasets]
    assert seen[0] < 0.6 * seen[1] < 0.6 * seen[2]


@pytest.mark.parametrize("kind", DEFECTS)
def test_larger_defects_of_each_kind_cover_more(kind):
    covered = []
    for size in (0.5, 1.0, 2.0):
        data = small(defects=[kind], frequency=1.0, defect_size=size, size=128, length=12)
        covered.append(np.mean([(sample.mask > 0).float().mean() for sample in data]))
    assert 0 < 1.4 * covered[0] < covered[1] < covered[2] / 1.4


def test_strength_tells_easy_from_hard():
    data = small(length=300, frequency=1.0, surfaces=["painted_sheet"], defects=["stain"])
    shown = [data.describe(index) for index in range(300)]
    single = [index for index in range(300) if len(shown[index].kinds) == 1][:60]
    strength = [shown[index].strengths[0] for index in single]
    change = [change_in(data, index) for index in single]
    assert 0.45 <= min(strength) < 0.6
    assert 1.2 < max(strength) <= 1.4
    assert np.corrcoef(strength, change)[0, 1] > 0.4


def test_defect_pixels_are_rare():
    data = SyntheticSurfaces(size=128, length=150)
    share = np.mean([(sample.mask > 0).float().mean() for sample in data])
    assert 0.003 < share < 0.015


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "split must be one of train, val, test, got 'dev'"),
        ({"size": 31}, "size must be a whole number in 32..1024, got 31"),
        ({"size": (64, 2000)}, "size must be a whole number in 32..1024, got 2000"),
        ({"size": (64, 64, 3)}, "size must be one side or (height, width)"),
        ({"size": 64.0}, "size must be"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"length": 0}, "length must be a whole number"),
        ({"surfaces": ["wood", "glass"]}, "unknown: 'glass'"),
        ({"surfaces": []}, "surfaces must be some of brushed_steel"),
        ({"defects": ["hole"]}, "unknown: 'hole'"),
        ({"frequency": 1.5}, "frequency must be a number in 0..1, got 1.5"),
        ({"frequency": float("nan")}, "frequency must be a number"),
        ({"contrast": -0.1}, "contrast must be a number in 0..2"),
        ({"contrast": "high"}, "contrast must be a number in 0..2, got 'high'"),
        ({"defect_size": 0}, "defect_size must be a number in 0.25..4"),
        ({"labels": "boxes"}, "labels must be 'exact' or 'ellipse', got 'boxes'"),
    ],
)
def test_wrong_settings_are_refused_with_what_is_wanted(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        SyntheticSurfaces(**options)
