"""As many good images as defective ones in each pass, those that were used least.

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

Rule = Literal["least_used", "uniform"]


class FrequencyOfUseSampler(Sampler[int]):
    """Indices of good and defective images by turns: all defective ones, as many good ones.

    Args:
        labels: of each image of the data set; 0 is good, all else defective.
        seed: of all random numbers.
        rule: `"least_used"`: good images that were used least, at random among equals; after any
            number of passes their uses differ by at most 1. `"uniform"`: any good images, at
            random, none twice in a pass; over 50 passes of 33 from 230, some are used twice and
            others 16 times.

    A pass begins with a good image; its order is random. Where there are fewer good images than
    defective ones, all of them come in each pass, and some again.

    An order depends on the seed, the number of the pass and `uses`. The pass is 0 when the
    sampler is first started, 1 at the next start, and so on. `set_epoch(number)` says which one
    comes next: `course_utils.training.fit` calls it. A pass counts as used when it starts.
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
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        if rule not in get_args(Rule):
            raise ValueError(f"rule must be one of {get_args(Rule)}, got {rule!r}")
        good = torch.as_tensor(labels) == 0
        if good.ndim != 1 or not good.any() or good.all():
            raise ValueError(
                "labels must hold 0 (good) and others (defective), got "
                f"{int(good.sum())} good of {good.numel()} images"
            )
        self.seed, self.rule = seed, rule
        self.good: list[int] = good.nonzero().flatten().tolist()
        self.defective: list[int] = (~good).nonzero().flatten().tolist()
        self._uses = np.zeros(len(self.good), np.int64)
        self._pass = 0

    @property
    def uses(self) -> Tensor:
        """int64, (len(good),): how often each image of `good` was used, in that order."""
        return torch.from_numpy(self._uses.copy())

    def __len__(self) -> int:
        return 2 * len(self.defective)

    def set_epoch(self, number: int) -> None:
        """Let the next start be that of pass `number`."""
        self._pass = number

    def state_dict(self) -> dict[str, Any]:
        """Return the number of the next pass and the uses."""
        return {"pass": self._pass, "uses": self.uses}

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
        self._pass, self._uses = int(state["pass"]), uses

    def __iter__(self) -> Iterator[int]:
        # A generator, so that a pass starts with its first index: a DataLoader with workers calls
        # `iter` twice and drops the first.
        rng = np.random.default_rng([self.seed, self._pass])
        self._pass += 1
        defective = rng.permutation(self.defective).tolist()
        chosen = self._choose(len(defective), rng)
        np.add.at(self._uses, chosen, 1)
        for place, index in zip(chosen.tolist(), defective, strict=True):
            yield self.good[place]
            yield index

    def _choose(self, wanted: int, rng: np.random.Generator) -> np.ndarray:
        """Places in `good`, in the order of their use; each `wanted // len(good)` times or more."""
        whole, rest = divmod(wanted, len(self.good))
        rounds = [rng.permutation(len(self.good)) for _ in range(whole + 1)]
        last = rounds[-1]
        if self.rule == "least_used":
            last = last[np.argsort(self._uses[last], kind="stable")]
        # Shuffled, so that what was used least does not always stand first.
        rounds[-1] = rng.permutation(last[:rest])
        return np.concatenate(rounds)
