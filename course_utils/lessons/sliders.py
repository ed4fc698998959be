"""A figure to play with: sliders for a person, a few fixed settings everywhere else."""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from IPython.display import clear_output, display
from ipywidgets import Checkbox, Dropdown, FloatSlider, HBox, IntSlider, Output, VBox, Widget
from matplotlib.figure import Figure

from course_utils.lessons.frontend import is_interactive, show_bundle
from course_utils.plots import show

Setting = Mapping[str, Any]
FigureFunction = Callable[..., Figure]


def explore(
    figure_function: FigureFunction, *, alt: str, fallback: Sequence[Setting], **sliders: Any
) -> None:
    """Show `figure_function(**values)` with a slider for each of its arguments.

    A slider is a tuple `(low, high, step)`, a list of choices, or a bool. Where a person runs
    the cell in a notebook, they get the sliders, set to the first fallback. Everywhere else,
    and so in stored notebooks, each of the `fallback` settings is shown as a figure. `alt`
    describes the figure for people who cannot see it; the setting is added to it.

    Raises:
        ValueError: for settings that do not fit the sliders.
        TypeError: where the function returns no figure, and whatever the function raises; errors
            that come up while a slider moves are shown in place of the figure.
    """
    _check_settings(sliders, fallback)
    if is_interactive():
        display(slider_panel(figure_function, alt=alt, start=fallback[0], sliders=sliders))
        return
    _say("Run this notebook in JupyterLab to move the sliders. Fixed settings are shown here.")
    for setting in fallback:
        figure = _draw(figure_function, setting)
        _say(_caption(setting))
        show(figure, f"{alt} ({_caption(setting)})")


def slider_panel(
    figure_function: FigureFunction, *, alt: str, start: Setting, sliders: Mapping[str, Any]
) -> VBox:
    """Return the sliders with the figure below them, drawn once at `start`.

    The first drawing raises its errors; later ones show them where the figure was.
    """
    controls = {name: _control(name, spec, start[name]) for name, spec in sliders.items()}
    output = Output()

    def redraw(_: object) -> None:
        # Output shows the traceback of what is raised inside it, in place of the old figure.
        with output:
            clear_output(wait=True)
            values = {name: control.value for name, control in controls.items()}
            show(_draw(figure_function, values), f"{alt} ({_caption(values)})")

    # Drawn outside of Output, which would let the cell pass in spite of an error.
    first = _draw(figure_function, start)
    with output:
        show(first, f"{alt} ({_caption(start)})")
    for control in controls.values():
        control.observe(redraw, "value")
    return VBox([HBox(list(controls.values()), layout={"flex_flow": "row wrap"}), output])


def _draw(figure_function: FigureFunction, setting: Setting) -> Figure:
    figure = figure_function(**setting)
    if not isinstance(figure, Figure):
        name = getattr(figure_function, "__name__", "the function")
        raise TypeError(f"{name} must return a matplotlib figure, got {type(figure).__name__}")
    return figure


def _control(name: str, spec: Any, value: Any) -> Widget:
    common = {"description": name.replace("_", " "), "style": {"description_width": "initial"}}
    if isinstance(spec, bool):
        return Checkbox(value=value, **common)
    if isinstance(spec, list):
        return Dropdown(options=spec, value=value, **common)
    low, high, step = spec
    whole = all(isinstance(number, int) for number in (*spec, value))
    kind = IntSlider if whole else FloatSlider
    # Redrawing takes a moment: wait until the slider is let go.
    return kind(value=value, min=low, max=high, step=step, continuous_update=False, **common)


def _check_settings(sliders: Mapping[str, Any], fallback: Sequence[Setting]) -> None:
    if not sliders:
        raise ValueError("no sliders: give at least one, such as gamma=(0, 5, 0.5)")
    if not fallback:
        raise ValueError("no fallback: give at least one setting to show without a kernel")
    for setting in fallback:
        if set(setting) != set(sliders):
            raise ValueError(
                f"fallback {dict(setting)} must set exactly the sliders {', '.join(sliders)}"
            )
        for name, spec in sliders.items():
            _check_value(name, spec, setting[name])


def _check_value(name: str, spec: Any, value: Any) -> None:
    if isinstance(spec, bool):
        if not isinstance(value, bool):
            raise ValueError(f"fallback {name}={value!r} must be True or False")
    elif isinstance(spec, list):
        if value not in spec:
            raise ValueError(f"fallback {name}={value!r} is not one of the choices {spec}")
    elif isinstance(spec, tuple) and len(spec) == 3:
        low, high, step = spec
        if not low < high or step <= 0:
            raise ValueError(f"slider {name}={spec} needs low < high and a step above 0")
        if not low <= value <= high:
            raise ValueError(f"fallback {name}={value!r} lies outside of {low}..{high}")
    else:
        raise ValueError(
            f"slider {name}={spec!r} must be (low, high, step), a list of choices, or a bool"
        )


def _caption(setting: Setting) -> str:
    return ", ".join(f"{name.replace('_', ' ')} = {value}" for name, value in setting.items())


def _say(text: str) -> None:
    show_bundle({"text/html": f"<p><em>{html.escape(text)}</em></p>", "text/plain": text})
