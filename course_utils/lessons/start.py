"""The first call of every lesson: check the parameters, seed everything, say what is running."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
import torch

from course_utils.config import (
    MAX_SEED,
    PRECISION_NAMES,
    Profile,
    get_profile,
    pick_device,
    pick_precision,
    seed_everything,
)
from course_utils.lessons.cards import QUIET_STYLE, Tone, inline_html, quiet_html, show_card
from course_utils.lessons.content import find_lesson
from course_utils.lessons.frontend import is_interactive
from course_utils.lessons.metrics import forget_metrics
from course_utils.lessons.parameters import LessonParameters, read_parameters
from course_utils.lessons.prediction import forget_predictions
from course_utils.lessons.records import LESSON_MIME
from course_utils.lessons.spec import LessonSpec

T = TypeVar("T")

SMOKE_WARNING = (
    "A smoke run only shows that everything works: networks train for a few steps, so figures and "
    "text need not agree. Profile `laptop` shows what the text describes."
)
REPORTED_PACKAGES = ("course-utils", "torch", "torchvision", "numpy")


@dataclass(frozen=True)
class Lesson:
    """A lesson that has started: its checked parameters and where it computes."""

    name: str
    profile: Profile
    dataset: str
    seed: int
    device: torch.device
    precision: str
    parameters: LessonParameters
    rng: np.random.Generator

    @property
    def progress(self) -> bool:
        """Whether to show progress bars: only where a person watches."""
        return is_interactive()

    def pick(self, *, smoke: T, laptop: T, full: T) -> T:
        """Return the value of the active profile.

        Example:
            >>> from course_utils.lessons import start_lesson
            >>> lesson = start_lesson("00_start_here", profile="smoke")  # doctest: +ELLIPSIS
            ◆ Lesson 00 · Start here...
            >>> lesson.pick(smoke=1, laptop=10, full=100)
            1
        """
        return {Profile.SMOKE: smoke, Profile.LAPTOP: laptop, Profile.FULL: full}[self.profile]

    def seeds(self, n: int) -> list[int]:
        """Return `n` seeds: the lesson's own and the ones after it (0 follows the largest).

        Raises:
            ValueError: for fewer than one.
        """
        if n < 1:
            raise ValueError(f"the number of seeds must be at least 1, got {n}")
        return [(self.seed + step) % (MAX_SEED + 1) for step in range(n)]


def start_lesson(
    name: str,
    *,
    profile: str = "auto",
    dataset: str = "synthetic",
    seed: int = 0,
    **own: Any,
) -> Lesson:
    """Start a lesson: check all parameters, seed everything, choose the device, show a header.

    `own` are the parameters that only this lesson has. Recorded metrics and predictions of an
    earlier run in this kernel are forgotten.

    Raises:
        ValueError: names all parameters that are wrong; nothing is seeded or shown then.

    Example:
        >>> lesson = start_lesson("00_start_here", profile="smoke", seed=7)  # doctest: +ELLIPSIS
        ◆ Lesson 00 · Start here...
        >>> lesson.seeds(3)
        [7, 8, 9]
    """
    spec = find_lesson(name)
    given = {"profile": profile, "dataset": dataset, "seed": seed, **own}
    parameters = read_parameters(spec.parameters, given, lesson=spec.name)
    chosen = get_profile(parameters.profile)
    device = pick_device()
    lesson = Lesson(
        name=spec.name,
        profile=chosen,
        dataset=parameters.dataset,
        seed=parameters.seed,
        device=device,
        precision=pick_precision(device),
        parameters=parameters,
        rng=seed_everything(parameters.seed),
    )
    forget_metrics()
    forget_predictions()
    _show_header(spec, lesson)
    return lesson


def _show_header(spec: LessonSpec, lesson: Lesson) -> None:
    facts = [
        ("profile", f"{lesson.profile}", f" ({_origin(lesson)})"),
        ("data", lesson.dataset, ""),
        ("seed", str(lesson.seed), ""),
        ("device", str(lesson.device), f" ({PRECISION_NAMES[lesson.precision]})"),
    ]
    own = [(key, str(value), "") for key, value in lesson.parameters.own().items()]
    body, lines = "", []
    for row in filter(None, (facts, own)):
        body += _facts_html(row)
        lines.append(" · ".join(f"{name} {value}{rest}" for name, value, rest in row))
    if lesson.profile is Profile.SMOKE:
        body += quiet_html(SMOKE_WARNING)
        lines.append(SMOKE_WARNING)
    title = f"Lesson {spec.number} · {spec.title}"
    show_card(Tone.INFO, title, body, lines=lines, bundle={LESSON_MIME: _record(lesson)})


def _origin(lesson: Lesson) -> str:
    if lesson.parameters.profile != "auto":
        return "set here"
    return "the default" if lesson.profile is Profile.LAPTOP else "from COURSE_PROFILE"


def _facts_html(facts: Sequence[tuple[str, str, str]]) -> str:
    shown = " · ".join(
        f"{inline_html(name)}&nbsp;<code>{inline_html(value)}</code>{inline_html(rest)}"
        for name, value, rest in facts
    )
    return f'<div style="{QUIET_STYLE}">{shown}</div>'


def _record(lesson: Lesson) -> dict[str, Any]:
    versions = {package: version(package) for package in REPORTED_PACKAGES}
    return {
        "lesson": lesson.name,
        "profile": str(lesson.profile),
        "dataset": lesson.dataset,
        "seed": lesson.seed,
        "parameters": lesson.parameters.own(mode="json"),
        "device": str(lesson.device),
        "precision": lesson.precision,
        "versions": {"python": platform.python_version(), **versions},
    }
