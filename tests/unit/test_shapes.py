"""Images that a training would stretch out of shape: it says so, and which sides keep it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from few_images import write_images
from PIL import Image
from typer.testing import CliRunner

from course_utils.cli import app
from course_utils.data.image_files import image_size, read_image
from course_utils.trainers import (
    MemSegConfig,
    NearestPatchesConfig,
    TwoStageConfig,
    UNetConfig,
    shape_remark,
    sides_for,
)


def folder_of(folder: Path, sizes: list[tuple[int, int]]) -> str:
    """Good images of these heights and widths, with empty masks."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
        for number, size in enumerate(sizes):
            path = folder / kind / f"{number}.png"
            cv2.imwrite(str(path), np.zeros(size, np.uint8))
    return f"folder:{folder}"


@pytest.mark.parametrize(
    ("sizes", "sides", "said"),
    [
        ([(64, 1024)] * 3, (128, 128), "16.0 times as wide as high"),  # a line camera
        ([(1024, 64)] * 3, (128, 128), "16.0 times as high as wide"),
        ([(100, 160)] * 3, (128, 128), "by a factor of 1.6"),
        ([(100, 100)] * 3, (128, 208), "by a factor of 1.6"),
        ([(90, 30)] * 2 + [(60, 60)], (96, 96), "3.0 times as high"),  # most of them
        ([(100, 140)] * 3, (128, 128), ""),
        ([(64, 1024)] * 3, (32, 512), ""),
        ([(90, 30)] + [(60, 60)] * 2, (96, 96), ""),
    ],
)
def test_what_is_squeezed_by_more_than_half_is_said_with_sides_that_keep_it(
    sizes, sides, said, tmp_path
):
    name = folder_of(tmp_path / "own", sizes)
    remark = shape_remark(UNetConfig(data=name, height=sides[0], width=sides[1]))
    assert said in remark
    assert bool(remark) == bool(said)
    if said:
        words = remark.split()
        height, width = (int(words[words.index(side) + 1]) for side in ("--height", "--width"))
        assert not shape_remark(UNetConfig(data=name, height=height, width=width))


@pytest.mark.parametrize("config", [UNetConfig, MemSegConfig, NearestPatchesConfig, TwoStageConfig])
@pytest.mark.parametrize("shape", [1 / 16, 1 / 3, 0.9, 1.0, 1.37, 2.75, 16.0])
@pytest.mark.parametrize("sides", [(64, 128), (128, 128), (1024, 256)])
def test_sides_are_taken_by_the_training_and_have_the_shape(config, shape, sides):
    height, width = sides_for(config(height=sides[0], width=sides[1]), shape)
    config(height=height, width=width)  # takes them
    assert max(height / width / shape, shape * width / height) < 1.25
    pixels = sides[0] * sides[1]
    least = 64 * 64 * max(shape, 1 / shape)  # a strip of the smallest height
    assert height * width <= 2.5 * max(pixels, least, 128 * 128)
    assert height * width >= 0.4 * pixels


def test_the_command_says_it_before_it_trains_and_not_without_need(tmp_path):
    name = write_images(tmp_path / "own")  # square
    tiny = ["--channels", "1", "--steps", "1", "--batch-size", "1", "--device", "cpu", "--quiet"]
    said = {}
    for width in ("32", "64"):
        options = ["--data", name, "--height", "32", "--width", width, "--out", tmp_path / width]
        result = CliRunner().invoke(app, ["train", "unet", *map(str, options), *tiny])
        assert result.exit_code == 0, result.output
        said[width] = "squeeze them by a factor of 2.0" in result.output
    assert said == {"32": False, "64": True}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
@pytest.mark.parametrize("turned", [1, 3, 6, 8])
def test_the_size_in_a_header_is_that_of_the_picture_as_it_is_read(suffix, turned, tmp_path):
    exif = Image.Exif()
    exif[274] = turned
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(
        path, **({} if suffix == ".bmp" else {"exif": exif})
    )
    assert image_size(path) == read_image(path).shape[:2]


def test_no_picture_has_no_size(tmp_path):
    (tmp_path / "x.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"x\.png cannot be read as an image"):
        image_size(tmp_path / "x.png")
