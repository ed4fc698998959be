"""Masks as people's tools write them: each is read as it was meant, or refused with the way out."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from folder_cases import HEIGHT, WIDTH, mark, masks_of, opened, save, write_case
from PIL import Image, ImageDraw

VOC = [0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * 756 + [224, 224, 192]


def palette(colors, values=lambda mask: mask, mode=None, **options):
    """Write a palette picture with `colors`, from the mask's `values`."""

    def write(mask, path):
        picture = Image.fromarray(values(mask).astype(np.uint8)).convert("L")
        picture = Image.frombytes("P", picture.size, picture.tobytes())
        picture.putpalette(colors)
        picture.save(path, **options)

    return write


def few_bits(bits, color_type=0):
    """Write a gray PNG of 1, 2 or 4 bits by hand: few libraries do."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    def write(mask, path):
        single = np.unpackbits(mask[..., None], axis=2)[..., -bits:]
        rows = [b"\0" + np.packbits(row.ravel()).tobytes() for row in single]
        header = struct.pack(">IIBBBBB", mask.shape[1], mask.shape[0], bits, color_type, 0, 0, 0)
        data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows)))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + data + chunk(b"IEND", b""))

    return write


def as_array(make, **options):
    return lambda mask, path: save(make(mask), path, **options)


def channels(*planes):
    """Write a picture of several channels, each made of the mask."""
    return as_array(lambda mask: np.dstack([plane(mask) for plane in planes]).astype(np.uint8))


def white(mask):
    return (mask > 0) * np.uint8(255)


def black(mask):
    return mask * 0


def full(mask):
    return mask * 0 + 255


def sixteen_bits(value):
    return lambda mask, path: cv2.imencode(".png", mask * np.uint16(value))[1].tofile(path)


ONE_CLASS = {
    "0 and 255": as_array(white),
    "0 and 1": as_array(lambda mask: mask),
    "a palette's index": palette(VOC),
    "a palette of black and white": palette([0, 0, 0, 255, 255, 255]),
    "a palette of white and black": palette([255, 255, 255, 0, 0, 0], lambda mask: 1 - mask),
    "a palette packed to one bit": palette([0, 0, 0, 255, 0, 0], bits=1),
    "Pillow's mode 1": lambda mask, path: Image.fromarray(mask > 0).save(path),
    "1 bit": few_bits(1),
    "2 bits": few_bits(2),
    "4 bits": few_bits(4),
    "16 bits, 0 and 1": sixteen_bits(1),
    "16 bits, 0 and 255": sixteen_bits(255),
    "16 bits, 0 and 65535": sixteen_bits(65535),
    "gray in three channels": channels(white, white, white),
    "red on black": channels(white, black, black),
    "white on transparent": channels(white, white, white, white),
    "red on transparent": channels(full, black, black, white),
    "black on transparent": channels(black, black, black, white),
    "white on black, opaque": channels(white, white, white, full),
    "gray with alpha": lambda mask, path: Image.merge(
        "LA", [Image.fromarray(mask * np.uint8(255))] * 2
    ).save(path),
}


@pytest.mark.parametrize("write", ONE_CLASS.values(), ids=ONE_CLASS)
@pytest.mark.parametrize("classes", ["", "scratch\n"])
def test_a_mask_of_one_class_is_read_however_it_is_stored(tmp_path, write, classes):
    write_case(tmp_path, write_mask=write)
    if classes:
        (tmp_path / "classes.txt").write_text(classes)
    dataset = opened(tmp_path)
    dataset.validate()
    assert all(np.array_equal(mask, mark(n)) for n, mask in enumerate(masks_of(dataset)))
    assert len(masks_of(dataset)) == 6


@pytest.mark.parametrize("ending", [".png", ".gif", ".bmp", ".PNG"])
def test_endings_of_mask_files_that_have_palettes(tmp_path, ending):
    write_case(tmp_path, write_mask=palette(VOC), mask_name="{}" + ending)
    assert np.array_equal(masks_of(opened(tmp_path))[0], mark(0))


SEVERAL = {
    "values": as_array(lambda mask: mask),
    "a palette's indices": palette(VOC),
    "a palette of black, white and gray": palette([0, 0, 0, 255, 255, 255, 128, 128, 128]),
    "2 bits": few_bits(2),
    "4 bits": few_bits(4),
    "16 bits": sixteen_bits(1),
    "gray in three channels": channels(*[lambda mask: mask] * 3),
    "gray on transparent": channels(*[lambda mask: mask] * 3, white),
}


@pytest.mark.parametrize("write", SEVERAL.values(), ids=SEVERAL)
def test_stored_values_are_the_classes(tmp_path, write):
    def of_class(mask, path):
        number = int(path.stem)
        write(mask * np.uint8(1 + number % 2), path)

    write_case(tmp_path, write_mask=of_class)
    (tmp_path / "classes.txt").write_text("scratch\ndent\n")
    dataset = opened(tmp_path)
    assert [entry.label for entry in dataset.entries[:6]] == [1, 2] * 3
    for number, mask in enumerate(masks_of(dataset)):
        assert np.array_equal(mask, mark(number) * (1 + number % 2))


def soft(mask):
    return cv2.GaussianBlur(mask * np.uint8(255), (5, 5), 0)


def film(mask, path):
    frames = [Image.fromarray(mask * np.uint8(value)) for value in (100, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


REFUSED = {
    "a soft brush": ("{}.png", as_array(soft), r"0\.png holds values .* threshold them"),
    "a JPEG": ("{}.jpg", as_array(lambda m: soft(m)), "JPEG and smoothing blur masks"),
    "a soft brush on nothing": (
        "{}.png",
        channels(full, full, full, soft),
        r"0\.png has transparent pixels, .* fill the .* with black and save without",
    ),
    "two colors on nothing": (
        "{}.png",
        channels(lambda m: np.arange(m.size).reshape(m.shape) % 2 * 255, black, black, white),
        "has transparent pixels",
    ),
    "two colors": (
        "{}.png",
        channels(white, lambda m: np.arange(m.size).reshape(m.shape) % 2 * m * 255, black),
        r"0\.png is a color picture: a mask is gray or has a palette",
    ),
    "16 bits of numbered parts": ("{}.png", sixteen_bits(300), r"uint16 values up to 300: a mask"),
    "a film": ("{}.gif", film, r"0\.gif is a film"),
    "half a palette picture": (
        "{}.png",
        lambda m, p: (palette(VOC)(m, p), p.write_bytes(p.read_bytes()[:-30])),
        r"0\.png cannot be read as an image",
    ),
    "void without a word": ("{}.png", palette(VOC, lambda m: m * 255), r"begin .* line __ignore__"),
    "a third value": (
        "{}.png",
        as_array(lambda m: m * 3),
        r"holds value 3, but classes\.txt names",
    ),
}


@pytest.mark.parametrize(("name", "write", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_meant_is_refused_with_the_way_out(tmp_path, name, write, message):
    write_case(tmp_path, count=2, write_mask=write, mask_name=name)
    if "classes" in message or "__ignore__" in message:
        (tmp_path / "classes.txt").write_text("scratch\ndent\n")
    with pytest.raises(ValueError, match=rf"(?s)2 faults:\n .*{message}.*1\.\w\w\w"):
        opened(tmp_path)


def framed(mask):
    """A defect with a void border around it, as VOC draws them."""
    grown = cv2.dilate(mask, np.ones((3, 3), np.uint8))
    return np.where(mask > 0, mask, grown * np.uint8(255))


@pytest.mark.parametrize("write", [palette(VOC, framed), as_array(framed)])
@pytest.mark.parametrize("classes", ["__ignore__\n_background_\nscratch", "__ignore__\nscratch"])
def test_void_is_read_as_background_where_classes_txt_knows_it_and_said(tmp_path, write, classes):
    write_case(tmp_path, write_mask=write)
    (tmp_path / "classes.txt").write_text(classes)
    dataset = opened(tmp_path)
    assert tuple(dataset.class_names) == ("background", "scratch")
    assert all(np.array_equal(mask, mark(n)) for n, mask in enumerate(masks_of(dataset)))
    assert "6 masks hold void (255, __ignore__), such as 0.png: it is read as" in dataset.split_note


INVERTED = {
    "black on white": as_array(lambda mask: 255 - mask * 255),
    "0 in 1": as_array(lambda mask: 1 - mask),
    "a palette": palette(VOC, lambda mask: 1 - mask),
    "1 bit": lambda mask, path: few_bits(1)(1 - mask, path),
    "erased from opaque": channels(full, full, full, lambda mask: 255 - mask * 255),
    "16 bits": lambda mask, path: sixteen_bits(65535)(1 - mask, path),
}


@pytest.mark.parametrize("split", ["all", "train", "test"])
@pytest.mark.parametrize("write", INVERTED.values(), ids=INVERTED)
def test_masks_that_mark_most_of_their_images_are_said_with_the_cure(tmp_path, write, split):
    note = opened(write_case(tmp_path, write_mask=write), split).split_note
    assert "WARNING: 6 of 6 masks mark more than half of their image as defect, such as" in note
    assert "the masks are inverted: invert each (Pillow: ImageOps.invert" in note


def test_one_inverted_mask_among_others_is_said_and_ordinary_ones_are_not(tmp_path):
    write_case(tmp_path)
    assert "WARNING" not in opened(tmp_path).split_note
    save(255 - mark(3) * np.uint8(255), tmp_path / "masks" / "3.png")
    assert "WARNING: 1 of 6 masks mark more than half" in opened(tmp_path).split_note
    assert "such as 3.png" in opened(tmp_path).split_note


def test_a_drawn_circle_in_a_palette_stays_on_its_image(tmp_path):
    write_case(tmp_path, count=1)
    picture = Image.new("P", (WIDTH, HEIGHT))
    picture.putpalette(VOC)
    ImageDraw.Draw(picture).rectangle((4, 6, 9, 20), fill=1)
    picture.save(tmp_path / "masks" / "0.png")
    expected = np.zeros((HEIGHT, WIDTH))
    expected[6:21, 4:10] = 1
    assert np.array_equal(masks_of(opened(tmp_path))[0], expected)
