"""A run that was stopped ends as if it had never been."""

import pytest
import torch
from stoppable_training import (
    STEPS,
    HiddenBuffer,
    Noisy,
    Stopped,
    cross_entropy,
    network,
    remembering,
    same,
    shuffled,
    train,
    weights,
)
from torch import nn
from torch.utils.data import DataLoader

from course_utils.training import Checkpoint, EpochLoader, fit


def stopped_and_resumed(path, make_batches=shuffled, stops=(5,), **settings):
    for number, stop in enumerate(stops):
        with pytest.raises(Stopped):
            train(make_batches, seed=number, stop_after=stop, checkpoint=path, **settings)
    # Another seed: what is not in the checkpoint would show.
    return train(make_batches, seed=99, checkpoint=path, **settings)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("make_batches", "precision"),
    [
        (shuffled, "32-true"),
        (shuffled, "bf16-mixed"),
        (remembering, "32-true"),
        (lambda: shuffled(workers=2), "32-true"),
    ],
)
def test_a_stopped_run_ends_bit_for_bit_like_an_undisturbed_one(tmp_path, make_batches, precision):
    wanted = train(make_batches, precision=precision)
    # Saved after 4 steps (at the end of an epoch) and after 6 (within one).
    found = stopped_and_resumed(
        tmp_path / "run.pt", make_batches, (5, 3), checkpoint_every=2, precision=precision
    )
    assert same(found, wanted)
    assert len(found[1].loss) == STEPS
    assert found[1].metric("luck")[0] == [3, 6, 9, 11]


@pytest.mark.parametrize("stop", range(1, STEPS))
def test_every_step_is_a_good_one_to_stop_at(tmp_path, stop):
    found = stopped_and_resumed(tmp_path / "run.pt", stops=(stop,), checkpoint_every=1)
    assert same(found, train())


def test_checkpoints_change_nothing_in_a_run_that_is_not_stopped(tmp_path):
    assert same(train(checkpoint=tmp_path / "run.pt", checkpoint_every=1), train())


def test_a_finished_run_returns_its_weights_without_training_or_reading_data(tmp_path):
    path = tmp_path / "run.pt"
    wanted = train(checkpoint=path)

    class Unread(Noisy):
        def __getitem__(self, index):
            raise AssertionError("no image is needed")

    written = path.stat().st_mtime_ns
    found = train(lambda: shuffled(Unread()), seed=7, stop_after=0, checkpoint=path)
    assert same(found, wanted)
    assert path.stat().st_mtime_ns == written


def test_other_batches_train_as_well_and_say_that_they_start_anew(tmp_path):
    path = tmp_path / "run.pt"

    def make():
        return DataLoader(Noisy(), batch_size=4, shuffle=True)

    with (
        pytest.warns(UserWarning, match="place in a DataLoader cannot be found again"),
        pytest.raises(Stopped),
    ):
        train(make, stop_after=7, checkpoint=path)
    with pytest.warns(UserWarning, match="starts a new pass; with an EpochLoader"):
        history = train(make, checkpoint=path)[1]
    assert len(history.loss) == STEPS
    assert history.metric("luck")[0] == [3, 6, 9, 11]


def test_without_a_number_the_run_is_saved_at_each_evaluation(tmp_path):
    path = tmp_path / "new" / "run.pt"  # the folder is made
    with pytest.raises(Stopped):
        train(stop_after=8, checkpoint=path)
    assert Checkpoint.load(path).step == 6
    with pytest.raises(Stopped):
        train(stop_after=8, checkpoint=tmp_path / "other.pt", evaluate=None, evaluate_every=None)
    assert Checkpoint.load(tmp_path / "other.pt").step == 8  # a tenth of 11 steps: each


@pytest.mark.filterwarnings("ignore:the place in a list")
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
        ({"make_batches": lambda: shuffled(Noisy(14))}, "samples is 15 in the file and 14"),
        ({"make_batches": lambda: EpochLoader(Noisy(), 5)}, "batches is 4 in the file and 3"),
        (
            {"make_batches": lambda: list(shuffled())},
            "loader is 'EpochLoader' in the file and 'list'",
        ),
        ({"optimizer": "sgd"}, "optimizer is 'adamw' in the file and 'sgd' in this call"),
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
    assert "choose another path, or delete the file to begin anew" in str(error.value)
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_network_is_refused_with_its_shapes(tmp_path):
    path = tmp_path / "run.pt"
    train(checkpoint=path)
    other = network()
    other[5] = nn.Conv2d(8, 3, 1)
    other.append(nn.PReLU())
    with pytest.raises(ValueError, match="another run") as error:
        fit(other, shuffled(), nn.CrossEntropyLoss(), steps=11, checkpoint=path)
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
            r"layer 3 is 'Dropout\(p=0.3.*' in the file and 'Dropout\(p=0.5",
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
        fit(model, shuffled(), loss, steps=STEPS, device="cpu", **settings)
        return weights(model), weights(loss)

    where = {"checkpoint": tmp_path / "run.pt", "checkpoint_every": 2}
    wanted = run(GrowingLoss())
    with pytest.raises(Stopped):
        run(StoppedLoss(), **where)
    found = run(GrowingLoss(), seed=9, **where)
    assert all(map(torch.equal, found, wanted))
    with pytest.raises(ValueError, match="loss_function's calls is in the file and not in this"):
        run(nn.BCEWithLogitsLoss(), **where)


def test_batches_hear_the_number_of_each_pass():
    heard = []

    class Hears(list):
        set_epoch = staticmethod(heard.append)

    train(lambda: Hears(shuffled()))
    assert heard == [0, 1, 2]
