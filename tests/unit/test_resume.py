"""A run that was stopped ends as if it had never been."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stoppable_training import (
    SOURCES,
    STEPS,
    Augmented,
    LeastSeen,
    Stopped,
    loader,
    network,
    train,
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


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("source", SOURCES)
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
        class Unread(Augmented):
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
    assert "6.weight is in this call and not in the file" in str(error.value)


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        (lambda: iter([1]), "list_iterator, which runs only once"),
        (
            lambda: loader(Augmented(), num_workers=1, persistent_workers=True),
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
        train(lambda: loader(Augmented(), sampler=Keeps(15)), checkpoint=tmp_path / "run.pt")


def test_a_data_set_that_became_smaller_is_refused():
    place = BatchStream([1, 2, 3], notes=True)
    for _ in range(3):
        next(place)
    with pytest.raises(ValueError, match="at least 3 batches and now has 2"):
        BatchStream([1, 2], notes=True).go_to(place.place())


def test_other_generators_than_before_are_refused():
    place = BatchStream(loader(Augmented(), generator=torch.Generator()), notes=True)
    next(place)
    with pytest.raises(ValueError, match=r"generators \['torch'\] and now have \[\]"):
        BatchStream(loader(Augmented()), notes=True).go_to(place.place())


@given(used=st.integers(0, 12), seed=st.integers(0, 5))
def test_a_stream_goes_on_from_any_place(used, seed):
    def stream():
        rng = torch.Generator().manual_seed(seed)
        both = ConcatDataset([Augmented(), Subset(Augmented(), [2, 1])])
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

    make = lambda: Told(loader(Augmented()))  # noqa: E731
    train(make)
    assert told == [0, 1, 2]
    told.clear()
    with pytest.raises(Stopped):
        train(make, stop_after=6, checkpoint=tmp_path / "run.pt")
    told.clear()
    train(make, checkpoint=tmp_path / "run.pt")
    assert told == [1, 2]
