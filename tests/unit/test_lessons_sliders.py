"""Figures to play with: sliders for a person, fixed settings elsewhere, errors always shown."""

import pytest
from ipywidgets import Checkbox, Dropdown, FloatSlider, IntSlider
from matplotlib.figure import Figure

from course_utils.lessons import explore
from course_utils.lessons.sliders import slider_panel

SLIDERS = {"gamma": (0.0, 5.0, 0.5), "steps": (1, 9, 1), "kind": ["a", "b"], "log_axis": False}
START = {"gamma": 2.0, "steps": 3, "kind": "b", "log_axis": True}


def figure_of(**values):
    if values.get("steps") == 9:
        raise ArithmeticError("nine is too much")
    figure_of.calls.append(values)
    return Figure()


@pytest.fixture(autouse=True)
def _calls():
    figure_of.calls = []


def test_each_slider_gets_its_control_and_moving_it_draws_the_figure_anew():
    panel = slider_panel(figure_of, alt="A figure", start=START, sliders=SLIDERS)
    controls = panel.children[0].children
    assert [type(control) for control in controls] == [FloatSlider, IntSlider, Dropdown, Checkbox]
    assert [control.value for control in controls] == list(START.values())
    assert controls[3].description == "log axis"
    assert figure_of.calls == [START]
    controls[1].value = 5
    assert figure_of.calls[1:] == [START | {"steps": 5}]


def test_an_error_is_raised_at_the_first_drawing_while_moving_and_in_a_fallback():
    with pytest.raises(ArithmeticError, match="nine"):
        slider_panel(figure_of, alt="A figure", start=START | {"steps": 9}, sliders=SLIDERS)
    panel = slider_panel(figure_of, alt="A figure", start=START, sliders=SLIDERS)
    with pytest.raises(ArithmeticError, match="nine"):
        panel.children[0].children[1].value = 9
    with pytest.raises(ArithmeticError, match="nine"):
        explore(figure_of, alt="A figure", fallback=[START | {"steps": 9}], **SLIDERS)


def test_without_a_person_every_fallback_is_drawn(capsys):
    settings = [START, START | {"gamma": 0.0}]
    explore(figure_of, alt="A figure", fallback=settings, **SLIDERS)
    assert figure_of.calls == settings
    shown = capsys.readouterr().out
    assert "Run this notebook in JupyterLab to move the sliders" in shown
    assert "gamma = 0.0, steps = 3, kind = b, log axis = True" in shown


@pytest.mark.parametrize(
    ("fallback", "sliders", "said"),
    [
        ([{"gamma": 1}], {}, "no sliders"),
        ([], {"gamma": (0, 5, 1)}, "no fallback"),
        ([{"gama": 1}], {"gamma": (0, 5, 1)}, "exactly the sliders gamma"),
        ([{"gamma": 6}], {"gamma": (0, 5, 1)}, "outside of 0..5"),
        ([{"gamma": 1}], {"gamma": (5, 0, 1)}, "low < high"),
        ([{"gamma": 1}], {"gamma": (0, 5)}, r"must be \(low, high, step\)"),
        ([{"kind": "c"}], {"kind": ["a", "b"]}, "not one of the choices"),
        ([{"on": 1}], {"on": True}, "True or False"),
    ],
)
def test_settings_that_do_not_fit_the_sliders_are_refused(fallback, sliders, said):
    with pytest.raises(ValueError, match=said):
        explore(figure_of, alt="A figure", fallback=fallback, **sliders)


def test_a_function_that_returns_no_figure_is_named():
    with pytest.raises(TypeError, match="must return a matplotlib figure, got NoneType"):
        explore(lambda g: None, alt="A", fallback=[{"g": 1}], g=(0, 5, 1))
