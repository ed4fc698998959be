"""A detector gives one answer, however a photograph comes, and is read from its folder alone."""

import json

import cv2
import numpy as np
import pytest
import torch
from few_images import write_image
from tiny_detectors import HEIGHT, NETWORKS, WIDTH, tiny_detector

from course_utils import load_detector
from course_utils.data import open_dataset
from course_utils.inference.photographs import read_photograph, to_input


def photograph(seed: int, height: int = 90, width: int = 150) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 256, (9, 15, 3), dtype=np.uint8), (width, height))


@pytest.fixture(params=NETWORKS)
def detector(request):
    return tiny_detector(request.param)


def same(one, other) -> bool:
    return (
        one.score == pytest.approx(other.score, rel=1e-4, abs=1e-5)
        and one.is_defective == other.is_defective
        and np.allclose(one.map, other.map, rtol=1e-3, atol=1e-4)
    )


def test_a_saved_detector_answers_as_before(detector, tmp_path):
    before = detector.predict(photograph(1))
    detector.save(tmp_path)
    after = load_detector(tmp_path, device="cpu").predict(photograph(1))
    assert before.score == after.score
    assert np.array_equal(before.map, after.map)
    assert np.array_equal(before.mask, after.mask)
    assert after.threshold == detector.settings.threshold.value


def test_file_array_tensor_and_any_batch_give_one_answer(detector, tmp_path):
    photographs = [photograph(seed) for seed in range(5)]
    paths = [tmp_path / f"{seed}.png" for seed in range(5)]
    for path, pixels in zip(paths, photographs, strict=True):
        write_image(path, pixels[..., ::-1])
    wanted = [detector.predict(pixels) for pixels in photographs]
    tensors = [torch.from_numpy(pixels).permute(2, 0, 1) / 255 for pixels in photographs]
    for found in (
        list(detector.predict(tmp_path)),
        list(detector.predict(str(path) for path in paths)),
        list(detector.predict(np.stack(photographs))),
        list(detector.predict(tensors)),
        list(detector.predict_each(paths, batch_size=16)),
        list(detector.predict_each(paths, batch_size=1)),
    ):
        assert [one.image.shape for one in found] == [(90, 150, 3)] * 5
        assert all(map(same, found, wanted))


def test_a_gray_photograph_is_the_same_as_its_gray_copy_in_rgb(detector):
    gray = photograph(3)[..., 0]
    assert same(detector.predict(gray), detector.predict(np.repeat(gray[..., None], 3, axis=2)))


def test_map_mask_and_regions_are_of_the_photographs_own_size(detector):
    found = detector.predict(photograph(2, 50, 333))
    assert found.map.shape == found.mask.shape == (50, 333)
    assert set(np.unique(found.mask)) <= set(range(len(found.class_names)))
    assert sum(region.area for region in found.regions) == (found.mask > 0).sum()
    assert found.is_defective == (found.score >= found.threshold)


def test_photographs_are_prepared_as_in_training(tmp_path):
    for place, pixels in (("images", photograph(4)), ("masks", np.eye(90, 150, dtype=np.uint8))):
        for number in range(5):
            write_image(tmp_path / place / f"{number}.png", pixels + np.uint8(0))
    dataset = open_dataset(f"folder:{tmp_path}", "all", size=(HEIGHT, WIDTH))
    pixels = read_photograph(tmp_path / "images" / "0.png")
    assert torch.equal(to_input(pixels, 3, (HEIGHT, WIDTH)), dataset[0].image)


def test_a_threshold_is_reached_at_its_very_value():
    found = tiny_detector("unet").predict(photograph(1))
    assert type(found)(**{**vars(found), "threshold": found.score}).is_defective
    higher = np.nextafter(found.score, np.inf)
    assert not type(found)(**{**vars(found), "threshold": higher}).is_defective


def test_several_classes_keep_their_numbers_when_they_are_stretched():
    found = tiny_detector("classes").predict(photograph(1, 640, 1280))
    assert found.small_classes is not None
    assert set(np.unique(found.mask)) == set(np.unique(found.small_classes))
    assert {region.class_name for region in found.regions} <= {"line", "spot", "area"}


def test_the_picture_shows_what_was_found(tmp_path):
    found = tiny_detector("unet").predict(photograph(1))
    marked = type(found)(**{**vars(found), "pixel_threshold": float(np.median(found.map))})
    marked.save(tmp_path / "found.png")
    saved = read_photograph(tmp_path / "found.png")
    assert saved.shape == found.image.shape
    assert (saved != found.image).any()
    with pytest.raises(ValueError, match=r"\.gif"):
        marked.save(tmp_path / "found.gif")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 5, 4), np.uint8), r"\(4, 5, 4\)"),
        (np.full((8, 8), 300.0), "from 300 to 300"),
        (np.full((8, 8), np.nan), "undo"),
        (np.zeros((8, 8), np.int64), "int64"),
        (torch.full((3, 8, 8), -1.0), "from -1 to -1"),
        (np.zeros((0, 8), np.uint8), r"\(0, 8\)"),
    ],
)
def test_arrays_that_are_no_photographs_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        tiny_detector("unet").predict(given)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="broken"):
        tiny_detector("unet").predict(tmp_path / "broken.png")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        tiny_detector("unet").predict(tmp_path / "nowhere.png")


def finished(folder):
    (folder / "config.json").write_text("{}")
    (folder / "scores.json").write_text("{}")


def begun(folder):
    (folder / "config.json").write_text("{}")


def one_inside(folder, seed=0):
    (folder / "memseg" / f"seed_{seed}").mkdir(parents=True)
    tiny_detector("unet").save(folder / "memseg" / f"seed_{seed}")


def several(folder):
    one_inside(folder, 0)
    one_inside(folder, 1)


def without_weights(folder):
    tiny_detector("unet").save(folder)
    (folder / "weights.safetensors").unlink()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "a detector is what `course train"),
        (finished, "before detectors were kept"),
        (begun, "is not finished"),
        (one_inside, "holds one training: give its own folder, .*seed_0"),
        (several, "choose one, .*seed_0"),
        (without_weights, "no weights.safetensors"),
    ],
)
def test_a_folder_without_a_detector_says_what_is_missing(make, message, tmp_path):
    make(tmp_path)
    with pytest.raises(FileNotFoundError, match=message):
        load_detector(tmp_path)


def cut_weights(folder):
    content = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(content[:-100])


def change(**changes):
    def write(folder):
        found = json.loads((folder / "detector.json").read_text())
        (folder / "detector.json").write_text(json.dumps(found | changes))

    return write


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut_weights, "cannot be read"),
        (change(format="course_utils detector, version 9"), "version 9"),
        (change(network="os.system"), "unknown"),
        (change(arguments={"inputs": 3}), "cannot be made of"),
        (change(arguments={"in_channels": 3, "num_classes": 2, "width": 4}), "course train"),
        (change(height="tall"), "height"),
        (lambda folder: (folder / "detector.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "detector.json").write_text("[]"), "cannot be read"),
    ],
)
def test_a_damaged_detector_is_refused_with_the_way_out(spoil, message, tmp_path):
    tiny_detector("unet").save(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ValueError, match=message):
        load_detector(tmp_path)
