import base64
import functools
import io
import itertools
import subprocess
import sys
from pathlib import Path
from unittest.mock import ANY, Mock

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from course_utils import plots
from course_utils.data.samples import Sample
from course_utils.evaluation import iou
from course_utils.plots import images, line_charts, notebook, style

RNG = np.random.default_rng(0)
IMAGE = RNG.random((3, 24, 30)).astype(np.float32)
MASK = np.zeros((24, 30), dtype=np.int64)
MASK[4:9, 5:12] = 1
MASK[15, 20] = 2
STEPS = np.arange(1, 40)
SCORES, TARGET = RNG.random(300), np.arange(300) < 20


class FewSamples:
    class_names = ("background", "scratch", "pit")
    channels = 3
    split_note = "Made for this test."

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Sample:
        image = torch.from_numpy(np.roll(IMAGE, index, axis=2))
        mask = torch.from_numpy(np.roll(MASK, index, axis=1) * (index > 0))
        return Sample(image, mask, int(index > 0), str(index), f"made/{index}")


def seeds(level: float) -> np.ndarray:
    return level + 0.02 * np.arange(5)


LONG = "A finding that needs so many words that they can never stand in one line of a figure " * 2
FIGURES = {
    "montage": lambda: plots.montage(
        [IMAGE] * 5, masks=[MASK, None] * 2 + [MASK], titles=["a rather long name/0001"] * 5,
        title=LONG, class_names=FewSamples.class_names,
    ),
    "one image": lambda: plots.montage([IMAGE], title=LONG),
    "samples": lambda: plots.samples(FewSamples(), range(6), title=LONG),
    "two samples": lambda: plots.samples(FewSamples(), [0, 1]),
    "two errors": lambda: plots.errors([IMAGE] * 2, [MASK] * 2, [MASK > 1] * 2, ["a", "b"]),
    "five errors": lambda: plots.errors([IMAGE] * 5, [MASK] * 5, [MASK] * 5, title=LONG),
    "errors of two networks": lambda: plots.errors(
        [IMAGE] * 5, [MASK] * 5, {"every image": [MASK] * 5, "one in ten": [MASK * 0] * 5}
    ),
    "lines": lambda: plots.lines(
        STEPS, {"cross entropy": 1 / STEPS, "focal": 2 / STEPS, "weighted": 2.02 / STEPS},
        xlabel="step", ylabel="loss", title=LONG, markers={"here": (20, 0.2)},
    ),
    "many lines": lambda: plots.lines(
        STEPS, {f"gamma {k}": STEPS**0.5 * k for k in range(8)}, xlabel="x", ylabel="y",
    ),
    "log lines": lambda: plots.lines(
        STEPS, {"a": np.outer(seeds(1), 1 / STEPS), "b": 9.0 / STEPS},
        xlabel="step", ylabel="loss", logx=True, logy=True,
    ),
    "lines that end together": lambda: plots.lines(
        STEPS, {f"a long name {k}": (40 - STEPS) * k for k in range(5)}, xlabel="x", ylabel="y"
    ),
    "panels": lambda: plots.lines_panels(
        [
            {"x": STEPS, "series": {"a": STEPS, "b": -STEPS}, "xlabel": "step", "ylabel": "value",
             "title": f"panel {k}"}
            for k in range(5)
        ],
        title=LONG,
    ),
    "roc and pr": lambda: plots.roc_and_pr(
        {"chance": (SCORES, TARGET), "better": (SCORES + TARGET / 2, TARGET)}, title=LONG
    ),
    "seed dots": lambda: plots.seed_dots(
        {"cross entropy": seeds(0.3), "focal": seeds(0.6)}, xlabel="IoU", title=LONG
    ),
    "grouped seed dots": lambda: plots.seed_dots(
        {c: {"plain": seeds(0.3), "focal": seeds(0.5)} for c in ("pit", "scratch")},
        xlabel="error", higher_is_better=False, title=LONG,
    ),
    "long names of grouped seed dots": lambda: plots.seed_dots(
        {c: {f"nearest patches, encoder number {i}": seeds(0.3) for i in range(5)} for c in "ab"},
        xlabel="AUPRO",
    ),
    "bars": lambda: plots.bars(
        {"background": 0.99, "scratch": 0.0099, "pit": 0.0001, "never": 0}, xlabel="share",
        log=True, fmt="{:.2%}", title=LONG,
    ),
    "signed bars": lambda: plots.bars({"loss": -0.3, "gain": 0.8}, xlabel="gain", fmt="{:+.2f}"),
    "a threshold": lambda: plots.threshold_view(
        [IMAGE] * 4, [MASK] * 4, RNG.random((4, 24, 30)) / 2 + (MASK > 0) / 3, 0.4
    ),
    "silence": lambda: plots.threshold_view([IMAGE], [MASK], [MASK * 0.2], 0.5),
    "heatmap": lambda: plots.heatmap(
        RNG.random((2, 9)), [f"a column {k}" for k in range(9)], ["a", "b"], xlabel="x",
        ylabel="y", title=LONG,
    ),
    "heat maps": lambda: plots.heat_maps(
        [IMAGE] * 6, [MASK] * 6, {"MemSeg": RNG.random((6, 24, 30)), "patches": [MASK] * 6},
        titles=["worst", "", "", "", "", "best"], title=LONG,
    ),
    "one heat map": lambda: plots.heat_maps([IMAGE], [MASK * 0], {"a": [MASK]}, limit=1.0),
    "confusion": lambda: plots.confusion(
        [[990_000, 1500, 0], [3, 2_000_000, 1], [0, 0, 0]], ["background", "scratch", "pit"],
        title=LONG,
    ),
    "pixel maps": lambda: plots.pixel_maps(
        {"plain": MASK - 0.5, "focal": torch.rand(24, 30)}, pictures={"image": IMAGE},
        diverging=True, label="gradient", title=LONG,
    ),
    "pixel maps apart": lambda: plots.pixel_maps(
        {"plain": MASK + 1e-4, "focal": RNG.random((24, 30))}, shared=False, log=True, label="size"
    ),
}  # fmt: skip


