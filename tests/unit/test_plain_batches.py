"""`fit` and predictions with what any torch data set gives: pairs of an image and its target."""

from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from stoppable_training import weights
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from course_utils.data import Sample
from course_utils.training import EpochLoader, fit, predict_probabilities
from course_utils.training.batch import image_and_target

CPU = {"device": "cpu", "precision": "32-true"}
IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
MASKS = (IMAGES > 0.6).float()


class Pair(NamedTuple):
    picture: Tensor
    truth: Tensor


class Pairs:
    """A data set in the style of torchvision."""

    def __init__(self, form=tuple):
        self.form = form

    def __len__(self):
        return 4

    def __getitem__(self, index):
        pair = IMAGES[index], MASKS[index]
        return self.form(*pair) if self.form is Pair else self.form(pair)


def trained(batches):
    torch.manual_seed(0)
    model = nn.Conv2d(1, 1, 3, padding=1)
    fit(model, batches, nn.BCEWithLogitsLoss(), steps=6, **CPU)
    return weights(model)


BATCHES = {
    "tuples of a list": lambda: [(IMAGES[:2], MASKS[:2]), (IMAGES[2:], MASKS[2:])],
    "lists of a list": lambda: [[IMAGES[:2], MASKS[:2]], [IMAGES[2:], MASKS[2:]]],
    "torch's loader": lambda: DataLoader(Pairs(), 2),
    "of lists": lambda: DataLoader(Pairs(list), 2),
    "of named tuples with other names": lambda: DataLoader(Pairs(Pair), 2),
    "of tensors": lambda: DataLoader(TensorDataset(IMAGES, MASKS), 2),
    "the course's loader": lambda: EpochLoader(Pairs(), 2),
}


@pytest.fixture(scope="module")
def with_names():
    named = [SimpleNamespace(image=IMAGES[i : i + 2], mask=MASKS[i : i + 2]) for i in (0, 2)]
    return trained(named)


@pytest.mark.parametrize("kind", BATCHES)
def test_pairs_train_the_same_weights_as_batches_with_names(kind, with_names):
    assert torch.equal(trained(BATCHES[kind]()), with_names)


def test_names_win_over_places():
    batch = Sample(IMAGES, MASKS, 0, "a", "a")
    assert image_and_target(batch)[1] is MASKS
    both = SimpleNamespace(image=IMAGES, mask=MASKS, target=(MASKS, MASKS))
    assert image_and_target(both)[1] == (MASKS, MASKS)


@pytest.mark.parametrize(
    ("batch", "got"),
    [
        (IMAGES, "Tensor of 4"),
        ((IMAGES,), "tuple of 1"),
        ((IMAGES, MASKS, MASKS), "tuple of 3"),
        ({"image": IMAGES, "mask": MASKS}, "dict of 2"),
        (SimpleNamespace(image=IMAGES), "namespace"),
        (7, "7"),
    ],
)
def test_a_batch_of_another_form_is_named(batch, got):
    with pytest.raises(TypeError, match=rf"a batch is a pair \(image, target\).*got a {got}"):
        fit(nn.Conv2d(1, 1, 1), [batch], nn.BCEWithLogitsLoss(), steps=1, **CPU)


def test_predictions_take_pairs():
    model = nn.Conv2d(1, 1, 1)
    samples = [Sample(image, mask, 0, "", "") for image, mask in zip(IMAGES, MASKS, strict=True)]
    for one, other in zip(
        predict_probabilities(model, Pairs()), predict_probabilities(model, samples), strict=True
    ):
        assert torch.equal(one, other)
