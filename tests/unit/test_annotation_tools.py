"""Annotations of each tool become the masks that a person drew."""

import json
from pathlib import Path

import annotated as make
import cv2
import numpy as np
import pytest
from annotated import BOX, COMPRESSED_BOX, SMALL, corners, filled, imported, photograph, shape
from few_images import write_image
from PIL import Image

from course_utils.data.annotations import import_annotations

# LabelMe


def test_every_shape_of_labelme_becomes_its_pixels(tmp_path):
    cut = filled(BOX)[5:25, 10:40]
    cut[3:6, 3:6] = 0
    for name, one in {
        "polygon": shape("dent", corners(BOX)),
        "no_kind": {"label": "dent", "points": corners(BOX)},
        "rectangle": shape("dent", [[40, 25], [10, 5]], "rectangle"),
        "four_corners": shape("dent", corners(BOX), "rectangle"),
        "oriented": shape("dent", corners(BOX), "oriented_rectangle"),
        "circle": shape("dent", [[30, 20], [36, 28]], "circle"),
        "linestrip": shape("dent", [[10, 10.5], [30, 10.5], [30, 20]], "linestrip"),
        "line": shape("dent", [[10, 10.5], [30, 10.5]], "line"),
        "mask": shape("dent", [[10, 5], [39, 24]], "mask", mask=make.as_png(cut * 255)),
    }.items():
        make.labelme(tmp_path / "in" / f"{name}.json", [one], photograph(1))
    masks = imported("labelme", tmp_path / "in", tmp_path)
    for name in ("polygon", "no_kind", "rectangle", "four_corners", "oriented"):
        assert np.array_equal(masks[name], filled(BOX)), name
    assert masks["circle"].sum() == pytest.approx(np.pi * 100, rel=0.03)
    assert masks["line"][:, 20].sum() == masks["linestrip"][18].sum() == 3
    assert np.array_equal(masks["mask"][5:25, 10:40], cut)
    assert masks["mask"].sum() == cut.sum()


@pytest.mark.parametrize(
    "path",
    ["a.png", "..\\photos\\a.png", "../photos/a.png", "C:\\Users\\me\\photos\\A.PNG", "a.jpg"],
)
def test_the_image_of_labelme_is_found_by_any_path(tmp_path, path):
    make.labelme(tmp_path / "in" / "labels" / "a.json", [shape("d", corners(BOX))], None)
    write_image(tmp_path / "in" / "photos" / "a.png", photograph(1))
    write_image(tmp_path / "in" / "labels" / "b.png", photograph(2))
    content = json.loads((tmp_path / "in" / "labels" / "a.json").read_text())
    (tmp_path / "in" / "labels" / "a.json").write_text(json.dumps(content | {"imagePath": path}))
    masks = imported("labelme", tmp_path / "in", tmp_path)
    (image,) = (tmp_path / "target" / "images").iterdir()
    assert np.array_equal(cv2.imread(str(image), 0), photograph(1))
    assert np.array_equal(masks[image.stem], filled(BOX))


def test_an_image_within_the_json_is_taken_where_there_is_no_file(tmp_path):
    for name in ("a", "b"):
        content = make.as_png(photograph(3))
        one = shape("d", corners(BOX))
        make.labelme(tmp_path / "in" / f"{name}.json", [one], None, imageData=content)
    write_image(tmp_path / "in" / "b.png", photograph(4))
    assert sorted(imported("labelme", tmp_path / "in", tmp_path)) == ["a", "b"]
    images = tmp_path / "target" / "images"
    assert np.array_equal(cv2.imread(str(images / "a.png"), 0), photograph(3))
    assert np.array_equal(cv2.imread(str(images / "b.png"), 0), photograph(4))


# COCO


def test_every_kind_of_coco_becomes_its_pixels(tmp_path):
    flat = [value for point in corners(BOX) for value in point]
    counts = make.coco_counts(filled(BOX))
    for number, one in enumerate(
        [
            {"segmentation": [flat]},
            {"segmentation": flat},
            {"segmentation": [flat, flat]},
            {"segmentation": {"counts": counts, "size": [40, 60]}, "iscrowd": 1},
            {"segmentation": {"counts": COMPRESSED_BOX, "size": [40, 60]}},
            {"segmentation": [], "bbox": [10, 5, 30, 20]},
            {"bbox": [10.0, 5.0, 30.0, 20.0]},
        ]
    ):
        source = tmp_path / f"in{number}"
        make.coco(source / "annotations" / "instances_default.json", [one], ["images/a.png"])
        write_image(source / "images" / "a.png", photograph(1))
        whole = source if number % 2 else source / "annotations" / "instances_default.json"
        masks = imported("coco", whole, tmp_path / str(number))
        assert np.array_equal(masks["a"], filled(BOX)), one


def test_parts_of_one_coco_annotation_are_joined_and_not_cut_out(tmp_path):
    parts = [[v for point in corners(box) for v in point] for box in (BOX, SMALL, (50, 30, 55, 35))]
    make.coco(tmp_path / "in" / "a.json", [{"segmentation": parts}], ["a.png"])
    write_image(tmp_path / "in" / "a.png", photograph(1))
    mask = imported("coco", tmp_path / "in", tmp_path)["a"]
    assert np.array_equal(mask, filled(BOX) | filled((50, 30, 55, 35)))


