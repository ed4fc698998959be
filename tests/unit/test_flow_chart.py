"""Flow charts: every box and arrow is drawn, and unknown names are refused."""

import pytest
from matplotlib.patches import FancyBboxPatch

from course_utils.plots.flow_chart import flow_chart

BOXES = {"image": (0, 0.5), "encoder": (1, 0), "memory": (1, 1)}
ARROWS = [("image", "encoder"), ("encoder", "memory", "f1, f2, f3")]


def drawn(figure):
    axes = figure.axes[0]
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None) is not None]
    return boxes, arrows, [text.get_text() for text in axes.texts if text.get_text()]


def test_every_box_and_arrow_is_there():
    boxes, arrows, texts = drawn(flow_chart(BOXES, ARROWS))
    assert len(boxes) == 3
    assert len(arrows) == 2
    assert texts == ["image", "encoder", "memory", "f1, f2, f3"]


def test_boxes_stand_in_their_columns_and_rows():
    figure = flow_chart(BOXES, ARROWS)
    place = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert place["image"][0] < place["encoder"][0] == place["memory"][0]
    assert place["encoder"][1] > place["image"][1] > place["memory"][1]


def test_arrows_go_from_box_to_box_the_right_way():
    _, arrows, _ = drawn(flow_chart(BOXES, ARROWS))
    (to_right, downwards) = arrows
    assert to_right.xyann[0] < to_right.xy[0]
    assert downwards.xyann[1] > downwards.xy[1]


def test_strong_boxes_are_filled():
    boxes, _, _ = drawn(flow_chart(BOXES, ARROWS, strong=["memory"]))
    blue = flow_chart({"a": (0, 0)}, [], strong=["a"]).axes[0].patches[0].get_facecolor()
    assert [box.get_facecolor() == blue for box in boxes] == [False, False, True]


@pytest.mark.parametrize(
    ("arrows", "strong"), [([("image", "decoder")], []), ([], ["decoder"]), ([("x", "image")], [])]
)
def test_unknown_names_are_refused(arrows, strong):
    with pytest.raises(ValueError, match="no box is named"):
        flow_chart(BOXES, arrows, strong=strong)


def test_no_box_is_refused():
    with pytest.raises(ValueError, match="empty"):
        flow_chart({}, [])