@pytest.fixture(params=FIGURES)
def figure(request: pytest.FixtureRequest) -> Figure:
    return drawn_once(request.param)


@functools.cache
def drawn_once(name: str) -> Figure:
    return FIGURES[name]()


def test_no_text_is_cut_and_no_two_texts_overlap(figure, monkeypatch):
    """Checked on the texts that are really drawn: ticks, legends and titles included."""
    last_place = {}  # a layout pass draws before the page itself does
    draw = Text.draw

    def record(text: Text, renderer) -> None:
        if text.get_visible() and text.get_text().strip():
            last_place[text] = (text.get_text(), Text.get_window_extent(text, renderer))
        draw(text, renderer)

    monkeypatch.setattr(Text, "draw", record)
    figure.savefig(io.BytesIO(), dpi=style.DPI)
    drawn = list(last_place.values())
    right, top = style.WIDTH * style.DPI, figure.get_size_inches()[1] * style.DPI
    for words, box in drawn:
        assert box.x0 >= -1, f"{words!r} is cut at the left"
        assert box.x1 <= right + 1, f"{words!r} is cut at the right"
        assert box.y0 >= -1, f"{words!r} is cut at the bottom"
        assert box.y1 <= top + 1, f"{words!r} is cut at the top"
    for (words, box), (others, other) in itertools.combinations(drawn, 2):
        across = min(box.x1, other.x1) - max(box.x0, other.x0)
        along = min(box.y1, other.y1) - max(box.y0, other.y0)
        assert not (across > 1.5 and along > 1.5), f"{words!r} lies on {others!r}"


def test_every_figure_has_the_width_of_a_notebook_and_is_small(figure):
    png = plots.as_png(figure)
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.width == style.WIDTH * style.DPI
        assert picture.height < 1300
    assert len(png) < 120_000


def test_drawing_leaves_no_trace_in_matplotlib():
    before = matplotlib.rcParams.copy()
    for name in ("montage", "lines", "pixel maps"):
        FIGURES[name]()
    assert matplotlib.rcParams == before
    assert plt.get_fignums() == []


def test_a_persons_own_settings_do_not_change_the_figures():
    plain = plots.as_png(drawn_once("lines"))
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 20, "xtick.color": "red"}):
        assert plots.as_png(FIGURES["lines"]()) == plain


def test_data_is_left_as_it_was():
    image, mask = IMAGE.copy(), MASK.copy()
    plots.overlay(image, mask)
    images.error_map(image, mask, mask)
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(mask, MASK)


def test_show_puts_the_alt_text_where_pages_look_for_it(monkeypatch):
    screen = Mock()
    monkeypatch.setattr(notebook, "get_ipython", lambda: object())
    monkeypatch.setattr(notebook, "display", screen)
    plots.show(drawn_once("bars"), alt="Background fills\n  almost everything.")
    alt = {"image/png": {"alt": "Background fills almost everything."}}
    screen.assert_called_once_with(ANY, metadata=alt, raw=True)
    (data,) = screen.call_args.args
    assert data["text/plain"] == "Background fills almost everything."
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")


