"""What all recipes ask of their settings."""

import math
from dataclasses import fields
from typing import Any

from course_utils.config import MAX_SEED

_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "True or False"}


def require_types(recipe: Any) -> None:
    """Raise `ValueError` unless each setting has the type of its default; make 8 out of 8.0.

    A recipe is compared with one read from JSON, so 8 and 8.0, or 1 and True, must not both get in.

    Example:
        >>> from course_utils.trainers import SegmentationRecipe
        >>> SegmentationRecipe(size="128")
        Traceback (most recent call last):
            ...
        ValueError: size must be a whole number, got '128'
    """
    for one in fields(recipe):
        kind, value = type(one.default), getattr(recipe, one.name)
        if kind is float and type(value) is int:
            object.__setattr__(recipe, one.name, float(value))
        elif type(value) is not kind:
            raise ValueError(f"{one.name} must be {_KINDS[kind]}, got {value!r}")


def require_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise `ValueError` unless `value` is one of `known`."""
    if value not in known:
        raise ValueError(f"{name} {value!r} is unknown: choose one of {', '.join(known)}")


def require_positive(recipe: Any, *names: str) -> None:
    """Raise `ValueError` unless these whole numbers are at least 1."""
    for name in names:
        if getattr(recipe, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(recipe, name)}")


def require_rates_and_seeds(recipe: Any) -> None:
    """Raise `ValueError` unless learning rate, weight decay and both seeds are in range."""
    if not 0 < recipe.learning_rate < math.inf or not 0 <= recipe.weight_decay < math.inf:
        raise ValueError(
            "learning_rate must be above 0 and weight_decay at least 0, both finite, got "
            f"{recipe.learning_rate} and {recipe.weight_decay}"
        )
    for name in ("seed", "split_seed"):
        if not 0 <= getattr(recipe, name) <= MAX_SEED:
            raise ValueError(f"{name} must lie in 0..{MAX_SEED}, got {getattr(recipe, name)}")
