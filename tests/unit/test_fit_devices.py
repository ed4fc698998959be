"""Two processes on the CPU stand for two GPUs. Functions that they call stand at the top level."""

import json

import pytest
import torch
from few_images import write_images
from stoppable_training import LeastSeen, Noisy, Stopped, cross_entropy, network, stopping, weights
from torch import nn
from two_stage_training import equal
from two_stage_training import train as train_on_targets

from course_utils.config import seed_everything
from course_utils.data import Sample
from course_utils.trainers import UNetConfig, UNetTrainer
from course_utils.training import Checkpoint, EpochLoader, fit, launch

LARGE = 1_000_000  # more than a pipe between processes holds
CPU = {"device": "cpu", "precision": "32-true"}


class Fixed(Noisy):
    """Images without noise, so that every process can be compared with one alone."""

    def __getitem__(self, index):
        image = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(index))
        return Sample(image, (image[0] > 0.6).long(), 1, "g", str(index))


def plain_network():
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))


def train_plainly(fabric):
    """Without batch normalization and dropout: the number of devices makes no difference."""
    seed_everything(0)
    model = plain_network()
    batches = EpochLoader(Fixed(), 4, sampler=LeastSeen(16))

    def evaluate(model):
        return {"rank": fabric.global_rank, "mean": float(weights(model).mean())}

    history = fit(model, batches, cross_entropy, steps=7, evaluate=evaluate, fabric=fabric)
    return weights(model), history


def train_resumed(fabric, path, stop_after, seed=0):
    """With everything that draws random numbers; stopped in both processes."""
    seed_everything(seed)
    model = network()
    where = {"checkpoint": path, "log_folder": path.parent / "log", "fabric": fabric}
    batches = EpochLoader(Noisy(16), 4, shuffle=True)
    history = fit(model, batches, stopping(stop_after), steps=9, checkpoint_every=2, **where)
    return weights(model), history


def trained_on_targets(fabric, folder):
    results = {"undisturbed": train_on_targets(fabric=fabric)}
    with pytest.raises(Stopped):
        train_on_targets(folder / "targets.pt", stop=4, fabric=fabric)
    fabric.barrier()
    results["resumed"] = train_on_targets(folder / "targets.pt", seed=9, fabric=fabric)
    return results


def everything_on_two(fabric, folder):
    """Do all that is compared below: processes take seconds to start."""
    results = {"plain": train_plainly(fabric)}
    results["undisturbed"] = train_resumed(fabric, folder / "undisturbed.pt", None)
    with pytest.raises(Stopped):
        train_resumed(fabric, folder / "stopped.pt", 7)
    fabric.barrier()
    results["resumed"] = train_resumed(fabric, folder / "stopped.pt", None, seed=5)
    dropped = nn.functional.dropout(torch.ones(64))
    results["differs"] = not torch.equal(fabric.broadcast(dropped), dropped)
    with pytest.raises(ValueError, match="batch of 3 cannot be shared evenly by 2"):
        fit(plain_network(), EpochLoader(Noisy(), 4), cross_entropy, steps=4, fabric=fabric)
    with pytest.raises(ValueError, match="share the batches of an EpochLoader, got list"):
        fit(plain_network(), [1], cross_entropy, steps=4, fabric=fabric)
    results["targets"] = trained_on_targets(fabric, folder)
    config = UNetConfig(
        data=f"folder:{folder / 'few'}", height=32, width=32, channels=2, steps=4, batch_size=4
    )
    results["scores"] = UNetTrainer.run_in_folder(fabric, config, folder / "run", 2, False)
    gathered = [None, None]
    torch.distributed.all_gather_object(gathered, results)
    return gathered, "x" * LARGE


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    write_images(folder / "few")
    found, large = launch(everything_on_two, folder, devices=2, **CPU)
    assert len(large) == LARGE
    return folder, found


def test_two_devices_take_the_steps_of_one(on_two):
    alone_weights, alone = launch(train_plainly, **CPU)
    for rank in (0, 1):
        found, history = on_two[1][rank]["plain"]
        torch.testing.assert_close(found, alone_weights, rtol=1e-4, atol=1e-6)
        assert history.loss == pytest.approx(alone.loss, rel=1e-5)
        assert history.learning_rate == alone.learning_rate


def test_both_have_the_same_weights_and_the_history_of_the_first(on_two):
    first, second = on_two[1]
    for run in ("plain", "undisturbed", "resumed"):
        assert first[run][1] == second[run][1]
        parameters = slice(0, -20)  # statistics of batch normalization are each device's own
        assert torch.equal(first[run][0][parameters], second[run][0][parameters])
    assert second["plain"][1].evaluations[0]["rank"] == 0


def test_a_run_on_two_devices_goes_on_bit_for_bit(on_two):
    for found in on_two[1]:
        assert found["resumed"][1] == found["undisturbed"][1]
    assert torch.equal(on_two[1][0]["resumed"][0], on_two[1][0]["undisturbed"][0])
    assert Checkpoint.load(on_two[0] / "stopped.pt").step == 9


def test_devices_draw_random_numbers_of_their_own(on_two):
    assert [found["differs"] for found in on_two[1]] == [False, True]


def test_a_checkpoint_of_two_processes_is_refused_by_one(on_two):
    with pytest.raises(ValueError, match="processes is 2 in the file and 1 in this call"):
        launch(train_resumed, on_two[0] / "stopped.pt", None, **CPU)


def test_two_processes_share_the_images_that_one_takes(on_two):
    alone, order = train_on_targets()
    targets = [found["targets"] for found in on_two[1]]
    shares = [found["undisturbed"][1] for found in targets]
    assert [name for pair in zip(*shares, strict=True) for name in pair] == order
    for found in targets:
        _, losses, *rest = found["undisturbed"][0]
        assert losses[:4] == pytest.approx(alone[1][:4], rel=1e-5)
        # Gradients are summed in another order, and what maxima choose turns that into more.
        assert losses == pytest.approx(alone[1], rel=0.02)
        assert rest == list(alone[2:])


def test_a_sampler_and_a_loss_with_a_memory_go_on_bit_for_bit(on_two):
    for found in on_two[1]:
        assert equal(found["targets"]["resumed"][0], found["targets"]["undisturbed"][0])


def test_two_processes_train_in_one_folder(on_two):
    folder, found = on_two
    report = json.loads((folder / "run" / "scores.json").read_text())
    assert (report["processes"], report["device"]) == (2, "cpu")
    assert Checkpoint.load(folder / "run" / "checkpoint.pt").step == 4
    assert found[0]["scores"] == report["scores"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"devices": 0}, "at least 1"),
        ({"devices": "two"}, "or \"auto\", got 'two'"),
        ({"device": "gpu"}, "device 'gpu' cannot be used here"),
    ],
)
def test_devices_that_cannot_be_are_refused(settings, said, monkeypatch):
    with pytest.raises(ValueError, match=said):
        launch(train_plainly, **{"device": "cpu", **settings})
    monkeypatch.setattr("course_utils.training.devices.pick_device", torch.device)
    with pytest.raises(ValueError, match="cuda:1 is one device"):
        launch(train_plainly, device="cuda:1", devices=2)


def test_fit_refuses_a_device_beside_a_fabric():
    def both(fabric):
        fit(plain_network(), [1], cross_entropy, steps=1, fabric=fabric, device="cpu")

    with pytest.raises(ValueError, match="give these to launch"):
        launch(both, **CPU)