def test_show_is_quiet_outside_ipython_and_insists_on_an_alt_text(capsys):
    plots.show(Figure(), alt="Nothing to see.")
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ValueError, match="alt is empty"):
        plots.show(Figure(), alt="  \n")


def test_the_png_keeps_the_colors_of_the_course():
    images = [RNG.random((3, 60, 60)) for _ in range(3)]
    figure = plots.montage(images, masks=[np.eye(60)] * 3, class_names=["background", "scratch"])
    with Image.open(io.BytesIO(plots.as_png(figure))) as picture:
        colors = {color for _, color in picture.convert("RGB").getcolors(1000)}
    for wanted in ("white", style.ORANGE):
        assert tuple(round(255 * part) for part in to_rgb(wanted)) in colors


def rgb(color: str) -> np.ndarray:
    return np.round(255 * np.array(to_rgb(color))).astype(int)


def test_a_defect_of_one_pixel_gets_a_ring_and_keeps_its_own_pixel():
    mask = np.zeros((9, 9), dtype=int)
    mask[4, 4] = 1
    picture = plots.overlay(np.zeros((9, 9)), mask)
    color = rgb(style.class_color(1))
    np.testing.assert_allclose(picture[4, 4], 0.45 * color, atol=1)
    np.testing.assert_array_equal(picture[[4, 3], [5, 4]], [color, color])
    assert not picture[4, 7].any()


def test_without_a_fill_the_line_alone_is_drawn():
    image, mask = np.full((24, 30), 0.5), (MASK > 0).astype(int)
    picture = plots.overlay(image, mask, fill=0)
    np.testing.assert_array_equal(picture[mask > 0], 128)
    assert (picture == rgb(style.class_color(1))).all(axis=-1).any()
    heads = (
        plots.montage([image], masks=[mask], fill=0),
        plots.heat_maps([image], [mask], {"a": [mask]}, fill=0),
    )
    for figure in heads:
        np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), picture)


def test_each_class_has_its_color():
    picture = plots.overlay(np.zeros((24, 30)), MASK)
    np.testing.assert_allclose(picture[6, 8], 0.45 * rgb(style.class_color(1)), atol=1)
    np.testing.assert_allclose(picture[15, 20], 0.45 * rgb(style.class_color(2)), atol=1)
    assert not picture[0, 0].any()


@pytest.mark.parametrize(
    "image",
    [
        np.full((1, 4, 5), 0.5),
        np.full((4, 5), 0.5, dtype=np.float32),
        np.full((4, 5, 3), 128, dtype=np.uint8),
        torch.full((3, 4, 5), 0.5, dtype=torch.bfloat16),
        torch.full((3, 4, 5), 0.5, requires_grad=True),
    ],
)
def test_images_of_every_common_form_are_taken(image):
    picture = plots.to_picture(image)
    assert picture.shape == (4, 5, 3)
    assert picture.dtype == np.uint8
    assert (picture == 128).all()


def test_hits_misses_and_false_alarms_have_three_colors():
    target = np.array([[1, 2, 0, 0, 2]])
    found = np.array([[1, 0, 1, 0, 1]])
    picture = images.error_map(np.zeros((1, 5)), target, found)
    expected = [style.HIT, style.MISSED, style.FALSE_ALARM, "black", style.MISSED]
    np.testing.assert_allclose(picture[0], [0.75 * rgb(color) for color in expected], atol=1)


