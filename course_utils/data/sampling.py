"""Which images come in an epoch: as many good as defective ones, or half of them simulated.

Source: Božič, Tabernik, Skočaj, "End-to-end training of a two-stage neural network for defect
detection", ICPR 2020 (arXiv 2007.07676), frequency-of-use sampling. They draw with a probability
that falls with use; taking the least used ones is simpler and more even.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from course_utils.config import check_seed
from course_utils.data.augmentation import SimulatedAnomalies

Rule = Literal["least_used", "uniform"]


class FrequencyOfUseSampler(Sampler[int]):
    """Indices of good and defective images by turns: all defective ones, as many good ones.

    Args:
        labels: of each image of the data set; 0 is good, all else defective.
        seed: of all random numbers.
        rule: `"least_used"`: good images that were used least, at random among equals; after any
            number of epochs their uses differ by at most 1. `"uniform"`: any good images, at
            random, none twice in an epoch; over 50 epochs of 33 from 230, some are used twice and
            others 16 times.

    An epoch begins with a good image; its order is random. Where there are fewer good images than
    defective ones, all of them come in each epoch, and some again.

    An order depends on the seed, the epoch and `uses`. The epoch is 0 when the sampler is first
    started, 1 at the next start, and so on. `set_epoch(epoch)` says which one comes next:
    `course_utils.training.fit` calls it. Images count as used when their epoch starts.
    `state_dict()` and `load_state_dict(state)` save and restore the state: `fit` keeps them in
    its checkpoint.

    Raises:
        ValueError: if there are no good or no defective images.

    Example:
        >>> sampler = FrequencyOfUseSampler([0, 0, 0, 0, 1, 1])
        >>> first, second = list(sampler), list(sampler)
        >>> sorted(first[1::2]), sorted(first[0::2] + second[0::2])
        ([4, 5], [0, 1, 2, 3])
        >>> sampler.uses
        tensor([1, 1, 1, 1])
    """

    def __init__(
        self, labels: Sequence[int] | Tensor, *, seed: int = 0, rule: Rule = "least_used"
    ) -> None:
        if rule not in get_args(Rule):
            raise ValueError(f"rule must be one of {get_args(Rule)}, got {rule!r}")
        good = torch.as_tensor(labels) == 0
        if good.ndim != 1 or not good.any() or good.all():
            raise ValueError(
                "labels must hold 0 (good) and others (defective), got "
                f"{int(good.sum())} good of {good.numel()} images"
            )
        self.seed, self.rule = check_seed(seed), rule
        self.good: list[int] = good.nonzero().flatten().tolist()
        self.defective: list[int] = (~good).nonzero().flatten().tolist()
        self._uses = np.zeros(len(self.good), np.int64)
        self._epoch = 0

    @property
    def uses(self) -> Tensor:
        """int64, (len(good),): how often each image of `good` was used, in that order."""
        return torch.from_numpy(self._uses.copy())

    def __len__(self) -> int:
        return 2 * len(self.defective)

    def set_epoch(self, epoch: int) -> None:
        """Let the next start be that of `epoch`."""
        self._epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """Return the next epoch and the uses."""
        return {"epoch": self._epoch, "uses": self.uses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state_dict` returned.

        Raises:
            ValueError: if that was with another number of good images.
        """
        uses = torch.as_tensor(state["uses"], dtype=torch.int64).cpu().numpy().copy()
        if uses.shape != self._uses.shape:
            raise ValueError(
                f"the state is of {uses.size} good images, and there are {len(self.good)}: "
                "build the sampler with the same labels"
            )
        self._epoch, self._uses = int(state["epoch"]), uses

    def __iter__(self) -> Iterator[int]:
        # A generator, so that an epoch starts with its first index: a DataLoader with workers calls
        # `iter` twice and drops the first.
        rng = np.random.default_rng([self.seed, self._epoch])
        self._epoch += 1
        defective = rng.permutation(self.defective).tolist()
        chosen = self._choose(len(defective), rng)
        np.add.at(self._uses, chosen, 1)
        for position, index in zip(chosen.tolist(), defective, strict=True):
            yield self.good[position]
            yield index

    def _choose(self, wanted: int, rng: np.random.Generator) -> np.ndarray:
        """Return positions in `good`, each `wanted // len(good)` times or more, in order of use."""
        whole, rest = divmod(wanted, len(self.good))
        rounds = [rng.permutation(len(self.good)) for _ in range(whole + 1)]
        last = rounds[-1]
        if self.rule == "least_used":
            last = last[np.argsort(self._uses[last], kind="stable")]
        # Shuffled, so that what was used least does not always stand first.
        rounds[-1] = rng.permutation(last[:rest])
        return np.concatenate(rounds)


class BalancedBatches(Sampler[list[tuple[int, int]]]):
    """Batches that are half good, half simulated: the `batch_sampler` for `SimulatedAnomalies`.

    Args:
        dataset: the data.
        batch_size: even; MemSeg's is 8, 4 good and 4 simulated images.

    In each epoch all images come once as they are and once with an anomaly, in two orders drawn
    independently; those that do not fill a last batch are left out. Good ones stand first, so
    that several devices that share a batch by turns get as many of each kind.

    Orders depend on the data's seed and the epoch, which is 0 when the batches are first started,
    1 at the next start, and so on. `set_epoch(epoch)` says which one comes next:
    `course_utils.training.EpochLoader` calls it, also when a training goes on.

    Raises:
        ValueError: for an odd batch size, or one that needs more images than there are.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> from course_utils.data import CachedDataset, open_dataset
        >>> surfaces = open_dataset("synthetic", size=64, length=40)
        >>> good = CachedDataset(surfaces, indices=[i for i in range(40) if surfaces[i].label == 0])
        >>> data = SimulatedAnomalies(good)
        >>> loader = DataLoader(data, batch_sampler=BalancedBatches(data, 8))
        >>> next(iter(loader)).label
        tensor([0, 0, 0, 0, 1, 1, 1, 1])
    """

    def __init__(self, dataset: SimulatedAnomalies, batch_size: int = 8) -> None:
        good = len(dataset) // 2
        if batch_size < 2 or batch_size % 2:
            raise ValueError(f"batch_size must be even and at least 2, got {batch_size}")
        if batch_size // 2 > good:
            raise ValueError(
                f"half a batch of {batch_size} is more than the {good} good images: lower it"
            )
        self._good, self._half, self._seed = good, batch_size // 2, dataset.seed
        self._epoch = 0

    def __len__(self) -> int:
        return self._good // self._half

    def set_epoch(self, epoch: int) -> None:
        """Let the next start be that of `epoch`."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        # A generator, so that an epoch starts with its first batch: a DataLoader with workers calls
        # `iter` twice and drops the first.
        epoch = self._epoch
        self._epoch += 1
        rng = np.random.default_rng([self._seed, epoch])
        good = rng.permutation(self._good)
        simulated = self._good + rng.permutation(self._good)
        for start in range(0, len(self) * self._half, self._half):
            stop = start + self._half
            yield [(epoch, int(i)) for part in (good, simulated) for i in part[start:stop]]
