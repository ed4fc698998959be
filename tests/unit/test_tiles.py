"""Large images in tiles: no seam, nothing lost, and small defects that keep their pixels."""

from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from few_images import write_image
from torch import Tensor, nn

from course_utils.data import (
    CachedDataset,
    FrequencyOfUseSampler,
    Sample,
    SimulatedAnomalies,
    TiledDataset,
    open_dataset,
    tile_starts,
)
from course_utils.trainers import (
    MemSegConfig,
    MemSegTrainer,
    NearestPatchesConfig,
    NearestPatchesTrainer,
    Splits,
    TwoStageConfig,
    TwoStageTrainer,
    UNetConfig,
    UNetTrainer,
)
from course_utils.training import predict_in_tiles, predict_probabilities

CPU = {"device": "cpu", "precision": "32-true"}


class Large:
    """Dark noise of some size; every image with an odd number has a bright square of 4 pixels."""

    class_names = ("background", "defect")
    channels = 1
    split_note = "Made up."

    def __init__(self, count: int = 4, size: tuple[int, int] = (96, 160), seed: int = 0) -> None:
        self.count, self.size, self.seed = count, size, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if index >= self.count:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, index])
        image = torch.from_numpy(rng.random((1, *self.size), dtype=np.float32) / 2)
        mask = torch.zeros(self.size, dtype=torch.long)
        if index % 2:
            top, left = (int(rng.integers(side - 4)) for side in self.size)
            image[:, top : top + 4, left : left + 4] = 1
            mask[top : top + 4, left : left + 4] = 1
        return Sample(image, mask, index % 2, f"group {index}", f"photo {index}")


# Where tiles lie


