"""A run that was stopped ends as if it had never been."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stoppable_training import (
    SOURCES,
    STEPS,
    HiddenBuffer,
    LeastSeen,
    Shaken,
    Stopped,
    TransformedDataset,
    cross_entropy,
    loader,
    network,
    train,
    weights,
)
from torch import nn
from torch.utils.data import BatchSampler, ConcatDataset, Subset

from course_utils.training import Checkpoint, fit
from course_utils.training.batch_stream import BatchStream
from course_utils.training.random_states import random_states, set_random_states


def stopped_and_resumed(path, make_batches=SOURCES["shuffled"], stops=(5,), **settings):
    for number, stop in enumerate(stops):
        with pytest.raises(Stopped):
            train(make_batches, seed=number, stop_after=stop, checkpoint=path, **settings)
    # Another seed: what is not in the checkpoint would show.
    return train(make_batches, seed=99, checkpoint=path, **settings)


def assert_same(found, wanted):
    assert torch.equal(found[0], wanted[0])
    assert found[1] == wanted[1]
    assert found[2] == wanted[2]


@pytest.mark.parametrize(
    ("source", "precision"),
    [*((source, "32-true") for source in SOURCES), ("shuffled", "bf16-mixed")],
)
def test_a_stopped_run_ends_bit_for_bit_like_an_undisturbed_one(tmp_path, source, precision):
    wanted = train(SOURCES[source], precision=precision)
    # Saved after 4 steps (at the end of a pass) and after 6 (within one).
    found = stopped_and_resumed(
        tmp_path / "run.pt", SOURCES[source], (5, 3), checkpoint_every=2, precision=precision
    )
    assert_same(found, wanted)
    assert len(found[1].loss) == STEPS
    assert found[1].metric("luck")[0] == [3, 6, 9, 11]


@pytest.mark.parametrize("stop", range(1, STEPS))
def test_every_step_is_a_good_one_to_stop_at(tmp_path, stop):
    found = stopped_and_resumed(tmp_path / "run.pt", stops=(stop,), checkpoint_every=1)
    assert_same(found, train())


def test_checkpoints_change_nothing_in_a_run_that_is_not_stopped(tmp_path):
    assert_same(train(checkpoint=tmp_path / "run.pt", checkpoint_every=1), train())


def test_a_finished_run_returns_its_weights_without_training_or_reading_data(tmp_path):
    path = tmp_path / "run.pt"
    wanted = train(checkpoint=path)

    def broken():
        class Unread(TransformedDataset):
            def __getitem__(self, index):
                raise AssertionError("no image is needed")

        return loader(Unread(), shuffle=True)

    written = path.stat().st_mtime_ns
    assert_same(train(broken, seed=7, stop_after=0, checkpoint=path), wanted)
    assert path.stat().st_mtime_ns == written


def test_without_a_number_the_run_is_saved_at_each_evaluation(tmp_path):
    path = tmp_path / "run.pt"
    with pytest.raises(Stopped):
        train(stop_after=8, checkpoint=path)
    assert Checkpoint.load(path).step == 6
    with pytest.raises(Stopped):
        train(stop_after=8, checkpoint=tmp_path / "other.pt", evaluate=None, evaluate_every=None)
    assert Checkpoint.load(tmp_path / "other.pt").step == 8  # a tenth of 11 steps: each


def test_the_folder_of_the_checkpoint_is_made(tmp_path):
    train(checkpoint=tmp_path / "new" / "folder" / "run.pt")
    assert Checkpoint.load(tmp_path / "new" / "folder" / "run.pt").step == STEPS


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"steps": 12}, "steps is 11 in the file and 12 in this call"),
        ({"learning_rate": 0.02}, "learning_rate is 0.01 in the file and 0.02 in this call"),
        ({"weight_decay": 0.0}, "weight_decay is 0.0001"),
        ({"precision": "bf16-mixed"}, "precision is '32-true' in the file and 'bf16-mixed'"),
        ({"evaluate_every": 4}, "evaluate_every is 3"),
        ({"settings": {"seed": 1}}, "seed is 0 in the file and 1 in this call"),
        ({"settings": {}}, "seed is in the file and not in this call"),
        ({"make_batches": SOURCES["list"]}, "samples is 15 in the file and None"),
        (
            {"make_batches": SOURCES["two workers"]},
            "workers is 0 in the file and 2 in this call",
        ),
        (
            {"make_batches": lambda: loader(TransformedDataset(), batch_size=5)},
            "samples_per_batch is 4 in the file and 5",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_kept(tmp_path, changed, said):
    path = tmp_path / "run.pt"
    first = {"settings": {"seed": 0}, "checkpoint": path}
    with pytest.raises(Stopped):
        train(stop_after=7, **first)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=said) as error:
        train(**{**first, **changed})
    assert "Delete the file or choose another path" in str(error.value)
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_network_is_refused_with_its_shapes(tmp_path):
    path = tmp_path / "run.pt"
    train(checkpoint=path)
    other = network()
    other[5] = nn.Conv2d(8, 3, 1)
    other.append(nn.PReLU())
    with pytest.raises(ValueError, match="another run") as error:
        fit(other, SOURCES["shuffled"](), nn.CrossEntropyLoss(), steps=11, checkpoint=path)
    assert "5.weight is [1, 8, 1, 1] in the file and [3, 8, 1, 1] in this call" in str(error.value)
    assert "layer 5 is 'Conv2d(8, 1" in str(error.value)
    assert "and 3 more" in str(error.value)


def with_dropout(share):
    model = network()
    model[3] = nn.Dropout(share)
    return model


def frozen():
    model = network()
    model[0].requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("make_model", "said"),
    [
        (
            lambda: with_dropout(0.5),
            r"layer 3 is 'Dropout\(p=0.3, inplace=False\)' in the file and 'Dropout\(p=0.5",
        ),
        (frozen, "0.weight.requires_grad is True in the file and False in this call"),
        (
            lambda: nn.Sequential(*network()[:4], nn.Identity(), network()[5]),
            "layer 4 is 'HiddenBuffer",
        ),
    ],
)
def test_a_network_of_the_same_shapes_and_another_architecture_is_refused(
    tmp_path, make_model, said
):
    path = tmp_path / "run.pt"
    plain = {"make_model": network, "checkpoint": path}
    with pytest.raises(Stopped):
        train(stop_after=7, **plain)
    with pytest.raises(ValueError, match=said):
        train(**{**plain, "make_model": make_model})


class GrowingLoss(nn.Module):
    """A loss that changes from call to call, by what it keeps in buffers of both kinds."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.grown = HiddenBuffer()

    def forward(self, logits, mask):
        self.calls += 1
        return cross_entropy(logits, mask) * self.grown(self.calls)


