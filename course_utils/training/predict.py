"""Run a trained network over a data set."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from course_utils.training.batch import image_and_target
from course_utils.training.tiles import predict_in_tiles


def predict_probabilities(
    model: nn.Module, dataset: Dataset[Any], *, batch_size: int = 16, tile: int = 0
) -> tuple[Tensor, Tensor]:
    """Return the probabilities and the masks of every image, of `Sample`s or pairs (image, mask).

    A network with one output channel gives the probability of a defect, (N, H, W); one with more
    gives the probability of each class, (N, C, H, W). Masks are (N, H, W), int64. Both are on the
    CPU, in float32 and in the order of the data set. The network and each of its parts are left in
    the mode they were in. With `tile`, large images are shown to the network one by one, and in
    `batch_size` square tiles of this side at a time, see `predict_in_tiles`.

    Example:
        >>> from course_utils.data import Sample
        >>> image, mask = torch.zeros(1, 4, 4), torch.zeros(4, 4, dtype=torch.long)
        >>> samples = [Sample(image, mask, 0, "a", "a"), Sample(image, mask, 0, "b", "b")]
        >>> probabilities, masks = predict_probabilities(nn.Conv2d(1, 1, 1), samples)
        >>> probabilities.shape, masks.shape
        (torch.Size([2, 4, 4]), torch.Size([2, 4, 4]))
    """
    weights = next(model.parameters())
    probabilities: list[Tensor] = []
    masks: list[Any] = []
    # A loader draws from torch's global numbers even if it shuffles nothing: an evaluation of the
    # validation images would then change the training that goes on after it.
    images = 1 if tile else batch_size
    loader = DataLoader(dataset, batch_size=images, generator=torch.Generator())
    with evaluating(model):
        for batch in loader:
            image, mask = image_and_target(batch)
            image = image.to(weights.device, weights.dtype)
            image = image.contiguous(memory_format=torch.channels_last)
            logits = predict_in_tiles(model, image, tile, batch_size=batch_size).float()
            p = logits.sigmoid().squeeze(1) if logits.shape[1] == 1 else logits.softmax(1)
            probabilities.append(p.cpu())
            masks.append(mask)
    if not masks:
        raise ValueError("there is nothing to predict: the data set is empty")
    return torch.cat(probabilities), torch.cat(masks)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` into eval mode without gradients, and each of its parts back afterwards.

    Example:
        >>> model = nn.Dropout()
        >>> with evaluating(model):
        ...     model.training
        False
        >>> model.training
        True
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