@pytest.mark.parametrize("overlap", [None, 0, 8, 13])
@pytest.mark.parametrize(
    ("length", "tile"), [(64, 64), (72, 64), (100, 64), (129, 64), (1000, 32), (4096, 256)]
)
def test_tiles_cover_everything_and_overlap_as_asked(length, tile, overlap):
    starts = tile_starts(length, tile, overlap)
    wanted = tile // 4 if overlap is None else overlap
    assert (starts[0], starts[-1] + tile) == (0, length)
    gaps = np.diff(starts)
    assert (gaps > 0).all()
    assert (gaps <= tile - wanted).all()
    assert all(start % 8 == 0 for start in starts[:-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((64, 60), "tile must be a multiple of 8, got 60"),
        ((64, 0), "tile must be a multiple of 8"),
        ((64, 32, 32), r"overlap must lie in 0\.\.24, got 32"),
        ((64, 32, -1), r"overlap must lie in 0\.\.24, got -1"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tile_starts(*arguments)


# Training tiles


def test_each_tile_is_a_sample_that_says_where_it_was_cut():
    data = Large()
    tiles = TiledDataset(data, 64)
    assert len(tiles) == 4 * len(tiles.places) == 4 * 2 * 3
    assert len({tile.name for tile in (tiles[i] for i in range(len(tiles)))}) == len(tiles)
    whole = data[1]
    for place in range(6):
        tile, (top, left) = tiles[6 + place], tiles.places[place]
        window = np.s_[top : top + 64, left : left + 64]
        assert torch.equal(tile.image, whole.image[:, window[0], window[1]])
        assert torch.equal(tile.mask, whole.mask[window])
        assert tile.label == int(whole.mask[window].any())
        assert (tile.group, tile.name) == ("group 1", f"photo 1 at {top}, {left}")
    assert {tiles[6 + place].label for place in range(6)} == {0, 1}


def test_a_tile_is_labeled_by_the_largest_of_its_own_classes():
    class Classes(Large):
        class_names = ("background", "dent", "crack")

        def __getitem__(self, index):
            mask = torch.zeros(self.size, dtype=torch.long)
            mask[:2, :2], mask[4:8, :8], mask[90, 150] = 1, 2, 1
            mask[60:96, 100:140] = 255  # a border that is not judged is no class
            return super().__getitem__(0)._replace(mask=mask, label=2)

    tiles = TiledDataset(Classes(1), 64, overlap=0)
    assert [tiles[i].label for i in range(6)] == [2, 0, 0, 0, 0, 1]


def test_an_image_whose_defect_no_tile_can_show_is_refused_by_name():
    class Lost(Large):
        def __getitem__(self, index):
            return super().__getitem__(0)._replace(label=1, name="photo 7")

    with pytest.raises(ValueError, match="photo 7 is labeled defective and its mask is empty"):
        TiledDataset(Lost(1), 64)[0]


def test_tiles_go_into_memory_get_anomalies_and_are_drawn_evenly():
    held = CachedDataset(TiledDataset(Large(), 64))
    labels = [held[i].label for i in range(len(held))]
    order = list(FrequencyOfUseSampler(labels))
    assert len(order) == 2 * sum(labels)
    assert [labels[i] for i in order] == [0, 1] * sum(labels)
    good = CachedDataset(held, indices=[i for i, label in enumerate(labels) if not label])
    simulated = SimulatedAnomalies(good)
    assert torch.equal(simulated[3].image, good[3].image)
    assert simulated[len(good) + 3].label == 1
    assert simulated[len(good) + 3].image.shape == (1, 64, 64)


# Prediction


class Two(NamedTuple):
    decision: Tensor
    maps: Tensor


def network(channels: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, channels, 1))


@pytest.mark.parametrize("size", [(64, 64), (40, 64), (48, 16)])
def test_a_tile_that_covers_the_image_gives_the_very_same(size):
    images = torch.rand(3, 1, *size)
    with torch.no_grad():
        assert torch.equal(predict_in_tiles(network(), images, 64), network()(images))
        assert torch.equal(predict_in_tiles(network(), images, 0), network()(images))


@pytest.mark.parametrize("overlap", [None, 0, 8, 40])
@pytest.mark.parametrize("size", [(96, 160), (65, 200), (64, 136), (40, 200), (301, 64)])
def test_what_no_tile_sees_otherwise_has_no_seam(size, overlap):
    """Nothing but its own pixel decides: mixed or not, each answer must be the plain one."""
    images = torch.rand(2, 1, *size)
    answer = predict_in_tiles(lambda x: x[:, 0] * 3, images, 64, overlap, batch_size=3)
    torch.testing.assert_close(answer, images[:, 0] * 3)


@pytest.mark.parametrize("size", [(96, 160), (65, 200), (40, 200)])
def test_a_pixel_in_the_middle_of_a_tile_has_the_plain_answer_of_a_network(size):
    images = torch.rand(1, 1, *size)
    with torch.no_grad():
        plain, answer = network()(images), predict_in_tiles(network(), images, 64)
    # A border of zeros is seen only one pixel deep, and there the tile that shows more counts more.
    assert float((plain - answer).abs().max()) < 0.2 * float(plain.abs().max())
    assert float(((plain - answer).abs() < 1e-5).float().mean()) > 0.9


def test_where_tiles_disagree_the_answer_goes_over_from_one_to_the_other_by_small_steps():
    images = torch.zeros(1, 1, 64, 200)
    images[..., 100:] = 1

    def means(tiles):
        return tiles.mean((1, 2, 3))[:, None, None].expand(-1, 64, 64)

    answer = predict_in_tiles(means, images, 64, 32)[0]
    assert 0 <= float(answer.min()) < float(answer.max()) <= 1 + 1e-6
    assert float(answer.diff(dim=1).abs().max()) < 0.05


def test_coarse_maps_are_laid_together_and_the_most_suspicious_tile_decides():
    images = torch.rand(2, 1, 96, 200)
    images[0, 0, 2, 3], images[1, 0, 90, 190] = 9, 9  # in the first batch of tiles, in the last

    def model(tiles):
        return Two(tiles.amax((1, 2, 3)), nn.functional.max_pool2d(tiles, 8))

    answer = predict_in_tiles(model, images, 64, batch_size=4)
    assert isinstance(answer, Two)
    torch.testing.assert_close(answer.decision, images.amax((1, 2, 3)))
    torch.testing.assert_close(answer.maps, nn.functional.max_pool2d(images, 8))
    with pytest.raises(ValueError, match=r"multiples of 8, the side of a cell .* 96 and 204"):
        predict_in_tiles(model, torch.rand(1, 1, 96, 204), 64)


def test_only_some_tiles_are_worked_on_at_a_time():
    seen = []

    def model(tiles):
        seen.append(tuple(tiles.shape))
        return tiles[:, 0]

    predict_in_tiles(model, torch.rand(2, 1, 500, 300), 64, batch_size=5)
    assert max(shape[0] for shape in seen) == 5
    assert {shape[1:] for shape in seen} == {(1, 64, 64)}


def test_probabilities_of_large_images_come_with_their_masks():
    data = CachedDataset(Large(3))
    whole, masks = predict_probabilities(network(), data)
    tiled, same = predict_probabilities(network(), data, tile=64)
    assert whole.shape == tiled.shape
    assert torch.equal(masks, same)
    torch.testing.assert_close(tiled.sum(1), torch.ones(3, 96, 160))


# Trainings


def test_a_tiny_defect_on_a_large_image_is_lost_when_it_shrinks_and_whole_in_a_tile(tmp_path):
    image, mask = np.full((4096, 4096), 90, np.uint8), np.zeros((4096, 4096), np.uint8)
    top, left = 3071, 1500
    for kind, pixels, value in (("images", image, 250), ("masks", mask, 255)):
        pixels[top : top + 12, left : left + 12] = value
        write_image(tmp_path / kind / "photo.png", pixels)
    name = f"folder:{tmp_path}"
    assert int((open_dataset(name, "all", size=256)[0].mask > 0).sum()) <= 1
    tiles = TiledDataset(open_dataset(name, "all", size=4096), 256)
    whole = [
        tiles[number]
        for number, (y, x) in enumerate(tiles.places)
        if y <= top <= y + 256 - 12 and x <= left <= x + 256 - 12
    ]
    assert whole
    for tile in whole:
        assert (int((tile.mask > 0).sum()), tile.label) == (144, 1)
        assert float(tile.image.max()) > 0.9


def test_a_network_finds_on_whole_images_what_it_learnt_on_tiles():
    splits = [CachedDataset(Large(count, seed=seed)) for seed, count in enumerate((12, 6, 6))]
    config = UNetConfig(
        loss="dice", height=96, width=160, tile=32, channels=4, steps=60, batch_size=8
    )
    train = CachedDataset(TiledDataset(splits[0], 32))
    result = UNetTrainer(config, Splits(train, *splits[1:])).train(**CPU)
    assert result.probabilities.shape == (6, 2, 96, 160)
    assert result.scores["ap"] > 0.5


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> str:
    """Good and defective photographs of 128 x 256 pixels."""
    folder, rng = tmp_path_factory.mktemp("data") / "own", np.random.default_rng(0)
    for number in range(24):
        image = rng.integers(0, 128, (128, 256), dtype=np.uint8)
        mask = np.zeros_like(image)
        if number % 2:
            top, left = rng.integers(0, 110, 2)
            cv2.rectangle(mask, (int(left), int(top)), (int(left) + 12, int(top) + 12), 255, -1)
            image[mask > 0] = 250
        write_image(folder / "images" / f"{number:02d}.png", image)
        write_image(folder / "masks" / f"{number:02d}.png", mask)
    return f"folder:{folder}"


CASES = {
    "unet": (UNetTrainer, UNetConfig, {"tile": 64, "channels": 2, "steps": 2, "batch_size": 4}),
    "memseg": (
        MemSegTrainer,
        MemSegConfig,
        {"tile": 64, "steps": 1, "batch_size": 2, "memory_size": 2, "weights": "none"},
    ),
    "nearest": (NearestPatchesTrainer, NearestPatchesConfig, {"tile": 64}),
    "two_stage": (
        TwoStageTrainer,
        TwoStageConfig,
        {"tile": 128, "channels": "slim", "epochs": 1, "batch_size": 4},
    ),
}


@pytest.mark.parametrize("method", CASES)
def test_every_method_trains_on_tiles_and_is_scored_on_whole_images(method, photographs):
    trainer_of, config_of, settings = CASES[method]
    config = config_of(data=photographs, height=128, width=256, **settings)
    trainer = trainer_of(config)
    sides = {tuple(sample.mask.shape) for sample in trainer.splits.train}
    assert sides == {(config.tile, config.tile)}
    for images in (trainer.splits.val, trainer.splits.test):
        assert {tuple(sample.mask.shape) for sample in images} == {(128, 256)}
    given = {"device": "cpu"} if method == "nearest" else CPU
    result = trainer.train(**given)
    assert all(np.isfinite([*result.scores.values()]))
    shape = (16, 32) if method == "two_stage" else (128, 256)
    answer = result.probabilities if method == "unet" else result.maps
    assert tuple(answer.shape[-2:]) == shape
    if method != "nearest":
        trainer.pictures(result)


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (UNetConfig, {"tile": 40}, "tile must be a multiple of 16 .* got 40: choose 48"),
        (UNetConfig, {"tile": 48, "encoder": "resnet18"}, "tile must be a multiple of 32"),
        (UNetConfig, {"tile": -16}, "tile must be greater than or equal to 0"),
        (UNetConfig, {"tile": 256}, "height must be .* at least 256, the tile, got 128: choose"),
        (UNetConfig, {"tile": 64, "width": 1001}, "width must be a multiple of 8 .* choose 1008"),
        (MemSegConfig, {"tile": 32}, "tile must be a multiple of 32 and at least 64"),
        (NearestPatchesConfig, {"tile": 100}, "tile must be .* got 100: choose 128"),
        (TwoStageConfig, {"tile": 64}, "tile must hold two cells .* choose 128"),
        (TwoStageConfig, {"tile": 128, "segmented": 3}, "tile needs exact masks of all"),
        (TwoStageConfig, {"tile": 128, "masks": "ellipse"}, "tile needs exact masks of all"),
    ],
)
def test_tiles_that_a_method_cannot_do_are_refused(config, settings, message):
    with pytest.raises(ValueError, match=message):
        config(**settings)


def test_with_tiles_images_may_have_sides_that_no_network_takes_whole():
    config = UNetConfig(height=1000, width=2056, tile=256)
    assert config.shown == (256, 256)
