from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from course_utils.data import Sample
from course_utils.losses import binary_focal_loss
from course_utils.models import SmallSegmenter
from course_utils.training import fit, predict_probabilities


def squares(count: int = 4) -> SimpleNamespace:
    """Dark images with one bright square, the defect."""
    rng = torch.Generator().manual_seed(0)
    image = 0.1 * torch.rand(count, 1, 32, 32, generator=rng)
    mask = torch.zeros(count, 32, 32, dtype=torch.long)
    for i in range(count):
        top, left = torch.randint(0, 24, (2,), generator=rng).tolist()
        image[i, 0, top : top + 8, left : left + 8] += 0.5
        mask[i, top : top + 8, left : left + 8] = 1
    return SimpleNamespace(image=image, mask=mask)


def samples_of(batch: SimpleNamespace) -> list[Sample]:
    pairs = zip(batch.image, batch.mask, strict=True)
    return [Sample(image, mask, 1, str(n), str(n)) for n, (image, mask) in enumerate(pairs)]


def focal(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return binary_focal_loss(logits, mask.unsqueeze(1), alpha=0.5, gamma=0)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_network_learns_to_find_bright_squares(precision):
    torch.manual_seed(0)
    model, batch = SmallSegmenter(1, 1, width=8), squares()
    history = fit(model, [batch], focal, steps=60, device="cpu", precision=precision)
    assert history.loss[-1] < 0.2 * history.loss[0]
    found = predict_probabilities(model, samples_of(batch))[0] > 0.5
    agreement = (found & (batch.mask == 1)).sum() / (found | (batch.mask == 1)).sum()
    assert agreement > 0.7


def test_the_learning_rate_rises_to_the_given_value_and_falls():
    model = SmallSegmenter(1, 1, width=4)
    rates = fit(model, [squares(2)], focal, steps=20, learning_rate=0.01, device="cpu")
    assert max(rates.learning_rate) == pytest.approx(0.01, rel=0.05)
    assert rates.learning_rate[0] < 0.001
    assert rates.learning_rate[-1] < 0.001


@pytest.mark.parametrize("steps", range(1, 12))
def test_every_number_of_steps_can_be_trained(steps):
    history = fit(SmallSegmenter(1, 1, width=4), [squares(2)], focal, steps=steps, device="cpu")
    assert len(history.loss) == steps
    assert all(0 < rate <= 0.01 for rate in history.learning_rate)


def test_evaluation_runs_on_schedule_and_after_the_last_step():
    model = SmallSegmenter(1, 1, width=4)
    modes = []

    def evaluate(m: nn.Module) -> dict[str, float]:
        modes.append((m.training, torch.is_grad_enabled()))
        return {"answer": 42.0}

    history = fit(
        model, [squares(2)], focal, steps=5, evaluate=evaluate, evaluate_every=2, device="cpu"
    )
    assert history.metric("answer") == ([2, 4, 5], [42.0] * 3)
    assert modes == [(False, False)] * 3


def test_an_image_of_nan_stops_training_and_names_the_step():
    good, bad = squares(2), squares(2)
    bad.image[0, 0, 0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="output is not finite at step 2 of 5"):
        fit(SmallSegmenter(1, 1, width=4), [good, bad], focal, steps=5, device="cpu")


def without_mean(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return binary_focal_loss(logits, mask.unsqueeze(1), reduction="none")


FEW = DataLoader(samples_of(squares(3)), batch_size=4, drop_last=True)


@pytest.mark.parametrize(
    ("batches", "loss", "settings", "said"),
    [
        ([squares(2)], without_mean, {}, "must return a scalar"),
        (iter([squares(2)]), focal, {}, "no batches"),
        (FEW, focal, {}, "smaller than the batch size with drop_last=True"),
        ([squares(2)], focal, {"steps": 0}, "must be at least 1"),
        ([squares(2)], focal, {"evaluate_every": 1}, "must be at least 1"),
    ],
)
def test_what_cannot_be_trained_is_refused(batches, loss, settings, said):
    with pytest.raises(ValueError, match=said):
        fit(SmallSegmenter(1, 1, width=4), batches, loss, device="cpu", **{"steps": 2, **settings})


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 8, 8), (1, 1, 7, 8)])
def test_wrong_image_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="got"):
        SmallSegmenter(1, 1)(torch.zeros(shape))


def test_predict_keeps_the_order_the_mode_and_gives_probabilities():
    model = SmallSegmenter(1, 3, width=4).train()
    batch = squares(5)
    p, masks = predict_probabilities(model, samples_of(batch), batch_size=2)
    assert model.training
    assert p.shape == (5, 3, 32, 32)
    torch.testing.assert_close(p.sum(1), torch.ones(5, 32, 32))
    assert torch.equal(masks, batch.mask)


def test_predict_leaves_each_part_in_its_mode_and_draws_nothing():
    model = SmallSegmenter(1, 1, width=4).train()
    frozen = next(part for part in model.modules() if isinstance(part, nn.BatchNorm2d)).eval()
    before = torch.get_rng_state()
    predict_probabilities(model, samples_of(squares()))
    assert model.training
    assert not frozen.training
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16-true", torch.bfloat16), ("64-true", torch.float64)]
)
def test_true_precisions_can_be_evaluated(precision, dtype):
    model, batch = SmallSegmenter(1, 1, width=4), squares()

    def evaluate(network):
        found = predict_probabilities(network, samples_of(batch))[0]
        return {"p": found.mean(), "float32": found.dtype == torch.float32}

    history = fit(model, [batch], focal, steps=2, evaluate=evaluate, precision=precision)
    assert next(model.parameters()).dtype == dtype
    assert 0 < history.evaluations[0]["p"] < 1
    assert history.evaluations[0]["float32"] == 1


def test_a_prior_sets_what_the_untrained_network_expects():
    model = SmallSegmenter(1, 4, prior=0.02)
    nn.init.zeros_(model.head.weight)
    p = model(torch.rand(1, 1, 8, 8)).softmax(1)
    torch.testing.assert_close(p[0, :, 0, 0], torch.tensor([0.98, 0.02 / 3, 0.02 / 3, 0.02 / 3]))