class StoppedLoss(GrowingLoss):
    def forward(self, logits, mask):
        if self.calls == 7:
            raise Stopped
        return super().forward(logits, mask)


def test_a_loss_with_a_state_goes_on_with_it(tmp_path):
    def run(loss, seed=0, **settings):
        torch.manual_seed(seed)
        model = network()
        batches = loader(TransformedDataset(), shuffle=True, generator=torch.Generator())
        fit(model, batches, loss, steps=STEPS, device="cpu", **settings)
        return weights(model), weights(loss)

    where = {"checkpoint": tmp_path / "run.pt", "checkpoint_every": 2}
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    wanted = run(GrowingLoss())
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    with pytest.raises(Stopped):
        run(StoppedLoss(), **where)
    found = run(GrowingLoss(), seed=9, **where)
    assert all(map(torch.equal, found, wanted))
    with pytest.raises(ValueError, match="loss_function's calls is in the file and not in this"):
        run(nn.BCEWithLogitsLoss(), **where)


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        (lambda: iter([1]), "list_iterator, which runs only once"),
        (
            lambda: loader(TransformedDataset(), num_workers=1, persistent_workers=True),
            "persistent_workers=False",
        ),
    ],
)
def test_batches_whose_place_cannot_be_found_again_are_refused(tmp_path, batches, said):
    with pytest.raises(ValueError, match=said):
        train(batches, checkpoint=tmp_path / "run.pt")
    assert not list(tmp_path.iterdir())


def test_a_sampler_state_that_cannot_be_stored_is_refused_by_name(tmp_path):
    class Keeps(LeastSeen):
        def state_dict(self):
            return {"drawn": [np.zeros(3)]}

    with pytest.raises(ValueError, match=r"Keeps.state_dict\(\)\['drawn'\].* got ndarray"):
        train(
            lambda: loader(TransformedDataset(), sampler=Keeps(15)), checkpoint=tmp_path / "run.pt"
        )


def test_a_data_set_that_became_smaller_is_refused():
    batches = list(loader(TransformedDataset()))
    place = BatchStream(batches, notes=True)
    for _ in range(4):
        next(place)
    with pytest.raises(ValueError, match="at least 4 batches and now has 3"):
        BatchStream(batches[:3], notes=True).go_to(place.place())


class Inverted(TransformedDataset):
    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample._replace(image=1 - sample.image)


class OtherMasks(TransformedDataset):
    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample._replace(mask=1 - sample.mask) if index == 0 else sample


