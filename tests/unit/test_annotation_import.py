"""What imports of all tools have in common: layers, EXIF, good images, and faults."""

import annotated as make
import numpy as np
import pytest
from annotated import BOX, SMALL, corners, filled, imported, photograph, shape
from few_images import write_image
from PIL import Image, ImageOps

from course_utils.data import open_dataset
from course_utils.data.annotations import import_annotations


def test_smaller_regions_lie_on_top_unless_the_tool_says_otherwise(tmp_path):
    small, large = shape("small", corners(SMALL)), shape("large", corners(BOX))
    make.labelme(tmp_path / "in" / "a.json", [small, large], photograph(1))
    make.labelme(tmp_path / "in" / "b.json", [large, small], photograph(2))
    masks = imported("labelme", tmp_path / "in", tmp_path)
    for mask in masks.values():
        assert np.array_equal(mask, filled(BOX) + filled(SMALL))  # in the order of the alphabet
    boxes = "".join(
        f'<box label="{label}" xtl="{b[0]}" ytl="{b[1]}" xbr="{b[2]}" ybr="{b[3]}" z_order="{z}"/>'
        for label, b, z in (("large", BOX, 1), ("small", SMALL, 0), ("small", (50, 1, 55, 5), 0))
    )
    make.cvat(tmp_path / "layers" / "a.xml", boxes)
    write_image(tmp_path / "layers" / "a.png", photograph(1))
    mask = imported("cvat", tmp_path / "layers", tmp_path / "x")["a"]
    assert np.array_equal(mask, filled(BOX) + filled((50, 1, 55, 5), 2))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize(
    ("orientation", "drawn_on"),
    [
        *((turned, "shown") for turned in range(2, 9)),
        *((turned, "stored") for turned in range(5, 9)),
    ],
)
def test_photographs_that_exif_turns_agree_with_their_masks(
    tmp_path, orientation, drawn_on, suffix
):
    stored = np.full((40, 60), 30, np.uint8)
    stored[5:25, 10:40] = 220
    picture = Image.fromarray(stored)
    exif = picture.getexif()
    exif[0x0112] = orientation
    source = tmp_path / "in"
    source.mkdir()
    picture.save(source / f"a{suffix}", exif=exif)
    with Image.open(source / f"a{suffix}") as opened:
        shown = np.asarray(ImageOps.exif_transpose(opened).convert("L")) > 120
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    box = BOX
    if drawn_on == "shown":
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    height, width = shown.shape if drawn_on == "shown" else (40, 60)
    make.labelme(
        source / "a.json",
        [shape("d", corners(box))],
        None,
        imageHeight=height,
        imageWidth=width,
        imagePath=f"a{suffix}",
    )
    mask = imported("labelme", source, tmp_path)["a"]
    with Image.open(tmp_path / "target" / "images" / "a.png") as written:
        assert written.getexif().get(0x0112, 1) == 1
        pixels = np.asarray(written.convert("L")) > 120
    assert (pixels != mask).mean() < 0.03  # JPEG blurs edges
    assert mask.sum() == 600


def test_images_without_a_region_are_good_only_if_the_person_says_so(tmp_path):
    for name, boxes in {"a": [shape("d", corners(BOX))], "b": []}.items():
        make.labelme(tmp_path / "in" / f"{name}.json", boxes, photograph(1))
    write_image(tmp_path / "in" / "c.bmp", photograph(2))
    made = import_annotations("labelme", tmp_path / "in", tmp_path / "out")
    assert (made.annotated, made.good) == (1, 0)
    assert not (tmp_path / "out" / "good").exists()
    assert "2 images have no region and were left out" in made.notes[0]
    made = import_annotations("labelme", tmp_path / "in", tmp_path / "out2", good=True)
    assert made.good == 2
    assert sorted(path.name for path in (tmp_path / "out2" / "good").iterdir()) == [
        "b.png",
        "c.bmp",
    ]
    labels = [sample.label for sample in open_dataset(f"folder:{made.folder}", "all", size=32)]
    assert labels == [1, 0, 0]


def test_images_of_one_name_in_several_folders_stay_apart(tmp_path):
    for number, place in enumerate(("cam1", "cam2")):
        make.labelme(
            tmp_path / "in" / place / "0001.json", [shape("d", corners(BOX))], photograph(number)
        )
    masks = imported("labelme", tmp_path / "in", tmp_path, good=True)
    assert len(masks) == 2
    assert sorted(p.stem for p in (tmp_path / "target" / "images").iterdir()) == sorted(masks)


def test_given_classes_decide_the_order_and_another_label_is_a_fault(tmp_path):
    shapes = [shape("dent", corners(BOX)), shape("Scratch", corners(SMALL))]
    make.labelme(tmp_path / "in" / "a.json", shapes, photograph(1))
    names = tmp_path / "names.txt"
    names.write_bytes("\ufeffScratch\r\npit\r\ndent\r\n".encode())
    mask = imported("labelme", tmp_path / "in", tmp_path, classes=names)["a"]
    assert np.array_equal(mask, 3 * filled(BOX) - 2 * filled(SMALL))
    assert (tmp_path / "target" / "classes.txt").read_text() == "Scratch\npit\ndent\n"
    names.write_text("scratch\ndent\n")
    with pytest.raises(ValueError, match=r"label 'Scratch' on a\.png, which the file of --classes"):
        import_annotations("labelme", tmp_path / "in", tmp_path / "other", classes=names)
    assert not (tmp_path / "other").exists()