def brightness(color: str) -> float:
    linear = [((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_results_differ_in_brightness_so_that_color_is_not_needed():
    levels = sorted(brightness(c) for c in (style.HIT, style.MISSED, style.FALSE_ALARM))
    assert all(right / left > 1.5 for left, right in itertools.pairwise(levels))


@pytest.mark.parametrize("color", style.METHODS)
def test_names_beside_lines_are_readable_on_white(color):
    contrast = 1.05 / (brightness(style.readable(color)) + 0.05)
    assert contrast > 4.4


def test_seeds_become_the_median_and_a_band_from_worst_to_best():
    runs = np.array([[1.0, 2.0], [5.0, 3.0], [2.0, 9.0]])
    axes = plots.lines([0, 1], {"a": runs}, xlabel="x", ylabel="y").axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [2.0, 3.0])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert {band.min(), band.max()} == {1.0, 9.0}


def test_a_name_keeps_its_color_in_every_panel():
    panels = [
        {"x": [0, 1], "series": {name: [0, 1] for name in names}, "xlabel": "x", "ylabel": "y"}
        for names in (["a", "b"], ["b"])
    ]
    left, right = plots.lines_panels(panels).axes
    assert left.lines[1].get_color() == right.lines[0].get_color() != left.lines[0].get_color()


@given(st.lists(st.floats(0, 100), max_size=8))
def test_names_are_spread_without_overlap_in_order_and_in_bounds(wanted):
    places = line_charts.space_out(np.array(wanted), 10.0, 0.0, 100.0)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(places[order]) > 10 - 1e-6).all()
    assert ((places > -1e-6) & (places < 100 + 1e-6)).all()


def test_names_that_do_not_collide_stay_where_they_are():
    wanted = np.array([50.0, 10.0, 90.0])
    np.testing.assert_allclose(line_charts.space_out(wanted, 10.0, 0.0, 100.0), wanted)


def test_a_curve_of_many_pixels_is_thinned_and_keeps_its_ends():
    scores = RNG.random(50_000)
    curve = plots.roc_and_pr({"net": (scores, scores + RNG.random(50_000) > 1)}).axes[0].lines[0]
    points = np.asarray(curve.get_xydata())
    assert len(points) <= 1502
    np.testing.assert_array_equal(points[[0, -1]], [[0, 0], [1, 1]])


def test_a_threshold_is_shown_with_the_scores_of_the_package():
    scores = RNG.random((2, 24, 30))
    found, target = scores >= 0.3, np.stack([MASK, MASK]) > 0
    view = plots.threshold_view([IMAGE] * 2, target, scores, 0.3)
    right = (found & target).sum()
    wanted = right / found.sum(), right / target.sum(), iou(found, target)
    assert "precision {:.2f}, recall {:.2f}, IoU {:.2f}".format(*wanted) in view.get_suptitle()
    (point,) = (line for line in view.axes[-1].lines if line.get_marker() == "o")
    np.testing.assert_allclose(point.get_xydata()[0], (wanted[1], wanted[0]))
    silent = plots.threshold_view([IMAGE] * 2, target, scores, 1.5)
    assert not [line for line in silent.axes[-1].lines if line.get_marker() == "o"]


def test_reference_lines_are_dashed_and_take_no_color_of_a_method():
    panel = {"x": [0, 1], "xlabel": "step", "ylabel": "AP"}
    panels = [
        {**panel, "series": {"first": [1, 2], "random": [0, 0]}},
        {**panel, "series": {"second": [1, 2], "random": [0, 0]}},
    ]
    figure = plots.lines_panels(panels, references=["random"])
    plain = plots.lines_panels([{**panel, "series": {"first": [1, 2], "second": [1, 2]}}])
    colors = [line.get_color() for line in plain.axes[0].lines]
    assert [axes.lines[0].get_color() for axes in figure.axes] == colors
    assert [line.get_linestyle() for line in figure.axes[1].lines] == ["-", "--"]


def test_percentages_never_round_a_mistake_away():
    figure = plots.confusion([[999_999, 1], [0, 5]], ["good", "defect"])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["99.99 %\n1 M", "< 0.01 %\n1", "0 %\n0", "100 %\n5"]


def test_a_shared_scale_is_one_scale():
    maps = {"a": np.eye(4), "b": 5 * np.eye(4)}
    together = plots.pixel_maps(maps, diverging=True)
    assert [axes.images[0].get_clim() for axes in together.axes[:2]] == [(-5, 5), (-5, 5)]
    apart = plots.pixel_maps(maps, shared=False)
    assert [axes.images[0].get_clim() for axes in apart.axes[:2]] == [(0, 1), (0, 5)]


@pytest.mark.parametrize("log", [False, True])
def test_a_scale_with_both_ends_does_not_depend_on_the_values(log):
    for values in (np.eye(4) + 0.2, 40 * np.eye(4) + 1e-9):
        figure = plots.pixel_maps({"a": values}, log=log, lower=0.01, limit=2.0)
        assert figure.axes[0].images[0].get_clim() == (0.01, 2.0)


BROKEN = {
    "image must lie in 0..1": lambda: plots.overlay(IMAGE * 3, MASK),
    "image must be": lambda: plots.to_picture(np.zeros((4, 5, 6))),
    "nan..nan": lambda: plots.to_picture(np.full((4, 4), np.nan)),
    "they must be equal": lambda: plots.overlay(IMAGE, MASK[:-1]),
    r"mask must be \(H, W\) class indices": lambda: plots.overlay(IMAGE, MASK + 0.5),
    "only the classes 1": lambda: style.class_color(0),
    "at least one image": lambda: plots.montage([]),
    "masks must have one entry for each of 2": lambda: plots.montage([IMAGE] * 2, masks=[MASK]),
    "titles must have one entry": lambda: plots.montage([IMAGE], titles=["a", "b"]),
    "columns must be at least 1": lambda: plots.montage([IMAGE], columns=0),
    "a mask holds class 2, but class_names names only 0..1": lambda: plots.montage(
        [IMAGE], masks=[MASK], class_names=["background", "scratch"]
    ),
    "name at least one sample": lambda: plots.samples(FewSamples(), []),
    "1 to 8 images": lambda: plots.errors([IMAGE] * 9, [MASK] * 9, [MASK] * 9),
    "1 to 4 images": lambda: plots.threshold_view([IMAGE] * 5, [MASK] * 5, [MASK] * 5, 0.5),
    "series is empty": lambda: plots.lines(STEPS, {}, xlabel="x", ylabel="y"),
    "series 'a' must be": lambda: plots.lines([1, 2], {"a": [1]}, xlabel="x", ylabel="y"),
    "series 'b' has no x: x holds only 'a'": lambda: plots.lines(
        {"a": [1, 2]}, {"a": [1, 2], "b": [1, 2]}, xlabel="x", ylabel="y"
    ),
    "a panel takes": lambda: plots.lines_panels([{"series": {"a": [1]}, "color": "red"}]),
    "at least one panel": lambda: plots.lines_panels([]),
    "results is empty": lambda: plots.roc_and_pr({}),
    "values is empty": lambda: plots.seed_dots({}, xlabel="x"),
    "one finite value for each seed": lambda: plots.seed_dots({"a": [np.nan]}, xlabel="x"),
    "bars needs finite": lambda: plots.bars({"a": np.inf}, xlabel="x"),
    "values above 0": lambda: plots.bars({"a": -1, "b": 2}, xlabel="x", log=True),
    "must have a row for each": lambda: plots.heatmap([[1, 2]], ["a"], ["b"]),
    "no finite value": lambda: plots.heatmap([[np.nan]], ["a"], ["b"]),
    "maps is empty": lambda: plots.pixel_maps({}),
    "map 'a' must be": lambda: plots.pixel_maps({"a": np.zeros((2, 3, 4))}),
    "1 to 8 images with a map each, got 9": lambda: plots.heat_maps(
        [IMAGE] * 9, [MASK] * 9, {"a": [MASK] * 9}
    ),
    "got 2 and 1 masks, 3 a": lambda: plots.heat_maps([IMAGE] * 2, [MASK], {"a": [MASK] * 3}),
    "maps 'a' must be finite and at least 0": lambda: plots.heat_maps(
        [IMAGE], [MASK], {"a": [MASK - 5.0]}
    ),
    "got 1 and 0 maps": lambda: plots.heat_maps([IMAGE], [MASK], {}),
    "lower must be below the upper end 1, got 2": lambda: plots.pixel_maps(
        {"a": np.eye(4)}, lower=2.0
    ),
    "lower must be above 0 and below the upper end 1": lambda: plots.pixel_maps(
        {"a": np.eye(4)}, log=True, lower=0.0
    ),
    "leave lower out": lambda: plots.pixel_maps({"a": np.eye(4)}, diverging=True, lower=0.0),
    "needs a positive value": lambda: plots.pixel_maps({"a": np.zeros((3, 4))}, log=True),
}


@pytest.mark.parametrize("message", BROKEN)
def test_broken_input_is_an_error_that_says_what_is_wanted(message):
    with pytest.raises(ValueError, match=message):
        BROKEN[message]()


def test_other_packages_are_imported_without_matplotlib():
    program = (
        "import sys, course_utils.anomaly, course_utils.data.synthetic_layouts, course_utils.plots;"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


def test_a_map_over_a_picture_hides_it_where_it_is_high_and_not_where_it_is_low():
    values = np.array([[0.0, 1.0], [2.0, 9.0]])
    picture = plots.heat_overlay(np.zeros((2, 2)), values, (1.0, 3.0))
    assert picture[0].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert picture[1, 1].sum() > picture[1, 0].sum() > 0
    with pytest.raises(ValueError, match="finite"):
        plots.heat_overlay(np.zeros((2, 2)), values * np.nan)
