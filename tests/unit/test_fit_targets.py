"""`fit` with targets and outputs of several tensors, plain SGD, and a sampler with a memory."""

from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from stoppable_training import Stopped, weights
from tiny_defects import Squares
from torch import Tensor, nn

from course_utils.data import TwoStageTargets
from course_utils.losses import TwoStageTarget
from course_utils.models import TwoStageNet
from course_utils.training import EpochLoader, fit
from course_utils.training.batch import in_float32, tensors_in
from course_utils.training.fit import make_optimizer

CPU = {"device": "cpu", "precision": "32-true"}


class Both(NamedTuple):
    """What `TwoHeads` returns, and what it is to find."""

    map: Tensor
    decision: Tensor


class Item(NamedTuple):
    image: Tensor
    target: Both


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, image):
        found = self.head(image)
        return Both(found[:, :1], found[:, 1].mean(dim=(1, 2)))


def both_losses(output, target):
    loss = nn.functional.binary_cross_entropy_with_logits
    return loss(output.map, target.map) + loss(output.decision, target.decision)


def items(count=3):
    rng = torch.Generator().manual_seed(0)
    images = [torch.rand(2, 1, 8, 8, generator=rng) for _ in range(count)]
    return [Item(image, Both((image > 0.6).float(), image.mean((1, 2, 3)))) for image in images]


def two_heads():
    torch.manual_seed(0)
    return TwoHeads()


# Targets and outputs


def by_hand(model, batches, steps, rate, decay=0.0):
    """SGD from its formula; rates are powers of 2, so that no product is rounded."""
    model.to(memory_format=torch.channels_last)
    losses = []
    for step in range(steps):
        batch = batches[step % len(batches)]
        image = batch.image.contiguous(memory_format=torch.channels_last)
        loss = both_losses(model(image), batch.target)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for weight, gradient in zip(model.parameters(), gradients, strict=True):
                weight -= rate * (gradient + decay * weight)
    return losses


@pytest.mark.parametrize(("rate", "decay"), [(0.5, 0.0), (0.125, 0.25)])
def test_sgd_is_a_loop_written_by_hand_bit_for_bit(rate, decay):
    ours, wanted = two_heads(), two_heads()
    history = fit(
        ours, items(), both_losses,
        steps=7, optimizer="sgd", learning_rate=rate, weight_decay=decay, **CPU,
    )  # fmt: skip
    assert history.loss == by_hand(wanted, items(), 7, rate, decay)
    assert torch.equal(weights(ours), weights(wanted))
    assert history.learning_rate == [rate] * 7


def test_adamw_is_still_what_is_taken_if_nothing_is_said():
    plain, named = two_heads(), two_heads()
    fit(plain, items(), both_losses, steps=5, **CPU)
    fit(named, items(), both_losses, steps=5, optimizer="adamw", **CPU)
    assert torch.equal(weights(plain), weights(named))
    other = two_heads()
    fit(other, items(), both_losses, steps=5, optimizer="sgd", weight_decay=1e-4, **CPU)
    assert not torch.equal(weights(plain), weights(other))


def test_an_unknown_optimizer_is_refused_before_any_step():
    model = two_heads()
    with pytest.raises(ValueError, match='optimizer must be "adamw" or "sgd", got \'adam\''):
        fit(model, items(), both_losses, steps=1, optimizer="adam", **CPU)
    with pytest.raises(ValueError, match="got None"):
        make_optimizer(None, model, steps=1, learning_rate=1.0, weight_decay=0.0)
    assert torch.equal(weights(model), weights(two_heads()))


def test_each_tensor_of_the_output_reaches_the_loss_in_float32_under_its_name():
    seen = []

    def loss(output, target):
        seen.append((type(output), output.map.dtype, output.decision.dtype, type(target)))
        return both_losses(output, target)

    fit(two_heads(), items(), loss, steps=1, device="cpu", precision="bf16-mixed")
    assert seen == [(Both, torch.float32, torch.float32, Both)]


def test_a_target_goes_before_a_mask():
    batch = SimpleNamespace(
        image=torch.zeros(1, 1, 4, 4), mask=torch.zeros(3), target=torch.ones(1)
    )
    seen = []

    def loss(output, target):
        seen.append(target)
        return output.mean()

    fit(nn.Conv2d(1, 1, 1), [batch], loss, steps=1, **CPU)
    assert torch.equal(*seen, torch.ones(1))


def test_a_decision_that_is_not_finite_stops_the_training():
    class Broken(TwoHeads):
        def forward(self, image):
            return super().forward(image)._replace(decision=torch.tensor([0.0, float("nan")]))

    model = Broken()
    before = weights(model)
    with pytest.raises(FloatingPointError, match="network's output is not finite at step 1 of 3"):
        fit(model, items(), lambda output, _: output.map.mean(), steps=3, **CPU)
    assert torch.equal(weights(model), before)


@pytest.mark.parametrize("wrong", [{"out": torch.zeros(1)}, "logits", None, (torch.zeros(1), None)])
def test_what_is_neither_tensor_nor_tuple_is_named(wrong):
    name = type(wrong[1] if isinstance(wrong, tuple) else wrong).__name__
    for function in (tensors_in, in_float32):
        with pytest.raises(TypeError, match=f"must be tensors or tuples of them, got {name}"):
            function(wrong)


def test_tuples_in_tuples_keep_their_form_and_order():
    one, two, three = (torch.full((1,), float(i), dtype=torch.bfloat16) for i in range(3))
    nested = (one, Both(two, (three,)))
    assert [float(tensor) for tensor in tensors_in(nested)] == [0, 1, 2]
    found = in_float32(nested)
    assert isinstance(found[1], Both)
    assert isinstance(found[1].decision, tuple)
    assert {tensor.dtype for tensor in tensors_in(found)} == {torch.float32}


# Going on


class Changed(TwoStageTargets):
    """With one part of each target changed."""

    def __init__(self, part):
        super().__init__(Squares(4))
        self.part = part

    def __getitem__(self, index):
        item = super().__getitem__(index)
        part = getattr(item.target, self.part).clone()
        part.view(-1)[-1] = ~part.view(-1)[-1] if part.dtype == torch.bool else 0.25
        return item._replace(target=item.target._replace(**{self.part: part}))


def cells(output, target):
    return output.segmentation.mean() + output.decision.mean()


@pytest.mark.parametrize("change", [None, *TwoStageTarget._fields])
def test_a_change_of_any_part_of_a_target_is_noticed_when_a_run_goes_on(change, tmp_path):
    path = tmp_path / "run.pt"

    def stop(output, target):
        if path.exists():
            raise Stopped
        return cells(output, target)

    def run(targets, loss):
        model, batches = TwoStageNet(channels=(1, 1, 1, 1)), EpochLoader(targets, 2)
        fit(model, batches, loss, steps=2, checkpoint=path, checkpoint_every=1, **CPU)

    with pytest.raises(Stopped):
        run(TwoStageTargets(Squares(4)), stop)
    if change is None:
        run(TwoStageTargets(Squares(4)), cells)
        return
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"batches are other ones than before.*delete the check"):
        run(Changed(change), cells)
    assert path.read_bytes() == before