def faults_of(tool, source, tmp_path, **options):
    """Return the message of an import that fails, which leaves nothing behind."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises((ValueError, OSError)) as caught:
        import_annotations(tool, source, tmp_path / "target", **options)
    assert sorted(tmp_path.iterdir()) == before
    return str(caught.value)


def test_all_faults_are_told_at_once_each_with_its_file_and_nothing_is_made(tmp_path):
    source = tmp_path / "in"
    box = shape("d", corners(BOX))
    make.labelme(source / "good.json", [box], photograph(1))
    (source / "cut.json").write_text('{"shapes": [')
    (source / "other.json").write_text('{"images": []}')
    make.labelme(source / "gone.json", [box], None)
    make.labelme(source / "size.json", [box], photograph(1, 20, 30))
    make.labelme(source / "far.json", [shape("d", [[0, 0], [9000, 0], [1, 1]])], photograph(1))
    make.labelme(source / "outside.json", [shape("d", corners((70, 1, 90, 9)))], photograph(1))
    make.labelme(source / "two.json", [shape("d", [[1, 1], [2, 2]])], photograph(1))
    make.labelme(source / "unlabeled.json", [shape("", corners(BOX))], photograph(1))
    make.labelme(source / "cube.json", [shape("d", corners(BOX), "cuboid")], photograph(1))
    make.labelme(source / "text.json", [shape("d", [["a", 1]])], photograph(1))
    make.labelme(source / "list.json", ["polygon"], photograph(1))
    make.labelme(source / "mask.json", [shape("d", [[1, 1], [2, 2]], "mask")], photograph(1))
    blob = shape("d", [[55, 35], [59, 39]], "mask", mask=make.as_png(filled(BOX)))
    make.labelme(source / "blob.json", [blob], photograph(1))
    make.labelme(source / "no_png.json", [{**blob, "mask": "AAAA"}], photograph(1))
    make.labelme(source / "broken.json", [box], None)
    (source / "broken.png").write_bytes(b"no picture")
    make.labelme(source / "again.json", [box], None, imagePath="good.png")
    told = faults_of("labelme", source, tmp_path)
    for fact in (
        "cut.json is no JSON",
        "other.json is no file of LabelMe",
        "gone.json names the image gone.png, which is not in",
        "size.json was drawn on size.png at 60 x 40, but the image is 30 x 20",
        "far outside the image of 60 x 40",
        "on outside.png: it lies outside of the image",
        "two.json, a region 'd' on two.png: it has 2 points and wants 3",
        "a region on unlabeled.png has no label",
        "cube.json, shape 1: shapes of the kind 'cuboid' are not known",
        "text.json, shape 1",
        "list.json, shape 1",
        "mask.json, shape 1: it is a mask without pixels",
        "leaves the image of 60 x 40",
        "its mask is no picture",
        "broken.png cannot be read as an image",
        "good.png is annotated twice",
    ):
        assert fact in told, (fact, told)


def test_more_faults_than_anybody_reads_are_counted(tmp_path):
    for number in range(30):
        make.labelme(tmp_path / "in" / f"{number}.json", [shape("d", corners(BOX))], None)
    told = faults_of("labelme", tmp_path / "in", tmp_path).splitlines()
    assert (len(told), told[0], told[-1].strip()) == (22, "30 faults:", "and 10 more")


def coco_with(path, **changed):
    make.coco(path, [{"bbox": [1, 1, 9, 9], **changed}], ["a.png"])
    write_image(path.parent / "a.png", photograph(1))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"image_id": 7}, "annotation 1 belongs to image 7, which is not listed"),
        ({"category_id": 7}, "annotation 1 is of category 7, which is not listed"),
        ({"bbox": None}, "neither a segmentation nor a bbox"),
        ({"bbox": [1, 2, "wide", 4]}, "annotation 1"),
        ({"segmentation": [[1, 2, 3]]}, "are no points: want pairs"),
        ({"segmentation": {"size": [40, 60]}}, "want counts and a size"),
        ({"segmentation": {"counts": [10], "size": [40, 60]}}, "do not make up the 2400 pixels"),
        ({"segmentation": {"counts": [2400], "size": [60, 40]}}, "are for 40 x 60, the image is"),
        ({"segmentation": {"counts": "~~", "size": [40, 60]}}, "no part of COCO's run lengths"),
    ],
)
def test_faults_of_coco_are_named(tmp_path, changed, told):
    coco_with(tmp_path / "in" / "a.json", **changed)
    assert told in faults_of("coco", tmp_path / "in", tmp_path)


def test_faults_of_xml_are_named(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name, text in {
        "cut.xml": "<annotations><image",
        "voc.xml": "<annotation/>",
        "video.xml": "<annotations><track id='0'/></annotations>",
        "lacks.xml": "<annotations><image name='a.png' width='60' height='40'><box label='d'/>"
        "<ball label='d'/><mask label='d' rle='3,4' left='0' top='0' width='9' height='9'/>"
        "<polygon label='d' points='1,2;3'/></image></annotations>",
    }.items():
        (source / name).write_text(text)
    write_image(source / "a.png", photograph(1))
    told = faults_of("cvat", source, tmp_path)
    for fact in (
        "cut.xml is no XML",
        "voc.xml holds <annotation> where <annotations> is wanted",
        "export it as 'CVAT for images 1.1'",
        "lacks.xml, a.png, shape 1 <box>: it has no 'xtl'",
        "shape 2 <ball>: shapes of this kind are not known",
        "shape 4 <polygon>",
    ):
        assert fact in told, (fact, told)


def test_faults_of_voc_are_named(tmp_path):
    source = tmp_path / "in"
    make.voc_box(source / "Annotations" / "a.xml", BOX)
    write_image(source / "JPEGImages" / "a.jpg", photograph(1))
    (source / "Annotations" / "b.xml").write_text("<annotation><object/></annotation>")
    (source / "labelmap.txt").write_text("background:0,0,0::\nrust;128,0,0\n")
    colors = np.zeros((40, 60, 3), np.uint8)
    colors[3:9, 3:9] = (1, 2, 3)
    write_image(source / "SegmentationClass" / "c.png", colors)
    write_image(source / "SegmentationClass" / "d.png", filled(BOX, 0, 20, 20))
    (source / "SegmentationClass" / "e.png").write_bytes(b"x")
    told = faults_of("voc", source, tmp_path)
    for fact in (
        "'rust;128,0,0' is not name:red,green,blue::",
        "b.xml, object 1 has no box",
        "c.png holds the value (3, 2, 1), which labelmap.txt or class_names.txt does not name",
        "e.png cannot be read",
        "d.png names the image d, which is not in",
    ):
        assert fact in told, (fact, told)


def test_a_source_without_annotations_says_what_the_tool_writes(tmp_path):
    (tmp_path / "in").mkdir()
    for tool, told in {
        "labelme": "one for each image",
        "coco": "instances_default.json",
        "voc": "SegmentationClass",
        "cvat": "annotations.xml",
    }.items():
        assert told in faults_of(tool, tmp_path / "in", tmp_path)
        assert "there is no folder" in faults_of(tool, tmp_path / "nowhere", tmp_path)


def test_nothing_of_the_persons_is_overwritten(tmp_path):
    make.labelme(tmp_path / "in" / "a.json", [shape("d", corners(BOX))], photograph(1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path / "mine", tmp_path / "file"):
        with pytest.raises(FileExistsError, match="nothing is overwritten"):
            import_annotations("labelme", tmp_path / "in", target)
    with pytest.raises(FileExistsError, match="lies within"):
        import_annotations("labelme", tmp_path / "in", tmp_path / "in" / "masks")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    made = import_annotations("labelme", tmp_path / "in", tmp_path / "empty")
    assert sorted(p.name for p in made.folder.iterdir()) == ["classes.txt", "images", "masks"]


def test_whoever_stops_it_leaves_nothing(tmp_path):
    for name in "ab":
        make.labelme(tmp_path / "in" / f"{name}.json", [shape("d", corners(BOX))], photograph(1))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_annotations("labelme", tmp_path / "in", tmp_path / "target", tick=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_pictures_of_other_kinds_become_png_and_what_systems_leave_is_no_image(tmp_path):
    source = tmp_path / "in"
    make.labelme(source / "a.json", [shape("d", corners(BOX))], None, imagePath="a.tif")
    Image.fromarray(photograph(1)).save(source / "a.tif")
    (source / "._a.json").write_bytes(b"\0\5\26\7")
    (source / "Thumbs.db").write_bytes(b"x")
    write_image(source / "@eaDir" / "b.png", photograph(2))
    made = import_annotations("labelme", source, tmp_path / "out", good=True)
    assert (made.annotated, made.good) == (1, 0)
    with Image.open(tmp_path / "out" / "images" / "a.png") as picture:
        assert np.array_equal(np.asarray(picture), photograph(1))


def test_labels_that_differ_in_capitals_alone_are_told(tmp_path):
    shapes = [
        shape("Dent", corners(BOX)),
        shape("dent", corners(SMALL)),
        shape("_background_", corners(SMALL)),
    ]
    make.labelme(tmp_path / "in" / "a.json", shapes, photograph(1))
    made = import_annotations("labelme", tmp_path / "in", tmp_path / "out")
    assert made.regions == {"Dent": 1, "dent": 1}
    assert any("became two classes" in note for note in made.notes)
    assert any("1 regions with a label of the background" in note for note in made.notes)
