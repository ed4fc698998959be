import pytest
import torch
from torch.utils.data import DataLoader

from course_utils.data import CachedDataset, DefectDataset, Sample, open_dataset


@pytest.fixture(scope="module")
def surfaces():
    return open_dataset("synthetic", "val", size=32, seed=1)


def test_it_holds_the_chosen_samples_in_the_given_order(surfaces):
    held = CachedDataset(surfaces, indices=[5, 2])
    assert [sample.name for sample in held.samples] == [surfaces[5].name, surfaces[2].name]
    assert torch.equal(held[1].image, surfaces[2].image)


def test_it_reads_each_sample_once(surfaces):
    reads = []

    class Counting:
        class_names, channels, split_note = ("background", "defect"), 3, "none"

        def __len__(self):
            return 4

        def __getitem__(self, index):
            reads.append(index)
            return surfaces[index]

    held = CachedDataset(Counting())
    reads.clear()
    for _ in range(3):
        assert len(list(DataLoader(held, batch_size=2))) == 2
    assert reads == []


def test_it_says_of_itself_what_the_data_set_says(surfaces):
    held = CachedDataset(surfaces, indices=[0])
    assert isinstance(held, DefectDataset)
    assert held.class_names == surfaces.class_names
    assert held.split_note == surfaces.split_note
    assert held.channels == surfaces.channels


def test_its_batches_are_samples_again(surfaces):
    batch = next(iter(DataLoader(CachedDataset(surfaces, indices=range(3)), batch_size=3)))
    assert isinstance(batch, Sample)
    assert batch.image.shape == (3, 3, 32, 32)
    assert len(batch.name) == 3


def test_indices_outside_the_data_set_are_refused(surfaces):
    with pytest.raises(IndexError, match=r"0\.\.199, got \[200\]"):
        CachedDataset(surfaces, indices=[0, 200])


def test_more_than_the_limit_is_refused_before_reading(surfaces):
    with pytest.raises(MemoryError, match="more than the limit"):
        CachedDataset(surfaces, limit=1e6)
