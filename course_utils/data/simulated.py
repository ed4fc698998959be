"""Good images, and the same with simulated anomalies: training data where there are no defects."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from course_utils.anomaly import AnomalySynthesizer, SimulatedAnomaly
from course_utils.anomaly.inputs import Image
from course_utils.data.any_defect import BinaryMasks
from course_utils.data.samples import DefectDataset, Sample


class SimulatedAnomalies(Dataset[Sample]):
    """The `n` good images of `dataset`, then the same `n` images with a simulated anomaly each.

    Args:
        dataset: a defect data set whose images are all good.
        synthesizer: makes the anomalies; also any function of its kind.
        seed: of all random numbers.

    Item `i` is image `i` as it is for `i < n`, and image `i - n` with an anomaly for `i >= n`.
    Masks are 0 (background) and 1 (anomaly).

    Each anomaly depends on the seed, the number of the pass and the index, and on nothing else:
    not on the order of access, nor on how many workers load. There is no state. `data[i]` is item
    `i` of pass 0 at every access, as it should be for validation; `data[2, i]` is the item of
    pass 2. `BalancedBatches` asks for a new pass each time it is started, and so do anomalies
    change from pass to pass.

    Raises:
        ValueError: when an image is not good or not in [0, 1], and as the synthesizer does.

    Example:
        >>> from course_utils.data import CachedDataset, open_dataset
        >>> surfaces = open_dataset("synthetic", size=64, length=40)
        >>> good = CachedDataset(surfaces, indices=[i for i in range(40) if surfaces[i].label == 0])
        >>> data = SimulatedAnomalies(good)
        >>> [data[i].label for i in (0, len(good))]
        [0, 1]
    """

    class_names = BinaryMasks.class_names

    def __init__(
        self,
        dataset: DefectDataset,
        synthesizer: Callable[[Image, np.random.Generator], SimulatedAnomaly] | None = None,
        *,
        seed: int = 0,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        self.dataset = dataset
        self.synthesizer = synthesizer or AnomalySynthesizer()
        self.seed = seed
        self.channels = dataset.channels
        self.split_note = dataset.split_note

    def __len__(self) -> int:
        return 2 * len(self.dataset)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        number, index = key if isinstance(key, tuple) else (0, key)
        good = len(self.dataset)
        if not 0 <= index < 2 * good:
            raise IndexError(f"index must lie in 0..{2 * good - 1}, got {index}")
        sample = self.dataset[index % good]
        if sample.label != 0:
            raise ValueError(
                f"anomalies are simulated on good images, and {sample.name!r} is labelled "
                f"{sample.label}: select the good images first"
            )
        if index < good:
            return sample
        if not bool(((sample.image >= 0) & (sample.image <= 1)).all()):
            raise ValueError(
                f"images must lie in [0, 1], got {sample.image.min():g}..{sample.image.max():g} in "
                f"{sample.name!r}: simulate first, normalise afterwards"
            )
        rng = np.random.default_rng([self.seed, number, index % good])
        image = (sample.image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        gray = image.shape[2] == 1
        anomaly = self.synthesizer(image[..., 0] if gray else np.ascontiguousarray(image), rng)
        mask = torch.from_numpy(anomaly.mask).long()
        made = torch.from_numpy(anomaly.image).reshape(image.shape).permute(2, 0, 1) / 255
        # Away from the mask the very same pixels, also where they lie between the 256 levels.
        return sample._replace(
            image=torch.where(mask.bool(), made, sample.image),
            mask=mask,
            label=1,
            name=f"{sample.name}, simulated",
        )


class BalancedBatches(Sampler[list[tuple[int, int]]]):
    """Batches that are half good, half simulated: the `batch_sampler` for `SimulatedAnomalies`.

    Args:
        dataset: the data.
        batch_size: even; MemSeg's is 8, 4 good and 4 simulated images.

    In each pass all images come once as they are and once with an anomaly, in two orders drawn
    independently; those that do not fill a last batch are left out. Good ones stand first, so
    that several devices that share a batch by turns get as many of each kind.

    Orders depend on the data's seed and the number of the pass. The pass is 0 when the batches
    are first started, 1 at the next start, and so on. `set_epoch(number)` says which one comes
    next: `course_utils.training.fit` calls it, also when it goes on from a checkpoint.

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
        self._pass = 0

    def __len__(self) -> int:
        return self._good // self._half

    def set_epoch(self, number: int) -> None:
        """Let the next start be that of pass `number`."""
        self._pass = number

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        # A generator, so that a pass starts with its first batch: a DataLoader with workers calls
        # `iter` twice and drops the first.
        number = self._pass
        self._pass += 1
        rng = np.random.default_rng([self._seed, number])
        good = rng.permutation(self._good)
        simulated = self._good + rng.permutation(self._good)
        for start in range(0, len(self) * self._half, self._half):
            stop = start + self._half
            yield [(number, int(i)) for part in (good, simulated) for i in part[start:stop]]
