import torch
from torch.utils.data import DataLoader

from course_utils.data import BinaryMasks, DefectDataset, Sample, count_pixels, open_dataset


class FourClasses:
    class_names = ("background", "a", "b", "c")
    channels = 1
    split_note = "Made for this test."

    def __len__(self):
        return 4

    def __getitem__(self, index):
        mask = torch.zeros(4, 4, dtype=torch.long)
        mask[index, :index] = index
        return Sample(torch.full((1, 4, 4), index / 4), mask, index, f"g{index}", f"n{index}")


def test_every_class_of_defect_becomes_1():
    merged = BinaryMasks(FourClasses())
    for index, found in enumerate(merged[i] for i in range(4)):
        assert found.mask.dtype == torch.long
        assert found.mask.sum() == index
        assert set(found.mask.unique().tolist()) <= {0, 1}
        assert found.label == int(index > 0)
        assert type(found.label) is int


def test_image_group_and_name_stay():
    plain, merged = FourClasses()[3], BinaryMasks(FourClasses())[3]
    assert torch.equal(merged.image, plain.image)
    assert (merged.group, merged.name) == (plain.group, plain.name)


def test_the_data_set_itself_is_not_changed():
    surfaces = [FourClasses()[i] for i in range(4)]

    class Held(FourClasses):
        def __getitem__(self, index):
            return surfaces[index]

    BinaryMasks(Held())[3]
    assert surfaces[3].mask.max() == 3


def test_it_says_of_itself_what_the_data_set_says():
    merged = BinaryMasks(FourClasses())
    assert isinstance(merged, DefectDataset)
    assert (len(merged), merged.channels) == (4, 1)
    assert merged.split_note == "Made for this test."
    assert merged.class_names == ("background", "defect")


def test_its_batches_are_samples_again():
    batch = next(iter(DataLoader(BinaryMasks(FourClasses()), batch_size=4)))
    assert isinstance(batch, Sample)
    assert batch.label.tolist() == [0, 1, 1, 1]


def test_all_defect_pixels_are_counted_as_one_class():
    surfaces = open_dataset("synthetic", size=32, length=12)
    background, *defects = count_pixels(surfaces, 4)
    assert sum(defects) > 0
    assert count_pixels(BinaryMasks(surfaces), 2).tolist() == [background, sum(defects)]
