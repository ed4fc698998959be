"""The memory against slow loops written from its formulas."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from course_utils.models import MemoryBank

SHAPES = ((4, 8, 4), (6, 4, 2), (8, 2, 1))  # C, H, W; as uneven as three levels can be


def features(count: int, seed: int = 0) -> list[Tensor]:
    """As after ReLU, and larger at the finer levels, so that the ways of choosing disagree."""
    random = torch.Generator().manual_seed(seed)
    return [
        (scale * torch.randn(count, *shape, generator=random)).relu()
        for scale, shape in zip((4, 2, 1), SHAPES, strict=True)
    ]


def filled(memories: list[Tensor], **options) -> MemoryBank:
    bank = MemoryBank(**options)
    bank.fill(memories)
    return bank


def nearest_by_loop(f: list[Tensor], memories: list[Tensor], way: str) -> list[list[int]]:
    found = []
    for n in range(len(f[0])):
        table = []  # one row per memory, one column per level
        for m in range(len(memories[0])):
            row = []
            for level, stored in zip(f, memories, strict=True):
                squares = [
                    (float(a) - float(b)) ** 2
                    for a, b in zip(level[n].flatten(), stored[m].flatten(), strict=True)
                ]
                row.append(sum(squares) / len(squares) if way == "joint" else sum(squares))
            table.append(row)
        if way == "per_level":
            found.append([column.index(min(column)) for column in zip(*table, strict=True)])
        else:
            sums = [sum(row) for row in table]
            found.append([sums.index(min(sums))] * 3)
    return found


def test_the_nearest_is_the_one_that_a_loop_finds_and_the_three_ways_disagree():
    memories, f = features(7), features(12, seed=1)
    found = {}
    for way in ("joint", "joint_sum", "per_level"):
        found[way] = filled(memories, nearest=way).nearest_indices(f).tolist()
        assert found[way] == nearest_by_loop(f, memories, way)
    assert found["joint"] != found["joint_sum"] != found["per_level"] != found["joint"]


@pytest.mark.parametrize("way", ["joint", "per_level"])
@pytest.mark.parametrize("difference", ["squared", "absolute"])
def test_the_difference_is_to_the_nearest_element_by_element(way, difference):
    memories, f = features(5), features(4, seed=1)
    found = filled(memories, nearest=way, difference=difference).best_differences(f)
    for n, indices in enumerate(nearest_by_loop(f, memories, way)):
        for k, index in enumerate(indices):
            apart = f[k][n] - memories[k][index]
            wanted = apart**2 if difference == "squared" else apart.abs()
            assert torch.equal(found[k][n], wanted)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 9), batch=st.integers(1, 5))
def test_a_memory_is_nearest_to_itself_and_does_not_differ(seed, count, batch):
    memories = features(count, seed)
    chosen = torch.arange(batch) * 7 % count
    bank = filled(memories)
    f = [level[chosen] for level in memories]
    assert bank.nearest_indices(f).tolist() == [[int(i)] * 3 for i in chosen]
    assert all(float(d.abs().max()) == 0 for d in bank.best_differences(f))


def test_an_image_does_not_depend_on_the_others_of_its_batch():
    bank, f = filled(features(6)), features(5, seed=1)
    whole = bank.best_differences(f)
    for n in range(5):
        alone = bank.best_differences([level[n : n + 1] for level in f])
        assert all(torch.equal(a[0], w[n]) for a, w in zip(alone, whole, strict=True))


def test_memory_format_changes_nothing():
    memories, f = features(6), features(5, seed=1)
    reordered = [level.contiguous(memory_format=torch.channels_last) for level in f]
    bank = filled(memories)
    moved = copy.deepcopy(bank).to(memory_format=torch.channels_last)
    assert all(map(torch.equal, bank.best_differences(f), moved.best_differences(reordered)))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), offset=st.sampled_from([0, 1, 30]))
def test_rounding_changes_no_choice_whose_gap_exceeds_the_tolerance(seed, offset):
    """A common offset makes |m|**2 large and the distances small, which costs digits."""
    random = torch.Generator().manual_seed(seed)
    memories = offset + torch.rand(12, 32, 16, 16, generator=random)
    f = memories[:6] + torch.rand(6, 32, 16, 16, generator=random)
    bank = MemoryBank(1)
    bank.fill([memories])
    distances = (f.double()[:, None] - memories.double()).square().sum((2, 3, 4))  # (6, 12)
    found = distances.gather(1, bank.nearest_indices([f]))[:, 0]
    tolerance = 1e-5 * float(memories.double().square().sum((1, 2, 3)).max())
    assert float((found - distances.amin(1)).max()) <= tolerance


def test_autocast_does_not_reach_the_distance():
    random = torch.Generator().manual_seed(0)
    common = 50 + torch.rand(1, 64, 32, 32, generator=random)
    memories = common + 1.5 * torch.rand(8, 64, 32, 32, generator=random)
    f = [memories + 0.1 * torch.rand(8, 64, 32, 32, generator=random)]
    bank = MemoryBank(1)
    bank.fill([memories])
    with torch.autocast("cpu", torch.bfloat16):
        differences = bank.best_differences(f)
        assert bank.nearest_indices(f)[:, 0].tolist() == list(range(8))
    assert differences[0].dtype == torch.float32
    assert torch.equal(differences[0], bank.best_differences(f)[0])


def test_norms_follow_a_change_of_precision():
    bank = filled(features(4)).to(torch.bfloat16)
    assert bank.squared_norms.dtype == torch.float32
    wanted = [float(level.float().square().sum()) for level in bank.level1]
    assert bank.squared_norms[0].tolist() == pytest.approx(wanted, rel=1e-5)
    assert filled(features(4)).double().squared_norms.dtype == torch.float64


def test_gradients_reach_the_features_and_not_the_memory():
    memories, f = features(3), [level.requires_grad_() for level in features(2, seed=1)]
    bank = filled(memories)
    sum(d.sum() for d in bank.best_differences(f)).backward()
    index = bank.nearest_indices(f)[:, 0]
    for level, stored in zip(f, memories, strict=True):
        torch.testing.assert_close(level.grad, 2 * (level - stored[index]).detach())
    assert not any(buffer.requires_grad for buffer in bank.buffers())


def test_the_memory_is_a_copy():
    memories = [f.contiguous(memory_format=torch.channels_last) for f in features(2)]
    bank = filled(memories)
    memories[0].zero_()
    assert float(bank.level1.abs().max()) > 0


@pytest.mark.parametrize(("before", "saved"), [(0, 5), (3, 5), (5, 3), (3, 0)])
def test_a_state_of_another_size_fits(before, saved):
    bank = filled(features(before)) if before else MemoryBank()
    other = filled(features(saved, seed=2)) if saved else MemoryBank()
    state = other.state_dict()
    assert set(state) == {"level1", "level2", "level3", "_extra_state"}
    bank.load_state_dict(state)
    assert len(bank) == saved
    if saved:
        f = features(4, seed=1)
        assert torch.equal(bank.nearest_indices(f), other.nearest_indices(f))
        assert all(map(torch.equal, bank.best_differences(f), other.best_differences(f)))


def test_the_levels_alone_are_a_state_that_fits():
    levels = {name: t for name, t in filled(features(2)).state_dict().items() if "level" in name}
    bank = filled(features(3, seed=2))
    bank.load_state_dict(levels)
    assert bank.nearest_indices(features(2))[:, 0].tolist() == [0, 1]
    assert set(MemoryBank().state_dict()) - set(levels) == {"_extra_state"}


def test_a_state_brings_the_channels_of_its_maps():
    bank = MemoryBank()
    bank.load_state_dict(filled(features(2)).state_dict())
    with pytest.raises(ValueError, match="same network"):
        bank.nearest_indices(reshaped(features(1)))


def reshaped(maps: list[Tensor]) -> list[Tensor]:
    """Half the channels and twice the width: the rows of a memory are as long as before."""
    return [f.reshape(len(f), f.shape[1] // 2, f.shape[2], 2 * f.shape[3]) for f in maps]


def turned(maps: list[Tensor]) -> list[Tensor]:
    return [f.transpose(2, 3) for f in maps]


def test_an_empty_batch_has_an_empty_result():
    bank = filled(features(3))
    assert bank.nearest_indices(features(0)).shape == (0, 3)
    assert [tuple(d.shape) for d in bank.best_differences(features(0))] == [(0, *s) for s in SHAPES]


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: MemoryBank(nearest="both"), "nearest must be one of"),
        (lambda: MemoryBank(difference="cubed"), "difference must be one of"),
        (lambda: MemoryBank().best_differences(features(1)), "memory is empty"),
        (lambda: MemoryBank().fill(features(2)[:2]), "3 levels, got 2"),
        (lambda: MemoryBank().fill(features(0)), "one or more"),
        (lambda: MemoryBank().fill([*features(2)[:2], features(3)[2]]), r"\[2, 2, 3\]"),
        (lambda: filled(features(2)).best_differences(turned(features(1))), "same size"),
        (lambda: filled(features(2)).nearest_indices(reshaped(features(1))), "same network"),
    ],
)
def test_what_cannot_be_is_refused(call, problem):
    with pytest.raises(ValueError, match=problem):
        call()
