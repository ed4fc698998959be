"""Curves that grow for a person, and one finished figure for everybody."""

import base64

import numpy as np
import pytest

import course_utils.lessons.live as live
from course_utils.lessons.live import LiveCurves
from course_utils.plots import training_curves
from course_utils.training.history import History


def history(steps, level=1.0, every=2):
    rows = [
        {"step": step, "IoU": step / 100, "Dice": step / 50}
        for step in range(every, steps + 1, every)
    ]
    return History([level / (step + 1) for step in range(steps)], [0.01] * steps, rows)


class Screen:
    """What a notebook would store: outputs by display, and how often one was drawn anew."""

    def __init__(self):
        self.stored, self.finished, self.drawings = {}, [], 0

    def display(self, bundle, *, raw, metadata, display_id, update):
        assert raw
        assert update is (display_id in self.stored)
        self.stored[display_id] = (bundle, metadata)
        self.drawings += 1


@pytest.fixture
def screen(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(live, "display", screen.display)
    monkeypatch.setattr(live, "show", lambda figure, alt: screen.finished.append((figure, alt)))
    return screen


@pytest.fixture
def clock(monkeypatch):
    """Drawing takes one second by this clock, and makes no real picture."""
    now = [0.0]
    monkeypatch.setattr(live, "monotonic", lambda: now[0])

    def slow(figure):
        now[0] += 1.0
        return b"up to step %d" % figure.axes[0].lines[0].get_xdata()[-1]

    monkeypatch.setattr(live, "as_png", slow)
    return now


@pytest.fixture
def person(monkeypatch):
    cell = ["first cell"]
    monkeypatch.setattr(live, "is_interactive", lambda: True)
    monkeypatch.setattr(live, "execution_id", lambda: cell[0])
    return cell


def labels(figure):
    return [axes.get_ylabel() for axes in figure.axes]


def picture(bundle):
    return base64.b64decode(bundle["image/png"])


def test_nobody_sees_anything_but_the_finished_figure(screen):
    with LiveCurves(alt="Both fall.") as curves:
        for name in ("plain", "focal"):
            watch = curves.run(name)
            for steps in (2, 4, 6):
                watch(history(steps))
        assert (screen.stored, screen.finished) == ({}, [])
    ((figure, alt),) = screen.finished
    assert alt == "Both fall."
    assert labels(figure) == ["loss (mean of 10 steps)", "IoU", "Dice"]
    assert [line.get_label() for line in figure.axes[0].lines] == ["plain", "focal"]
    assert screen.stored == {}


def test_a_person_sees_one_figure_change_in_its_place(screen, person, clock):
    seen = []
    with LiveCurves(alt="Both\n fall.") as curves:
        watch = curves.run("plain")
        for steps in (2, 4, 6):
            watch(history(steps))
            clock[0] += 100
            ((bundle, _),) = screen.stored.values()
            seen.append(picture(bundle))
    assert seen == [b"up to step 2", b"up to step 4", b"up to step 6"]
    assert screen.finished == []
    ((bundle, metadata),) = screen.stored.values()
    assert bundle["text/plain"] == "Both fall."
    assert metadata == {"image/png": {"alt": "Both fall."}}


def test_drawing_takes_a_tenth_of_the_time_and_the_last_state_is_always_drawn(
    screen, person, clock
):
    curves = LiveCurves(alt="It falls.")
    watch = curves.run("plain")
    for steps in range(2, 42, 2):  # 20 evaluations, two seconds apart
        watch(history(steps))
        clock[0] += 2
    assert screen.drawings == 4
    watch(history(42))
    curves.finish()
    assert screen.drawings in (5, 6)
    ((bundle, _),) = screen.stored.values()
    assert picture(bundle) == b"up to step 42"


def test_in_another_cell_the_figure_moves_there(screen, person, clock):
    curves = LiveCurves(alt="It falls.")
    curves.run("plain")(history(2))
    person[0] = "second cell"
    curves.finish()
    first, second = (bundle for bundle, _ in screen.stored.values())
    assert "image/png" not in first
    assert "another cell" in first["text/plain"]
    assert "image/png" in second


def test_finishing_twice_shows_the_figure_once_and_ends_the_curves(screen):
    with LiveCurves(alt="It falls.") as curves:
        curves.run("plain")(history(2))
        curves.finish()
    assert len(screen.finished) == 1
    with pytest.raises(ValueError, match="finished: make new ones"):
        curves.run("focal")


def test_an_error_while_training_shows_no_finished_figure(screen):
    curves = LiveCurves(alt="It falls.")
    curves.run("plain")(history(2))
    with pytest.raises(KeyboardInterrupt), curves:
        raise KeyboardInterrupt
    assert screen.finished == []


def test_seeds_of_a_name_become_one_line_with_a_band(screen):
    with LiveCurves(alt="It falls.", smooth=1, metrics=["IoU"]) as curves:
        for seed, level in enumerate((1.0, 3.0, 2.0)):
            curves.run("focal", seed=seed)(history(6, level))
    ((figure, _),) = screen.finished
    assert labels(figure) == ["loss", "IoU"]
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), np.array(history(6, 2.0).loss))
    assert len(figure.axes[0].collections) == 1


def test_a_seed_that_has_just_begun_cuts_no_other_short_and_a_second_run_replaces_the_first(screen):
    with LiveCurves(alt="It falls.") as curves:
        curves.run("focal", seed=4)(history(6))
        curves.run("focal", seed=5)(history(2))
        curves.run("plain")(history(8))
        curves.run("plain")(history(4))
    ((figure, _),) = screen.finished
    lengths = {line.get_label(): len(line.get_xdata()) for line in figure.axes[0].lines}
    assert lengths == {"focal": 6, "plain": 4, "focal, seed 5": 2}


def test_curves_that_say_nothing_are_refused():
    with pytest.raises(ValueError, match="alt is empty"):
        LiveCurves(alt=" ")
    with pytest.raises(ValueError, match=r"on_evaluation=curves\.run"), LiveCurves(alt="Nothing."):
        pass


def test_the_loss_drawn_is_the_mean_of_the_last_steps():
    losses = [5.0, 1.0, 3.0, 2.0, 10.0]
    figure = training_curves({"a": History(losses)}, smooth=3)
    wanted = [np.mean(losses[max(0, end - 3) : end]) for end in range(1, 6)]
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), wanted)
    assert line.get_xdata().tolist() == [1, 2, 3, 4, 5]


def test_metrics_stand_at_the_steps_of_their_evaluations_and_one_alone_is_a_dot():
    figure = training_curves({"a": history(6), "b": history(6, every=3)}, metrics=["Dice"])
    first, second = figure.axes[1].lines
    assert first.get_xdata().tolist() == [2, 4, 6]
    assert first.get_ydata().tolist() == [0.04, 0.08, 0.12]
    assert second.get_xdata().tolist() == [3, 6]
    assert training_curves({"a": history(2)}).axes[1].lines[0].get_marker() == "o"


@pytest.mark.parametrize(
    ("runs", "settings", "said"),
    [
        ({}, {}, "no run has done a step"),
        ({"a": History()}, {}, "no run has done a step"),
        ({"a": history(4)}, {"smooth": 0}, "at least 1 step"),
        ({"a": history(4)}, {"metrics": ["AP"]}, "no run has evaluated AP: there is IoU, Dice"),
    ],
)
def test_curves_that_cannot_be_drawn_are_refused(runs, settings, said):
    with pytest.raises(ValueError, match=said):
        training_curves(runs, **settings)