def test_classes_keep_the_order_of_coco_and_unused_ones_are_told(tmp_path):
    boxes = [{"bbox": [1, 1, 4, 4], "category_id": n} for n in (4, 2)]
    names = ("person", "scratch", "background", "dent")
    make.coco(tmp_path / "in" / "a.json", boxes, ["a.png"], names)
    write_image(tmp_path / "in" / "a.png", photograph(1))
    made = import_annotations("coco", tmp_path / "in", tmp_path / "out")
    assert made.regions == {"scratch": 1, "dent": 1}
    assert (tmp_path / "out" / "classes.txt").read_bytes() == b"scratch\ndent\n"
    assert any("never used, so no class here: person" in note for note in made.notes)
    assert any("2 of 2 regions are boxes" in note for note in made.notes)


# Pascal VOC

PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * 747


def voc_mask(path: Path, classes: np.ndarray, mode: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode == "P":
        picture = Image.fromarray(classes, "P")
        picture.putpalette(PALETTE)
    else:
        picture = Image.fromarray(np.array(PALETTE, np.uint8).reshape(-1, 3)[classes])
    picture.save(path)


@pytest.mark.parametrize("mode", ["P", "RGB"])
@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nbackground:0,0,0::\nrust:128,0,0::\nchip:0,128,0::\n",
        ),
        ("class_names.txt", "_background_\nrust\nchip\n"),
        ("class_names.txt", "__ignore__\n_background_\nrust\nchip\n"),
        ("", ""),
    ],
)
def test_masks_of_voc_keep_their_classes(tmp_path, mode, file, text):
    source = tmp_path / "in"
    classes = filled(BOX) + filled(SMALL)
    voc_mask(source / "SegmentationClass" / "a.png", classes, mode)
    write_image(source / "JPEGImages" / "a.jpg", photograph(1))
    if file:
        (source / file).write_text(text)
    assert np.array_equal(imported("voc", source, tmp_path)["a"], classes)
    names = (tmp_path / "target" / "classes.txt").read_text().split("\n")[:2]
    assert names == (["rust", "chip"] if file else ["class 1", "class 2"])


def test_photographs_of_voc_may_lie_elsewhere_and_masks_are_no_photographs(tmp_path):
    for place in ("SegmentationClass", "SegmentationObject"):
        voc_mask(tmp_path / "in" / place / "a.png", filled(BOX), "P")
    write_image(tmp_path / "in" / "a.png", photograph(1))
    made = import_annotations("voc", tmp_path / "in", tmp_path / "out", good=True)
    assert (made.annotated, made.good) == (1, 0)
    assert np.array_equal(cv2.imread(str(made.folder / "images" / "a.png"), 0), photograph(1))


def test_borders_of_voc_that_nobody_cares_for_are_background(tmp_path):
    classes = filled(BOX)
    classes[5] = 255
    voc_mask(tmp_path / "in" / "SegmentationClass" / "a.png", classes, "P")
    write_image(tmp_path / "in" / "JPEGImages" / "a.jpg", photograph(1))
    mask = imported("voc", tmp_path / "in", tmp_path)["a"]
    assert np.array_equal(mask, np.where(classes == 255, 0, classes))


@pytest.mark.parametrize("place", ["Annotations", "."])
def test_boxes_of_voc_are_pixels_from_one_and_masks_count_more(tmp_path, place):
    source = tmp_path / "in"
    for name in ("a", "b"):
        make.voc_box(source / place / f"{name}.xml", BOX)
        write_image(
            source / ("JPEGImages" if place != "." else place) / f"{name}.jpg", photograph(1)
        )
    if place == "Annotations":
        voc_mask(source / "SegmentationClass" / "b.png", filled(SMALL), "P")
        (source / "class_names.txt").write_text("_background_\ndent\n")
    masks = imported("voc", source, tmp_path)
    assert sorted(masks) == ["a", "b"]
    assert np.array_equal(masks["a"], filled(BOX))
    assert np.array_equal(masks["b"], filled(SMALL if place == "Annotations" else BOX))


# CVAT


def test_every_shape_of_cvat_becomes_its_pixels(tmp_path):
    points = ";".join(f"{x}.0,{y}.0" for x, y in corners(BOX))
    rle = ", ".join(map(str, make.row_counts(np.ones((20, 30), np.uint8))))
    for number, text in enumerate(
        [
            f'<polygon label="d" source="manual" occluded="0" points="{points}" z_order="0"/>',
            '<box label="d" xtl="10" ytl="5" xbr="40" ybr="25"></box>',
            '<box label="d" xtl="15" ytl="0" xbr="35" ybr="30" rotation="90.0"/>',
            f'<mask label="d" rle="{rle}" left="10" top="5" width="30" height="20"/>',
            '<ellipse label="d" cx="25" cy="15" rx="15" ry="10"/>',
            '<polyline label="d" points="10.0,10.5;40.0,10.5"/>',
        ]
    ):
        make.cvat(tmp_path / f"in{number}" / "annotations.xml", text)
        write_image(tmp_path / f"in{number}" / "images" / "a.png", photograph(1))
        mask = imported("cvat", tmp_path / f"in{number}", tmp_path / str(number))["a"]
        if "ellipse" in text:
            assert mask.sum() == pytest.approx(np.pi * 150, rel=0.03)
        elif "polyline" in text:
            assert np.array_equal(mask[:, 11:39], filled((0, 9, 60, 12))[:, 11:39])
        else:
            assert np.array_equal(mask, filled(BOX)), text


def test_what_has_no_area_is_left_out_and_told(tmp_path):
    box = '<box label="d" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    text = f'<tag label="d"/><points label="d" points="1,1"/>{box}'
    make.cvat(tmp_path / "in" / "a.xml", text)
    write_image(tmp_path / "in" / "a.png", photograph(1))
    made = import_annotations("cvat", tmp_path / "in", tmp_path / "out")
    assert made.regions == {"d": 1}
    assert any("1 x tag left out" in note for note in made.notes)
    assert any("1 x points left out" in note for note in made.notes)
