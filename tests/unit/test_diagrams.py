"""Flow charts and the drawn U: every box, stage and arrow, readable."""

import dataclasses
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.text import Annotation

from course_utils.models import UNet, feature_shapes
from course_utils.plots import flow_chart, unet_diagram
from course_utils.plots.style import GREEN, WIDTH

BOXES = {"image": (0, 0.5), "encoder": (1, 0), "memory": (1, 1)}
ARROWS = [("image", "encoder"), ("encoder", "memory", "f1, f2, f3")]


def parts_of(figure):
    axes = figure.axes[0]
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None) is not None]
    return boxes, arrows, [text.get_text() for text in axes.texts if text.get_text()]


def test_every_box_and_arrow_is_in_its_place_and_strong_boxes_are_filled():
    figure = flow_chart(BOXES, ARROWS, strong=["memory"])
    boxes, (to_right, downwards), texts = parts_of(figure)
    assert texts == ["image", "encoder", "memory", "f1, f2, f3"]
    place = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert place["image"][0] < place["encoder"][0] == place["memory"][0]
    assert place["encoder"][1] > place["image"][1] > place["memory"][1]
    assert to_right.xyann[0] < to_right.xy[0]
    assert downwards.xyann[1] > downwards.xy[1]
    blue = flow_chart({"a": (0, 0)}, [], strong=["a"]).axes[0].patches[0].get_facecolor()
    assert [box.get_facecolor() == blue for box in boxes] == [False, False, True]


@pytest.mark.parametrize(
    ("boxes", "arrows", "strong", "message"),
    [
        (BOXES, [("image", "decoder")], [], "no box is named 'decoder'"),
        (BOXES, [("x", "image")], [], "no box is named 'x'"),
        (BOXES, [], ["decoder"], "no box is named 'decoder'"),
        ({}, [], [], "empty"),
    ],
)
def test_unknown_names_and_no_box_are_refused(boxes, arrows, strong, message):
    with pytest.raises(ValueError, match=message):
        flow_chart(boxes, arrows, strong=strong)


# The drawn U

FORMS = {
    "slim": (UNet(3, 4), 128, None),
    "no skips": (UNet(3, 4, skips=False), 128, None),
    "valid": (UNet(1, 2, width=64, depth=3, padding="valid"), 572, None),
    "not square": (UNet(3, 4), 512, 384),
    "shallow": (UNet(1, 1, depth=1), 64, None),
    "deep": (UNet(1, 1, depth=6, width=4), 256, None),
}


@pytest.fixture(scope="module", params=FORMS)
def drawn(request):
    model, height, width = FORMS[request.param]
    stages = feature_shapes(model, height, width)
    return stages, unet_diagram(stages, title="A finding")


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def test_each_stage_has_its_box_and_its_size_in_words(drawn):
    stages, figure = drawn
    maps = [stages.image, *stages.down, *stages.up, stages.output]
    boxes = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert len(boxes) == len(maps)
    square = stages.image.height == stages.image.width
    for one in maps:
        side = f"{one.height}" if square else f"{one.height}\N{MULTIPLICATION SIGN}{one.width}"
        assert f"{side} px · {one.channels}" in words(figure)
    tall = [(m.height, box.get_height()) for m, box in zip(maps, boxes, strict=True)]
    wide = [(m.channels, box.get_width()) for m, box in zip(maps, boxes, strict=True)]
    for pairs in (tall, wide):
        assert (np.diff([drawn for _, drawn in sorted(pairs)]) >= 0).all()


def skip_arrows(figure):
    notes = [text for text in figure.axes[0].texts if isinstance(text, Annotation)]
    arrows = [note.arrow_patch for note in notes]
    return [arrow for arrow in arrows if to_hex(arrow.get_edgecolor()).upper() == GREEN.upper()]


def test_there_is_an_arrow_for_each_skip_and_one_in_the_legend(drawn):
    stages, figure = drawn
    assert len(skip_arrows(figure)) == (len(stages.up) + 1 if stages.skips else 0)
    assert ("no skip connections" in words(figure)) is not stages.skips


def test_crops_are_written_where_a_skip_is_larger_than_what_it_joins(drawn):
    stages, figure = drawn
    crops = [text for text in words(figure) if text.startswith("crop")]
    wanted = [
        f"crop {seen.height} → {grown.height}"
        for seen, grown in zip(stages.down[-2::-1], stages.upsampled, strict=True)
        if seen.height != grown.height
    ]
    assert crops == wanted
    assert ("skip: crop and join" in words(figure)) is bool(crops)


def test_all_words_lie_inside_the_page_and_apart_from_each_other(drawn):
    _, figure = drawn
    figure.draw_without_rendering()
    assert figure.get_figwidth() == WIDTH
    texts = [text for text in [*figure.axes[0].texts, *figure.texts] if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    for box in boxes:
        assert 0 <= box.x0 <= box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 <= box.y1 <= figure.bbox.y1
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def test_the_sizes_of_the_paper_show_its_crops():
    figure = unet_diagram(feature_shapes(UNet(1, 2, width=8, padding="valid"), 572))
    crops = [text for text in words(figure) if text.startswith("crop")]
    assert crops == ["crop 64 → 56", "crop 136 → 104", "crop 280 → 200", "crop 568 → 392"]


def test_a_way_up_that_does_not_fit_is_refused():
    stages = feature_shapes(UNet(width=2, depth=2), 16)
    with pytest.raises(ValueError, match="3 down, 2 upsampled, 1 up"):
        unet_diagram(dataclasses.replace(stages, up=stages.up[:1]))