@pytest.mark.parametrize(
    "make_batches",
    [
        lambda: loader(Inverted(), shuffle=True),
        lambda: loader(OtherMasks(), shuffle=True),
        lambda: loader(TransformedDataset()),
    ],
)
def test_other_batches_than_before_are_refused(tmp_path, make_batches):
    path = tmp_path / "run.pt"
    with pytest.raises(Stopped):
        train(stop_after=3, checkpoint=path, checkpoint_every=1)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"batches are other ones than before.*delete the check"):
        train(make_batches, checkpoint=path, checkpoint_every=1)
    assert path.read_bytes() == before


def test_noise_whose_generator_cannot_be_found_is_refused(tmp_path):
    class Hidden(Shaken):
        def __init__(self):
            super().__init__()
            self.transform.rngs.append(random.SystemRandom())
            self.transform.rngs = [self.transform.rngs]

        def __getitem__(self, index):
            sample = TransformedDataset.__getitem__(self, index)
            return sample._replace(image=sample.image + self.transform.rngs[0][0].random())

    with pytest.raises(Stopped):
        train(lambda: loader(Hidden()), stop_after=7, checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match="batches are other ones than before"):
        train(lambda: loader(Hidden()), checkpoint=tmp_path / "run.pt")


class Adapted(LeastSeen):
    """Draws in an order that stands from the start of a pass, and is changed from outside."""

    def __iter__(self):
        return iter(self.drawn.argsort().tolist())


def test_a_sampler_that_an_evaluation_changes_goes_on_changed(tmp_path):
    def run(**settings):
        sampler = Adapted(15)
        sampler.drawn += torch.arange(15)

        def evaluate(_):
            sampler.drawn = sampler.drawn.roll(4)
            return {}

        return train(
            lambda: loader(TransformedDataset(), sampler=sampler), evaluate=evaluate, **settings
        )

    wanted = run()
    with pytest.raises(Stopped):
        run(stop_after=7, checkpoint=tmp_path / "run.pt")  # within a pass, after two evaluations
    assert_same(run(seed=9, checkpoint=tmp_path / "run.pt"), wanted)


def test_other_generators_than_before_are_refused():
    place = BatchStream(loader(TransformedDataset(), generator=torch.Generator()), notes=True)
    next(place)
    with pytest.raises(ValueError, match=r"generators \['torch'\] and now have \[\]"):
        BatchStream(loader(TransformedDataset()), notes=True).go_to(place.place())


@settings(max_examples=30)
@given(used=st.integers(0, 12), seed=st.integers(0, 5))
def test_a_stream_goes_on_from_any_place(used, seed):
    def stream():
        rng = torch.Generator().manual_seed(seed)
        both = ConcatDataset([TransformedDataset(), Subset(TransformedDataset(), [2, 1])])
        sampler = LeastSeen(17)
        sampler.rng = np.random.default_rng(seed)
        batches = BatchSampler(sampler, 5, drop_last=False)
        return BatchStream(
            torch.utils.data.DataLoader(both, batch_sampler=batches, generator=rng), notes=True
        )

    torch.manual_seed(seed)
    first = stream()
    for _ in range(used + 1):
        next(first)
    place = first.place()
    wanted = [next(first) for _ in range(6)]
    second = stream()
    second.go_to(place)
    for batch in wanted:
        found = next(second)
        assert torch.equal(found.image, batch.image)
        assert list(found.name) == list(batch.name)


@pytest.mark.parametrize(
    "kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64]
)
def test_the_state_of_every_numpy_generator_survives_a_file(tmp_path, kind):
    rng = np.random.Generator(kind(3))
    rng.integers(10, size=7, dtype=np.uint8)
    torch.save(random_states("cpu", [rng]), tmp_path / "states.pt")
    wanted = rng.random(5), np.random.rand()  # noqa: NPY002
    set_random_states(torch.load(tmp_path / "states.pt", weights_only=True), "cpu", [rng])
    assert np.array_equal(rng.random(5), wanted[0])
    assert np.random.rand() == wanted[1]  # noqa: NPY002


def test_samplers_are_told_the_number_of_each_pass(tmp_path):
    told = []
    batches = SimpleNamespace(set_epoch=told.append)

    class Told(list):
        set_epoch = staticmethod(batches.set_epoch)

    make = lambda: Told(loader(TransformedDataset()))  # noqa: E731
    train(make)
    assert told == [0, 1, 2]
    told.clear()
    with pytest.raises(Stopped):
        train(make, stop_after=6, checkpoint=tmp_path / "run.pt")
    told.clear()
    train(make, checkpoint=tmp_path / "run.pt")
    assert told == [1, 2]
