"""The first look at a folder of own images: what it counts, advises, warns of and draws."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from few_images import truncate, write_image
from typer.main import get_command
from typer.testing import CliRunner

from course_utils.checking import fitting_methods, look_through, write_page
from course_utils.checking.sizes import Survival, candidates, choose
from course_utils.cli import app, train
from course_utils.data.image_files import resize_mask

RNG = np.random.default_rng(5)


def noise(height=64, width=96):
    return RNG.integers(0, 256, (height, width), np.uint8)


def square(side, value=1, height=64, width=96, at=(20, 30)):
    mask = np.zeros((height, width), np.uint8)
    mask[at[0] : at[0] + side, at[1] : at[1] + side] = value
    return mask


def write_set(folder: Path, masks, good=0, classes="", size=(64, 96)) -> Path:
    for number, mask in enumerate(masks):
        write_image(folder / "images" / f"{number:03d}.png", noise(*mask.shape))
        write_image(folder / "masks" / f"{number:03d}.png", mask)
    for number in range(good):
        write_image(folder / "good" / f"g{number:03d}.png", noise(*size))
    if classes:
        (folder / "classes.txt").write_text(classes, encoding="utf-8")
    return folder


def commands(facts):
    """Return the words after `course train`, by the name of the method."""
    found = [shlex.split(method.command) for method in fitting_methods(facts) if method.command]
    assert all(words[:2] == ["course", "train"] for words in found)
    return {words[2]: words[3:] for words in found}


def check(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["data", "check", *words], env={"COLUMNS": "120"})
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


# What is counted


def test_classes_regions_and_parts_are_those_of_the_files(tmp_path):
    masks = [square(8) + square(4, 2, at=(50, 70)) for _ in range(6)]
    masks += [square(6, 2) for _ in range(5)]
    folder = write_set(tmp_path / "set", masks, good=9, classes="scratch\npit\n")
    facts = look_through(folder)
    assert (facts.good, facts.defective, facts.masks) == (9, 11, 11)
    scratch, pit = facts.classes
    assert (scratch.name, scratch.images, scratch.regions, scratch.pixels) == (
        "scratch",
        6,
        6,
        6 * 64,
    )
    assert (pit.images, pit.regions, pit.pixels) == (11, 11, 6 * 16 + 5 * 36)
    assert sum(part.total() for part in facts.parts.values()) == 20
    assert sum(part[0] for part in facts.parts.values()) == 9
    assert "20 groups" in facts.split_note


def test_defects_that_vanish_are_counted_as_masks_shrink():
    numbers = np.zeros((1000, 700), np.uint8)
    for number, side in enumerate((2, 12, 30, 100), start=1):
        numbers[200 * number : 200 * number + side, 100 : 100 + side] = number
    for size in ((1000, 700), (500, 350), (100, 70), (50, 35), (64, 300)):
        row = Survival(size)
        row.add(numbers.astype(int), 5)
        areas = np.bincount(resize_mask(numbers, size).ravel(), minlength=5)[1:]
        visible = int((areas >= 16).sum())
        assert (row.gone, row.kept) == (int((areas == 0).sum()), visible)
        assert row.total == 4
    assert (row.gone, row.faint, row.kept) == (2, 0, 2)


@pytest.mark.parametrize(
    ("height", "width"), [(400, 1600), (64, 1024), (2730, 4096), (900, 900), (30, 40), (1024, 64)]
)
def test_every_size_compared_is_one_that_all_networks_take(height, width):
    sizes = candidates({(height, width): 3, (10, 10): 1})
    assert all(side % 32 == 0 and side >= 64 for size in sizes for side in size)
    assert sizes[-1][0] >= height
    assert sizes[-1][1] >= width
    assert len(set(sizes)) == len(sizes)
    for size in sizes:
        ratio = size[0] / size[1] * width / height
        assert size[0] == size[1] or size == sizes[-1] or 0.8 <= ratio <= 1.25


def rows_of(sizes, mask):
    rows = [Survival(size) for size in candidates(sizes)]
    for row in rows:
        row.add(mask.astype(int), 2)
    return rows


def test_the_smallest_size_that_keeps_shape_and_defects_is_advised():
    sizes = {(1000, 1000): 1}
    choice = choose(rows_of(sizes, square(60, 1, 1000, 1000)), sizes)
    assert (choice.size, choice.tile) == ((128, 128), 0)
    choice = choose(rows_of(sizes, square(10, 1, 1000, 1000)), sizes)
    assert (choice.size, choice.tile) == ((512, 512), 0)
    wide = {(500, 2000): 1}
    choice = choose(rows_of(wide, square(60, 1, 500, 2000)), wide)
    assert choice.size == (64, 256)


def test_small_defects_on_large_images_want_tiles():
    sizes = {(2000, 3000): 1}
    choice = choose(rows_of(sizes, square(5, 1, 2000, 3000)), sizes)
    assert choice.size[0] >= 800
    assert choice.tile == 256


# What is advised


def test_each_command_is_one_that_course_train_takes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_set(
        Path("my parts"), [square(9, 1 + n % 2) for n in range(8)], 4, "scratch\nbig dent\n"
    )
    found = commands(look_through(folder))
    assert list(found) == ["nearest", "unet", "two-stage", "memseg"]
    for name, words in found.items():
        method = get_command(train.app).commands[name]
        settings = method.make_context(name, list(words)).params
        assert settings["data"] == "folder:my parts"
    assert found["unet"][-1] == "runs/my parts_unet"
    assert "--classes" in found["unet"]


def test_tiles_are_in_the_commands_and_fit_the_networks(tmp_path):
    masks = [square(4, 1, 1500, 1500) for _ in range(3)]
    folder = write_set(tmp_path / "set", masks, good=2, size=(1500, 1500))
    for words in commands(look_through(folder)).values():
        assert words[words.index("--tile") + 1] == "256"


def test_good_images_alone_fit_what_learns_from_good_ones(tmp_path):
    facts = look_through(write_set(tmp_path / "set", [], good=8))
    assert list(commands(facts)) == ["nearest", "memseg"]
    unfit = [method.title for method in fitting_methods(facts) if not method.command]
    assert unfit == ["U-Net, CASAE", "Two-stage network"]
    assert not facts.regions


def test_labels_without_masks_fit_the_two_stage_network(tmp_path):
    folder = write_set(tmp_path / "set", [], good=6)
    for number in range(6):
        write_image(folder / "defective" / f"{number}.png", noise())
    found = commands(look_through(folder))
    assert "unet" not in found
    words = found["two-stage"]
    assert words[words.index("--segmented") + 1] == "0"


def test_defects_without_good_images_fit_the_u_net_alone(tmp_path):
    facts = look_through(write_set(tmp_path / "set", [square(9)] * 6))
    assert list(commands(facts)) == ["unet"]
    assert any(text.startswith("No image is good") for text in facts.warnings)


# What is warned of


def test_what_ought_to_be_changed_is_told(tmp_path):
    masks = [square(9, 1) for _ in range(5)] + [square(1, 1), square(9, 1, 64, 300)]
    folder = write_set(tmp_path / "set", masks, good=3, classes="scratch\nnever seen\n")
    told = "\n".join(look_through(folder).warnings)
    for fact in (
        "Only 7 images show scratch",
        "No image shows never seen",
        "1 of 7 defects have less than 4 pixels",
        "Images have different shapes",
        "Images have 2 sizes",  # of the reader
    ):
        assert fact in told, (fact, told)


def test_inverted_masks_are_told_and_shown_first(tmp_path):
    folder = write_set(tmp_path / "set", [1 - square(9) for _ in range(6)], good=3)
    facts = look_through(folder)
    assert "more than half" in "\n".join(facts.warnings)
    write_page(facts, tmp_path / "check.html")
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    headings = re.findall(r"<h3>(.*?)</h3>", page)
    assert headings == ["masks that cover more than half", "defect", "good"]


def test_much_larger_images_than_needed_are_told(tmp_path):
    folder = write_set(tmp_path / "set", [square(300, 1, 1100, 1100) for _ in range(4)])
    assert "times the pixels that a network will see" in "\n".join(look_through(folder).warnings)


# The page and the command


def test_the_page_holds_all_that_it_shows(tmp_path):
    masks = [square(9, 1 + n % 2) for n in range(8)]
    folder = write_set(tmp_path / "a <b> & set", masks, 3, "<i>scratch</i>\ndent\n")
    facts = look_through(folder)
    write_page(facts, tmp_path / "new" / "check.html")
    page = (tmp_path / "new" / "check.html").read_text(encoding="utf-8")
    assert "&lt;i&gt;scratch&lt;/i&gt;" in page
    assert "<i>scratch" not in page
    assert "a &lt;b&gt; &amp; set" in page
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(addresses) == 4 * 3 * 2 + 3
    assert all(address.startswith("data:image/webp;base64,") for address in addresses)
    assert "http://" not in page
    assert "https://" not in page
    assert facts.split_note in page


def test_the_command_tells_counts_split_size_and_commands(tmp_path):
    folder = write_set(tmp_path / "set", [square(9) for _ in range(8)], good=4)
    before = sorted(folder.rglob("*"))
    code, told = check(f"folder:{folder}", "--page", str(tmp_path / "check.html"))
    assert code == 0
    for fact in (
        "12 images, 4 good, 8 defective, 8 of them with a mask",
        "gray, 64 x 96 pixels",
        "12 images in 12 groups (near-identical images) were split 60/20/20",
        "size: 64 x 96",
        "course train unet",
        str(tmp_path / "check.html"),
    ):
        assert fact in told, (fact, told)
    assert (tmp_path / "check.html").is_file()
    assert sorted(folder.rglob("*")) == before


def test_all_faults_are_told_at_once_and_the_status_is_1(tmp_path):
    folder = write_set(tmp_path / "set", [square(9) for _ in range(5)])
    truncate(folder / "images" / "001.png")
    write_image(folder / "masks" / "002.png", square(9, 7) + square(3, 3))
    write_image(folder / "masks" / "003.png", square(9, 1, 20, 20))
    (folder / "masks" / "004.png").unlink()
    code, told = check(str(folder), "--page", str(tmp_path / "check.html"))
    assert code == 1
    assert "cannot be used" in told
    for name in ("001.png", "002.png", "003.png", "004.png"):
        assert name in told, (name, told)
    assert not (tmp_path / "check.html").exists()
    code, told = check(str(tmp_path / "nowhere"), "--page", str(tmp_path / "check.html"))
    assert code == 1
    assert "does not exist" in told


def test_a_folder_that_cannot_be_split_is_shown_with_status_1(tmp_path):
    folder = write_set(tmp_path / "set", [square(9), square(9)])
    code, told = check(str(folder), "--page", str(tmp_path / "check.html"))
    assert code == 1
    assert "cannot be trained on yet: 2 groups cannot fill 3 parts" in told
    page = (tmp_path / "check.html").read_text(encoding="utf-8")
    assert "It cannot be trained on yet" in page
