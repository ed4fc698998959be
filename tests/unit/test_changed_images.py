"""A training remembers its images: others are refused, the same go on wherever they lie."""

import json
import os
import shutil
from pathlib import Path

import cv2
import pytest
from few_images import write_images
from safetensors.torch import save_file
from stoppable_training import Stopped

from course_utils.models import EfficientNetEncoder
from course_utils.trainers import UNetConfig, UNetTrainer, trainer
from course_utils.trainers.run_folder import check_data, read_json
from course_utils.training import launch


@pytest.fixture(autouse=True)
def no_pictures_and_images_read_anew(monkeypatch):
    monkeypatch.setattr(UNetTrainer, "pictures", lambda *_: {})
    monkeypatch.setattr(trainer, "as_png", lambda _: b"")
    monkeypatch.setattr(trainer, "training_curves", lambda *_, **__: None)
    trainer._open_once.cache_clear()


def train(config: UNetConfig, folder: Path) -> dict[str, float]:
    settings = {"device": "cpu", "precision": "32-true"}
    return launch(UNetTrainer.run_in_folder, config, folder, 1, False, **settings)


def config_of(data: str) -> UNetConfig:
    return UNetConfig(data=data, height=32, width=32, channels=2, steps=1, batch_size=4)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def stopped(*_):
    raise Stopped


@pytest.fixture(scope="module", params=["finished", "stopped"])
def once(request, tmp_path_factory):
    """A folder with images and a training of them, and a copy of both."""
    place = tmp_path_factory.mktemp("place")
    config = config_of(write_images(place / "few"))
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "stopped":
            patch.setattr(UNetTrainer, "pictures", stopped)
            with pytest.raises(Stopped):
                train(config, place / "out")
        else:
            train(config, place / "out")
    shutil.copytree(place, place.with_name("copy"))
    yield config, place
    shutil.rmtree(place.with_name("copy"))


@pytest.fixture
def trained(once):
    config, place = once
    shutil.rmtree(place)
    shutil.copytree(place.with_name("copy"), place)
    return config, place / "few", place / "out"


def paint(data, kind, value):
    file = data / kind / "07.png"
    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    pixels[:3, :3] = value
    cv2.imwrite(str(file), pixels)


CHANGES = {
    "image": lambda data: paint(data, "images", 255),
    "mask": lambda data: paint(data, "masks", 1),
    "one gone": lambda data: [(data / kind / "07.png").unlink() for kind in ("images", "masks")],
    "one more": lambda data: [
        shutil.copy(data / kind / f"{number}.png", data / kind / "99.png")
        for number, kind in (("03", "images"), ("04", "masks"))
    ],
    "renamed": lambda data: [
        (data / kind / "07.png").rename(data / kind / "7.png") for kind in ("images", "masks")
    ],
    "swapped": lambda data: [
        shutil.copy(data / kind / "03.png", data / kind / "07.png") for kind in ("images", "masks")
    ],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_training_with_images_that_have_changed_is_refused(change, trained, monkeypatch):
    config, data, out = trained
    CHANGES[change](data)
    before = contents(out)
    monkeypatch.setattr(UNetTrainer, "train", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"images or masks of folder:.*few have changed since th"):
        train(config, out)
    assert contents(out) == before


def test_a_file_of_weights_that_has_changed_is_told(tmp_path):
    encoder, file = EfficientNetEncoder(None), tmp_path / "own.safetensors"
    save_file(encoder.state_dict(), file)
    data = write_images(tmp_path / "few")
    settings = config_of(data).model_dump() | {"learning_rate": None}
    config = UNetConfig(**settings | {"encoder": "efficientnet_lite0", "weights": str(file)})
    scores = train(config, tmp_path / "out")
    assert train(config, tmp_path / "out") == scores
    assert read_json(tmp_path / "out" / "scores.json")["weights_used"] == str(file)
    encoder.stage0[0].weight.data.add_(1)
    save_file(encoder.state_dict(), file)
    with pytest.raises(ValueError, match=r"the file of weights has changed since the training in"):
        train(config, tmp_path / "out")


def touch(data):
    for file in data.rglob("*.png"):
        os.utime(file, (5, 5))


def add_what_is_no_image(data):
    (data / "notes.txt").write_text("seen by Ann")


def save_anew(data):
    """The same pixels, packed in another way."""
    for file in (data / "images").iterdir():
        pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(file), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])


@pytest.mark.parametrize("change", [touch, add_what_is_no_image, save_anew])
def test_files_that_show_the_same_go_on(change, trained):
    config, data, out = trained
    before = (out / "checkpoint.pt").read_bytes()
    change(data)
    scores = train(config, out)
    assert json.loads((out / "scores.json").read_text())["scores"] == scores
    assert (out / "checkpoint.pt").read_bytes() == before


def test_a_finished_training_whose_files_were_not_touched_reads_none(trained, monkeypatch):
    config, _, out = trained
    scores = train(config, out)
    monkeypatch.setattr(UNetTrainer, "open_splits", lambda *_, **__: pytest.fail("read"))
    trainer._open_once.cache_clear()
    assert train(config, out) == scores


def test_the_same_images_in_another_place_are_told_by_content(trained, tmp_path):
    _, data, out = trained
    shutil.copytree(data, tmp_path / "few", copy_function=shutil.copyfile)
    there = config_of(f"folder:{tmp_path / 'few'}").images_only()
    found = UNetTrainer.open_splits(there).fingerprints()
    check_data(out, "anywhere", found)
    with pytest.raises(ValueError, match=r"in .*out \(val\): choose another folder"):
        check_data(out, "anywhere", found | {"val": "other"})


def test_within_one_program_changed_images_are_read_anew(tmp_path):
    data = tmp_path / "few"
    config = config_of(write_images(data))
    train(config, tmp_path / "one")
    paint(data, "images", 255)
    train(config, tmp_path / "two")
    one, two = (json.loads((tmp_path / n / "data.json").read_text()) for n in ("one", "two"))
    assert one.keys() == {"files", "train", "val", "test"}
    assert one != two


def test_a_training_that_remembers_no_images_is_refused(trained):
    config, _, out = trained
    (out / "data.json").unlink()
    with pytest.raises(FileExistsError, match=r"holds a training and no data\.json"):
        train(config, out)


def test_a_training_without_a_run_folder_compares_images_by_its_checkpoint(tmp_path):
    data = tmp_path / "few"
    config = config_of(write_images(data))
    UNetTrainer(config).train(folder=tmp_path / "out", device="cpu")
    paint(data, "images", 255)
    with pytest.raises(ValueError, match=r"of another run: (train|val|test)_images is"):
        UNetTrainer(config).train(folder=tmp_path / "out", device="cpu")
