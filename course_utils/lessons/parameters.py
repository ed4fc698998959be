"""Typed parameters of lessons: everything is checked before any work starts."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from course_utils.config import MAX_SEED

P = TypeVar("P", bound="LessonParameters")


class LessonParameters(BaseModel):
    """What every lesson takes; a lesson derives its own class and adds its own parameters.

    `datasets` lists the allowed data sets: names, `"folder"` for any `folder:<path>`, and names
    that end with a slash for families such as `mvtec_ad/<category>`. Types are strict: `"3"` is
    no number. Declare lists as `list[...]`, since papermill passes lists.

    Example:
        >>> class Parameters(LessonParameters):
        ...     datasets = ("synthetic", "folder")
        ...     epochs: int = Field(3, ge=1)
        >>> Parameters(dataset="folder:/srv/images", epochs=5).epochs
        5
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)

    datasets: ClassVar[tuple[str, ...]] = ("synthetic",)

    profile: Literal["auto", "smoke", "laptop", "full"] = "auto"
    dataset: str = "synthetic"
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0

    @model_validator(mode="before")
    @classmethod
    def _unwrap_numpy_scalars(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {name: _plain(value) for name, value in given.items()}

    @field_validator("dataset")
    @classmethod
    def _check_dataset(cls, dataset: str) -> str:
        if not any(_allows(entry, dataset) for entry in cls.datasets):
            shown = ["folder:<path>" if e == "folder" else e for e in cls.datasets]
            raise ValueError(" or ".join(e + "<name>" if e.endswith("/") else e for e in shown))
        return dataset

    def own(self, *, mode: Literal["python", "json"] = "python") -> dict[str, Any]:
        """Return the parameters that only this lesson has.

        Example:
            >>> LessonParameters().own()
            {}
        """
        return self.model_dump(mode=mode, exclude=set(LessonParameters.model_fields))


def read_parameters(model: type[P], given: Mapping[str, Any], *, lesson: str) -> P:
    """Return `model(**given)`.

    Raises:
        ValueError: with a line for each wrong parameter.

    Example:
        >>> read_parameters(LessonParameters, {"seed": "three"}, lesson="00_start_here")
        Traceback (most recent call last):
        ValueError: lesson 00_start_here cannot start:
          seed: got 'three', wanted a whole number in 0..4294967295
    """
    try:
        return model(**given)
    except ValidationError as error:
        lines = [_complaint(model, problem) for problem in error.errors()]
    raise ValueError("\n  ".join([f"lesson {lesson} cannot start:", *dict.fromkeys(lines)]))


def _plain(value: Any) -> Any:
    """Return a NumPy scalar as a number of Python's own, without importing NumPy."""
    is_scalar = type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0
    return value.item() if is_scalar else value


def _allows(entry: str, dataset: str) -> bool:
    if entry == "folder":
        return dataset.startswith("folder:") and dataset != "folder:"
    if entry.endswith("/"):
        return dataset.startswith(entry) and dataset != entry
    return dataset == entry


def _complaint(model: type[LessonParameters], problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = sorted(model.model_fields)
        close = difflib.get_close_matches(where, known, n=1)
        guess = f" (did you mean {close[0]}?)" if close else ""
        return f"{where}: unknown parameter{guess}; this lesson takes {', '.join(known)}"
    wanted = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    if where == "seed":
        wanted = f"a whole number in 0..{MAX_SEED}"
    return f"{where}: got {problem['input']!r}, wanted {wanted}"
