"""A few small images, some with a bright square, and a tiny two-stage network to learn them."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from course_utils.data import Sample

HEIGHT, WIDTH = 64, 128  # the least that the two-stage network takes
CHANNELS = (2, 2, 2, 4)


class Squares(Dataset[Sample]):
    """Gray noise of 64 x 128 pixels; each third image, from the second on, has a bright square."""

    class_names = ("background", "defect")
    channels = 1
    split_note = "These images are noise."

    def __init__(self, count: int, seed: int = 0) -> None:
        self.samples = [_sample(i, seed) for i in range(count)]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def _sample(index: int, seed: int) -> Sample:
    rng = torch.Generator().manual_seed(1000 * seed + index)
    image: Tensor = 0.5 * torch.rand(1, HEIGHT, WIDTH, generator=rng)
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.long)
    if index % 3 == 1:
        top, left = (int(torch.randint(side - 24, (), generator=rng)) for side in (HEIGHT, WIDTH))
        mask[top : top + 20, left : left + 24] = 1
        mask[top : top + 8, left : left + 8] = 0  # an ellipse around it holds more
        image += 0.4 * mask
    return Sample(image, mask, int(mask.any()), f"{seed}", f"{seed}/{index:02d}")
