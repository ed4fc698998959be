"""Images that say "turn me" come as shown; each mask lies on its defect, or is asked for."""

import shutil

import numpy as np
import pytest
from folder_cases import mark, masks_of, opened, save, write_case

from course_utils.data.image_files import read_image, turn

SAME_SHAPE, SIDEWAYS = (2, 3, 4), (5, 6, 7, 8)
FORMATS = ("{}.jpg", "{}.png", "{}.webp")


def as_shown(orientation):
    """Write the mask as a tool draws it that shows the picture turned."""
    return lambda mask, path: save(
        np.ascontiguousarray(turn(mask, orientation)) * np.uint8(255), path
    )


def require_on_defects(dataset, count=6):
    """Check that each mask lies where its image is dark."""
    assert len(masks_of(dataset)) == count
    for index in range(count):
        image, mask = dataset[index].image[0].numpy(), dataset[index].mask.numpy()
        assert image[mask > 0].max() < 0.2 < image[mask == 0].mean()
        assert (image < 0.1).sum() <= mask.sum() + 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", FORMATS)
def test_an_image_comes_as_viewers_show_it(tmp_path, orientation, name):
    pixels = np.full((24, 40), 200, np.uint8)
    pixels[:8, :16] = 0
    path = tmp_path / name.format("a")
    save(pixels, path, orientation)
    shown = read_image(path)
    shown = shown if shown.ndim == 2 else shown[..., 0]
    corners = {"top left": (0, 0), "top right": (0, -1), "low right": (-1, -1), "low left": (-1, 0)}
    dark = [corner for corner, place in corners.items() if shown[place] < 100]
    # From the Exif standard: where the stored first row and first column are in the picture.
    expected = {1: "top left", 2: "top right", 3: "low right", 4: "low left"}
    expected |= {5: "top left", 6: "top right", 7: "low right", 8: "low left"}
    assert dark == [expected[orientation]]
    assert shown.shape == ((40, 24) if orientation > 4 else (24, 40))


@pytest.mark.parametrize("orientation", SIDEWAYS)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("drawn", ["shown", "stored"])
def test_where_sides_are_swapped_the_size_of_the_mask_tells(tmp_path, orientation, name, drawn):
    options = {"write_mask": as_shown(orientation)} if drawn == "shown" else {}
    write_case(tmp_path, image_name=name, orientation=orientation, good=0, **options)
    dataset = opened(tmp_path, size=(32, 24))
    require_on_defects(dataset)
    said = "6 images with masks were turned as their EXIF tag says"
    said += (
        ", and 6 masks, which fit the pixels as stored, with them." if drawn == "stored" else "."
    )
    assert said in dataset.split_note


@pytest.mark.parametrize("orientation", SAME_SHAPE)
@pytest.mark.parametrize("name", FORMATS)
def test_where_nothing_tells_it_is_asked_and_the_answer_is_taken(tmp_path, orientation, name):
    write_case(tmp_path, image_name=name, orientation=orientation, good=0)
    with pytest.raises(
        ValueError, match=r"0\.\w+ and 5 more say by EXIF .* write the word shown or"
    ):
        opened(tmp_path)
    (tmp_path / "exif.txt").write_text("Stored\n")
    dataset = opened(tmp_path)
    require_on_defects(dataset)
    assert "of 6 the size of the mask does not tell, exif.txt says so." in dataset.split_note
    shutil.rmtree(tmp_path)
    write_mask = as_shown(orientation)
    write_case(tmp_path, image_name=name, orientation=orientation, good=0, write_mask=write_mask)
    (tmp_path / "exif.txt").write_text("shown")
    require_on_defects(opened(tmp_path))


@pytest.mark.parametrize("drawn", ["shown", "stored"])
def test_images_whose_masks_tell_decide_for_the_others_of_the_set(tmp_path, drawn):
    for orientation, start in ((3, "a"), (6, "b")):
        options = {"write_mask": as_shown(orientation)} if drawn == "shown" else {}
        names = {"image_name": start + "{}.jpg", "mask_name": start + "{}.png"}
        write_case(tmp_path, count=3, good=0, orientation=orientation, **names, **options)
    dataset = opened(tmp_path, size=(32, 32))
    for index in range(6):
        sample = dataset[index]
        assert sample.image[0].numpy()[sample.mask.numpy() > 0].mean() < 0.2
    assert "of 3 the size of the mask does not tell, the others of the set show it" in (
        dataset.split_note
    )


def test_images_that_tell_different_things_decide_nothing(tmp_path):
    for orientation, start, write in ((6, "a", as_shown(6)), (6, "b", None), (3, "c", None)):
        names = {"image_name": start + "{}.jpg", "mask_name": start + "{}.png"}
        options = {"write_mask": write} if write else {}
        write_case(tmp_path, count=2, good=0, orientation=orientation, **names, **options)
    with pytest.raises(ValueError, match=r"c0\.jpg and 1 more say by EXIF"):
        opened(tmp_path)


def test_a_square_that_is_turned_is_asked_for_and_an_empty_mask_is_not(tmp_path):
    square = mark(0, 24, 24)
    save(200 - square * np.uint8(190), tmp_path / "images" / "0.jpg", 6)
    save(square * np.uint8(0), tmp_path / "masks" / "0.png")
    assert len(opened(tmp_path)) == 1
    save(square, tmp_path / "masks" / "0.png")
    with pytest.raises(ValueError, match=r"0\.jpg say by EXIF"):
        opened(tmp_path)


def test_a_mask_that_is_turned_itself_fits_the_picture_as_shown(tmp_path):
    write = lambda mask, path: save(mask * np.uint8(255), path, 3)  # noqa: E731
    write_case(tmp_path, image_name="{}.jpg", orientation=3, good=0, write_mask=write)
    require_on_defects(opened(tmp_path))


def test_a_mask_that_fits_neither_way_is_of_the_wrong_size(tmp_path):
    write_case(tmp_path, image_name="{}.jpg", orientation=6)
    save(mark(0, 20, 20), tmp_path / "masks" / "0.png")
    with pytest.raises(
        ValueError, match=r"0\.png is 20 x 20 pixels but its image 0\.jpg is 24 x 32"
    ):
        opened(tmp_path)


def test_images_without_masks_need_no_answer(tmp_path):
    for number in range(4):
        save(mark(number) * np.uint8(90), tmp_path / "good" / f"{number}.jpg", 3)
    assert len(opened(tmp_path)) == 4
