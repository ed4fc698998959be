"""Simulated anomalies: balance, repeatability, and training that goes on."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from course_utils.anomaly import AnomalySynthesizer
from course_utils.data import BalancedBatches, Sample, SimulatedAnomalies
from course_utils.training import EpochLoader, fit


class GoodImages:
    """Plain images whose every pixel is known: no file, no drawing."""

    class_names = ("background", "scratch")
    split_note = "made for a test"

    def __init__(self, channels=3, bad=(), highest=1.0):
        self.channels, self.bad, self.highest = channels, bad, highest

    def __len__(self):
        return 13

    def __getitem__(self, index):
        if not 0 <= index < 13:
            raise IndexError(index)
        noise = torch.rand((self.channels, 32, 24), generator=torch.Generator().manual_seed(index))
        mask = torch.zeros(32, 24, dtype=torch.long)
        return Sample(noise * self.highest, mask, int(index in self.bad), "g", f"{index}")


@pytest.fixture
def data():
    return SimulatedAnomalies(GoodImages(), seed=3)


def keys(samples):
    return [(sample.name, sample.label, sample.image.numpy().tobytes()) for sample in samples]


@pytest.mark.parametrize("channels", [1, 3])
def test_good_images_come_first_as_they_are_and_then_with_an_anomaly(channels):
    good = GoodImages(channels=channels)
    data = SimulatedAnomalies(good)
    assert len(data) == 26
    assert (data.channels, data.class_names) == (channels, ("background", "defect"))
    for index in range(13):
        plain, simulated = data[index], data[13 + index]
        assert torch.equal(plain.image, good[index].image)
        assert (plain.label, int(plain.mask.max())) == (0, 0)
        assert (simulated.label, int(simulated.mask.max())) == (1, 1)
        assert simulated.image.shape == plain.image.shape
        assert (simulated.image.dtype, simulated.mask.dtype) == (torch.float32, torch.int64)
        assert 0 <= simulated.image.min() <= simulated.image.max() <= 1
        outside = simulated.mask == 0
        assert torch.equal(simulated.image[:, outside], plain.image[:, outside])
        assert not torch.equal(simulated.image, plain.image)
        assert simulated.group == plain.group
    assert len({sample.name for sample in data}) == 26


def test_channels_are_not_mixed_up():
    def pure_red(image, rng):
        return np.broadcast_to(np.uint8([255, 0, 0]), image.shape).copy()

    synthesizer = AnomalySynthesizer(sources=[pure_red], opacity=(1.0, 1.0))
    sample = SimulatedAnomalies(GoodImages(), synthesizer)[20]
    inside = sample.image[:, sample.mask == 1]
    assert inside.mean(dim=1).tolist() == [1, 0, 0]


def test_an_anomaly_depends_on_seed_pass_and_index_alone(data):
    forwards = keys(data[i] for i in range(26))
    backwards = keys(data[i] for i in reversed(range(26)))[::-1]
    assert forwards == backwards
    assert keys(data[0, i] for i in range(26)) == forwards
    assert keys(SimulatedAnomalies(GoodImages(), seed=3)) == forwards
    second_pass = keys(data[1, i] for i in range(26))
    other_seed = keys(SimulatedAnomalies(GoodImages(), seed=4))
    for other in (second_pass, other_seed):
        assert other[:13] == forwards[:13]
        assert all(one != two for one, two in zip(other[13:], forwards[13:], strict=True))
    masks = {data[i].mask.numpy().tobytes() for i in range(13, 26)}
    assert len(masks) == 13, "no two images of a pass share one"


def test_images_that_are_not_good_wrong_indices_and_seeds_are_refused(data):
    bad = SimulatedAnomalies(GoodImages(bad=[2]))
    for index in (2, 15):
        with pytest.raises(ValueError, match=r"'2' is labeled 1: select the good images first"):
            bad[index]
    with pytest.raises(ValueError, match="normalize afterwards"):
        SimulatedAnomalies(GoodImages(highest=2.5))[13]
    for index in (26, -1, (0, 26)):
        with pytest.raises(IndexError, match=r"index must lie in 0..25"):
            data[index]
    with pytest.raises(ValueError, match="seed must be a whole number in 0"):
        SimulatedAnomalies(GoodImages(), seed=-1)


def test_every_batch_is_half_good_and_half_simulated(data):
    loader = DataLoader(data, batch_sampler=BalancedBatches(data, 8))
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    for batch in batches:
        assert batch.label.tolist() == [0] * 4 + [1] * 4
        assert batch.mask.amax(dim=(1, 2)).tolist() == batch.label.tolist()
    names = [name for batch in batches for name in batch.name]
    assert len(set(names)) == 24, "no image comes twice in a pass"


@pytest.mark.parametrize("devices", [2, 4])
def test_devices_that_share_a_batch_by_turns_have_as_many_of_each(data, devices):
    for batch in BalancedBatches(data, 8):
        for rank in range(devices):
            share = [index >= 13 for _, index in batch[rank::devices]]
            assert sum(share) * 2 == len(share)


def test_each_pass_has_its_own_order_and_its_own_draws(data):
    batches = BalancedBatches(data, 8)
    passes = [list(batches) for _ in range(3)]
    assert [{number for batch in each for number, _ in batch} for each in passes] == [{0}, {1}, {2}]
    orders = [[[index for _, index in batch] for batch in each] for each in passes]
    assert orders[0] != orders[1] != orders[2]
    good = [[index for batch in each for index in batch[:4]] for each in orders]
    simulated = [[index - 13 for batch in each for index in batch[4:]] for each in orders]
    assert good != simulated, "the two orders are drawn independently"
    batches.set_epoch(1)
    assert list(batches) == passes[1]
    assert list(batches) == passes[2]


def test_over_many_passes_all_images_come_equally_often(data):
    batches = BalancedBatches(data, 8)
    counts = np.zeros(26, int)
    for _ in range(100):
        for batch in batches:
            counts[[index for _, index in batch]] += 1
    assert counts.min() > 80  # 92 +- 3 expected


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (7, "batch_size must be even and at least 2, got 7"),
        (0, "batch_size must be even and at least 2, got 0"),
        (28, "half a batch of 28 is more than the 13 good images"),
    ],
)
def test_batches_that_cannot_be_halved_or_filled_are_refused(data, size, message):
    with pytest.raises(ValueError, match=message):
        BalancedBatches(data, size)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("persistent", [False, True])
def test_the_number_of_workers_changes_nothing(persistent):
    def load(workers):
        data = SimulatedAnomalies(GoodImages(), seed=3)
        settings = {"num_workers": workers, "persistent_workers": persistent and workers > 0}
        loader = DataLoader(data, batch_sampler=BalancedBatches(data, 8), **settings)
        return [batch.image for _ in range(2) for batch in loader]

    alone, shared = load(0), load(2)
    assert len(alone) == 6
    assert all(torch.equal(one, two) for one, two in zip(alone, shared, strict=True))
    assert not torch.equal(alone[0], alone[3])


class Stopped(Exception):
    pass


def train(path, *, stop_at=None):
    """Twelve steps over batches of 3 a pass, stopped after `stop_at` of them."""
    torch.manual_seed(0)
    data = SimulatedAnomalies(GoodImages(channels=1), seed=3)
    loader = EpochLoader(data, batch_sampler=BalancedBatches(data, 8))
    model = nn.Conv2d(1, 1, 3, padding=1)
    seen = []

    def loss(logits, mask):
        if stop_at is not None and len(seen) == stop_at:
            raise Stopped
        seen.append(mask.clone())
        return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], mask.float())

    run = partial(fit, model, loader, loss, steps=12, device="cpu", checkpoint=path)
    if stop_at is None:
        run(checkpoint_every=1)
    else:
        with pytest.raises(Stopped):
            run(checkpoint_every=1)
    return seen, model.state_dict()


@pytest.mark.parametrize("stop_at", [4, 6])
def test_a_training_that_was_stopped_goes_on_with_the_same_anomalies(tmp_path, stop_at):
    whole, weights = train(tmp_path / "whole")
    before, _ = train(tmp_path / "stopped", stop_at=stop_at)
    after, weights_after = train(tmp_path / "stopped")
    assert len(before) == stop_at
    assert len(whole) == len(before + after) == 12
    assert all(torch.equal(one, two) for one, two in zip(whole, before + after, strict=True))
    assert all(torch.equal(weights[name], weights_after[name]) for name in weights)
    masks = {mask.numpy().tobytes() for mask in whole}
    assert len(masks) == 12, "every pass draws anew"
