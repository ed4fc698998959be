"""Every draw is a function of seed, epoch and index: order, items, and what follows a batch."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stoppable_training import LeastSeen, Noisy, remembering, shuffled

from course_utils.config import seed_everything
from course_utils.data import BalancedBatches, FrequencyOfUseSampler
from course_utils.training import EpochLoader

LABELS = [0] * 12 + [1] * 3


def loader(kind, seed=0, **more):
    """A loader of 15 images by each way to draw an order."""
    if kind == "balanced":
        data = Pairs()
        return EpochLoader(data, batch_sampler=BalancedBatches(data, 4), seed=seed, **more)
    order = {
        "shuffled": {"batch_size": 4, "shuffle": True},
        "in order": {"batch_size": 4},
        "sampler that remembers": {"batch_size": 4, "sampler": LeastSeen(15)},
        "frequency of use": {"batch_size": 2, "sampler": FrequencyOfUseSampler(LABELS, seed=seed)},
    }[kind]
    return EpochLoader(Noisy(), seed=seed, **order, **more)


class Pairs(Noisy):
    """Asked for (epoch, index), as `SimulatedAnomalies` is."""

    seed = 3

    def __getitem__(self, key):
        epoch, index = key
        sample = super().__getitem__(index)
        return sample._replace(image=sample.image + epoch, name=f"{epoch} {index}")


KINDS = ["shuffled", "in order", "sampler that remembers", "frequency of use", "balanced"]


def take(source, count):
    """The next batches, each with a number drawn after it."""
    taken = []
    while len(taken) < count:
        for batch in source:
            taken.append((batch.image, list(batch.name), float(torch.rand(())), random.random()))
            if len(taken) == count:
                break
    return taken


def equal(found, wanted):
    return all(
        torch.equal(one[0], other[0]) and one[1:] == other[1:]
        for one, other in zip(found, wanted, strict=True)
    )


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(KINDS), used=st.integers(0, 12), seed=st.integers(0, 5))
def test_a_loader_goes_on_from_any_batch(kind, used, seed):
    seed_everything(seed)
    first = loader(kind, seed)
    take(first, used)
    state = first.state_dict()
    wanted = take(first, 6)
    seed_everything(99)
    second = loader(kind, seed)
    take(second, 2)
    second.load_state_dict(state)
    assert equal(take(second, 6), wanted)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("kind", ["shuffled", "balanced"])
def test_workers_change_no_bit(kind):
    assert equal(take(loader(kind, workers=2), 7), take(loader(kind), 7))


def test_seeds_epochs_and_batches_draw_numbers_of_their_own():
    one = [number for *_, number, _ in take(shuffled(), 8)]
    other = [number for *_, number, _ in take(shuffled(seed=1), 8)]
    assert len({*one, *other}) == 16
    first, second = (take(loader("in order"), 8)[start : start + 4] for start in (0, 4))
    assert [row[1] for row in first] == [row[1] for row in second]
    assert not torch.equal(first[0][0], second[0][0]), "other noise in the second epoch"
    source = shuffled()
    names = [[name for row in take(source, 4) for name in row[1]] for _ in range(2)]
    assert sorted(names[0]) == sorted(names[1])
    assert names[0] != names[1]


def test_processes_share_the_images_of_one_and_draw_apart():
    alone, shares = EpochLoader(Noisy(16), 4, shuffle=True), []
    for rank in (0, 1):
        source = EpochLoader(Noisy(16), 4, shuffle=True)
        source.share(rank, 2)
        shares.append(take(source, 5))
    for batch, first, second in zip(take(alone, 5), *shares, strict=True):
        assert [name for pair in zip(first[1], second[1], strict=True) for name in pair] == batch[1]
        assert torch.equal(first[0], batch[0][0::2]), "the same noise on each image"
        assert first[2] != second[2], "other dropout"


class Inverted(Noisy):
    """With the images or the masks turned round."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample._replace(**{self.part: 1 - getattr(sample, self.part)})


@pytest.mark.parametrize(
    "other",
    [
        lambda: shuffled(Inverted("image")),
        lambda: shuffled(Inverted("mask")),
        lambda: shuffled(seed=1),
        lambda: EpochLoader(Noisy(), 4),
        lambda: shuffled(Noisy(7)),
    ],
)
def test_other_batches_than_before_are_refused(other):
    source = shuffled()
    take(source, 3)
    with pytest.raises(ValueError, match=r"batches are other ones than before.*delete the check"):
        other().load_state_dict(source.state_dict())


def test_a_state_is_a_copy():
    source = remembering()
    take(source, 2)
    state = source.state_dict()
    wanted = take(source, 9)
    source.load_state_dict(state)
    assert equal(take(source, 9), wanted)


def test_an_empty_data_set_has_no_batches_and_an_impossible_seed_is_refused():
    assert list(EpochLoader([], 4, shuffle=True)) == []
    assert len(EpochLoader([], 4)) == 0
    with pytest.raises(ValueError, match="seed must be a whole number"):
        shuffled(seed=-1)
