"""Callbacks, logs, Ctrl-C and numbers that are not finite."""

import signal
import threading

import pytest
import torch
from stoppable_training import STEPS, Noisy, Stopped, cross_entropy, network, same, shuffled, train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from course_utils.training import Checkpoint, fit


@pytest.fixture(autouse=True)
def ctrl_c():
    """Programs that run in the background start with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_callback_sees_the_curve_grow():
    seen = []
    train(on_evaluation=lambda history: seen.append((len(history.loss), len(history.evaluations))))
    assert seen == [(3, 1), (6, 2), (9, 3), (11, 4)]


def test_a_callback_cannot_change_the_training():
    def meddles(history):
        torch.rand(7)
        history.loss.clear()
        history.evaluations[0]["luck"] = -1

    wanted, found = train(), train(on_evaluation=meddles)
    assert same(found, wanted)


def test_the_callback_sees_what_was_done_before_a_run_goes_on(tmp_path):
    path, seen = tmp_path / "run.pt", []
    with pytest.raises(Stopped):
        train(stop_after=7, checkpoint=path)
    train(checkpoint=path, on_evaluation=lambda history: seen.append(len(history.loss)))
    assert seen == [6, 9, 11]


def points(folder, tag):
    log = EventAccumulator(str(folder))
    log.Reload()
    return [(event.step, pytest.approx(event.value)) for event in log.Scalars(tag)]


def test_tensorboard_shows_the_curves_of_the_history(tmp_path):
    history = train(log_folder=tmp_path)[1]
    assert points(tmp_path, "loss") == list(enumerate(history.loss, start=1))
    assert points(tmp_path, "learning_rate") == list(enumerate(history.learning_rate, start=1))
    assert points(tmp_path, "evaluation/luck") == list(zip(*history.metric("luck"), strict=True))


def test_a_resumed_run_logs_every_step_once(tmp_path):
    where = {"checkpoint": tmp_path / "run.pt", "log_folder": tmp_path / "log"}
    for stop in (8, 1):
        with pytest.raises(Stopped):
            train(stop_after=stop, **where)
    history = train(**where)[1]
    assert points(tmp_path / "log", "loss") == list(enumerate(history.loss, start=1))
    assert [step for step, _ in points(tmp_path / "log", "evaluation/luck")] == [3, 6, 9, 11]


def test_what_a_checkpoint_has_passed_is_in_the_log_even_if_the_run_is_killed(tmp_path):
    logged = []

    def evaluate(model):
        logged.append(max(step for step, _ in points(tmp_path / "log", "loss")))
        return {"luck": 0.5}

    where = {"checkpoint": tmp_path / "run.pt", "log_folder": tmp_path / "log"}
    train(evaluate=evaluate, checkpoint_every=2, **where)
    assert all(found >= wanted for found, wanted in zip(logged, [2, 4, 8, 10], strict=True))


def interrupting(at):
    """A source whose data set sends Ctrl-C while it is read for the batch `at`."""

    class Sends(Noisy):
        read = 0

        def __getitem__(self, index):
            self.read += 1
            if self.read == 4 * at:
                signal.raise_signal(signal.SIGINT)
            return super().__getitem__(index)

    return lambda: shuffled(Sends())


def test_an_interrupt_while_data_are_read_saves_the_step_at_work(tmp_path):
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        train(interrupting(at=3), checkpoint=path, checkpoint_every=100)
    assert Checkpoint.load(path).step == 3
    wanted, found = train(), train(seed=9, checkpoint=path)
    assert same(found, wanted)


def test_an_interrupt_within_a_step_lets_it_finish_and_saves_it(tmp_path):
    path = tmp_path / "run.pt"
    calls = []

    def evaluate(model):
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return {"luck": torch.rand(())}

    settings = {"checkpoint": path, "checkpoint_every": 4, "evaluate": evaluate}
    with pytest.raises(KeyboardInterrupt):
        train(**settings)
    assert Checkpoint.load(path).step == 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    wanted, found = train(), train(seed=9, **settings)
    assert same(found, wanted)


def test_a_second_interrupt_stops_at_once_and_saves_no_half_step(tmp_path):
    path = tmp_path / "run.pt"

    def evaluate(model):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the second one stops here")

    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=path, checkpoint_every=2, evaluate=evaluate)
    assert Checkpoint.load(path).step == 2


def test_a_thread_trains_with_a_checkpoint(tmp_path):
    found = []
    thread = threading.Thread(target=lambda: found.append(train(checkpoint=tmp_path / "a.pt")))
    thread.start()
    thread.join()
    assert torch.equal(found[0][0], train()[0])


def test_a_loss_that_is_not_finite_leaves_the_last_good_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    calls = iter(range(100))

    def turns_bad(logits, mask):
        return cross_entropy(logits, mask) * (float("nan") if next(calls) == 4 else 1)

    def run(loss):
        torch.manual_seed(0)
        where = {"device": "cpu", "checkpoint": path, "checkpoint_every": 2}
        fit(network(), shuffled(), loss, steps=STEPS, **where)

    with pytest.raises(FloatingPointError, match="the loss is not finite at step 5 of 11"):
        run(turns_bad)
    saved = Checkpoint.load(path)
    assert saved.step == 4
    assert all(torch.isfinite(value).all() for value in saved.model.values())
    run(cross_entropy)
    assert Checkpoint.load(path).step == STEPS


class InfiniteGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("inf")


def test_weights_that_are_not_finite_are_named_and_never_saved(tmp_path):
    path = tmp_path / "run.pt"
    calls = iter(range(100))

    def turns_bad(logits, mask):
        loss = cross_entropy(logits, mask)
        return InfiniteGradient.apply(loss) if next(calls) == 3 else loss

    where = {"device": "cpu", "checkpoint": path, "checkpoint_every": 2}
    with pytest.raises(FloatingPointError, match=r"weights .* are not finite after step 4 of 11"):
        fit(network(), shuffled(), turns_bad, steps=STEPS, **where)
    assert Checkpoint.load(path).step == 2


class Overflowing(nn.Module):
    """A layer whose running mean overflows in its third step, and harms no weight."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.ones(()))

    def forward(self, image):
        if self.training:
            self.mean *= 1e13
        return image


def test_running_means_that_are_not_finite_are_never_saved(tmp_path):
    path = tmp_path / "run.pt"
    with pytest.raises(FloatingPointError, match=r"6\.mean are not finite after step 3 of 11"):
        train(
            make_model=lambda: network().append(Overflowing()), checkpoint=path, checkpoint_every=1
        )
    assert Checkpoint.load(path).step == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"checkpoint_every": 3}, "needs checkpoint"),
        ({"checkpoint": "run.pt", "checkpoint_every": 0}, "must be at least 1"),
        ({"on_evaluation": print, "evaluate": None, "evaluate_every": None}, "give evaluate"),
        ({"evaluate": lambda model: {"IoU": [1, 2]}}, r"got IoU=\[1, 2\]"),
        ({"evaluate": lambda model: None}, "must return numbers by name, .*got None"),
        ({"evaluate": lambda model: {"step": 7}}, 'none of them named "step", got'),
        ({"settings": {"steps": 3}}, "must not name 'steps'"),
        ({"settings": {"where": [1]}}, "where=.* of type list"),
    ],
)
def test_unusable_settings_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        train(**settings)
