"""A plan file: YAML as plain values, with a line for every error in them."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000  # with what aliases repeat: ten lines of them can stand for a billion values
MAX_DEPTH = 50  # the time of ruamel's scanner grows with the square of it
ERRORS_SHOWN = 100

Place = tuple[int | str, ...]
"""The way to a value, as pydantic gives it: keys of mappings, and positions in lists from 0."""

_TAG = "tag:yaml.org,2002:"


class PlanFile:
    """The values of a plan file, and what is wrong with them.

    Errors are collected, so that a person hears of all of them at once: `add_error`, then
    `raise_errors`.

    Raises:
        FileNotFoundError: for a missing file.
        ValueError: for one that is empty, too large, no YAML, or YAML that a plan has no use for.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._errors: set[tuple[int, str, str]] = set()
        self._document = _load(self.path)
        self.values = _plain(self._document, self.path, itertools.count(1))

    def line(self, place: Place) -> int:
        """Return the line, from 1, of what stands at `place`, or of the nearest thing around it."""
        inner, line = self._document, 1
        for step in place:
            if isinstance(inner, CommentedMap) and step in inner:
                line = inner.lc.key(step)[0] + 1
            elif isinstance(inner, CommentedSeq) and isinstance(step, int):
                line = inner.lc.item(step)[0] + 1
            else:
                break
            inner = inner[step]
        return line

    def add_error(self, place: Place, text: str) -> None:
        """Note that what stands at `place`, or is missing from it, is wrong."""
        self._errors.add((self.line(place), format_place(place), text))

    def raise_errors(self) -> None:
        """Raise one `ValueError` with a line for each error, in the order of the file, if any."""
        if not self._errors:
            return
        count = len(self._errors)
        rows = [
            f"{self.path}:{line}: {where}{': ' if where else ''}{text}".replace("\n", "\n    ")
            for line, where, text in sorted(self._errors)[:ERRORS_SHOWN]
        ]
        if count > len(rows):
            rows.append(f"and {count - len(rows)} more")
        head = f"{self.path} has {count} mistake{'s' if count > 1 else ''}:"
        raise ValueError("\n  ".join([head, *rows]))


def format_place(place: Place) -> str:
    """Return a place as people write it.

    Example:
        >>> format_place(("runs", 1, "parameters", "dataset"))
        'runs[1].parameters.dataset'
    """
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in place]
    return "".join(steps).removeprefix(".")


class _Constructor(RoundTripConstructor):
    """Mappings and lists that know their lines, plain numbers and text in them, nothing else."""

    yaml_constructors = {  # noqa: RUF012  ruamel's own name and form
        f"{_TAG}{kind}": RoundTripConstructor.yaml_constructors[f"{_TAG}{kind}"]
        for kind in ("map", "seq", "null")
    }

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        if node in self.recursive_objects:
            raise _not_allowed(node, "an alias of what it stands in: write out what is meant")
        return super().construct_object(node, deep=deep)

    def construct_mapping(  # type: ignore[override]  # as in the class above
        self, node: MappingNode, maptyp: Any, deep: bool = False
    ) -> Any:
        for key, _ in node.value if isinstance(node, MappingNode) else ():
            if key.tag == f"{_TAG}merge":
                raise _not_allowed(key, "YAML 1.2 has no merge keys: write out what <<: stands for")
            if key.tag != f"{_TAG}str" or not isinstance(key, ScalarNode):
                name = f" {key.value}" if isinstance(key, ScalarNode) else ""
                raise _not_allowed(key, f"the name{name} of a field must be text: put it in quotes")
        return super().construct_mapping(node, maptyp, deep=deep)

    def construct_plain(self, node: ScalarNode) -> bool | int | float | str:
        """Read a truth value or a number; what is none, or not finite, stays text."""
        read = _PLAIN[str(node.tag).removeprefix(_TAG)]
        try:
            value = read(self, node)
        except (ValueError, KeyError):
            return str(node.value)
        return value if math.isfinite(value) else str(node.value)

    def construct_text(self, node: ScalarNode) -> str:
        text = str(self.construct_scalar(node))
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _not_allowed(node, "half of a surrogate pair is no character") from None
        return text

    def refuse(self, node: Node) -> Any:
        raise _not_allowed(node, f"the tag {node.tag} is not allowed: leave it out")


_PLAIN = {
    "bool": SafeConstructor.construct_yaml_bool,
    "int": SafeConstructor.construct_yaml_int,
    "float": SafeConstructor.construct_yaml_float,
}
for _kind in _PLAIN:
    _Constructor.add_constructor(f"{_TAG}{_kind}", _Constructor.construct_plain)
for _kind in ("str", "timestamp"):
    _Constructor.add_constructor(f"{_TAG}{_kind}", _Constructor.construct_text)
_Constructor.add_constructor(None, _Constructor.refuse)


def _not_allowed(node: Node, problem: str) -> ConstructorError:
    return ConstructorError(problem=problem, problem_mark=node.start_mark)


def _load(path: Path) -> Any:
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES / 1e6:g} MB: is it YAML?")
    yaml = YAML(pure=True)
    yaml.Constructor = _Constructor
    yaml.max_depth = MAX_DEPTH
    try:
        text = content.decode("utf-8-sig")
        document = yaml.load(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}:{line}: not UTF-8: save it as a text file") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ValueError(f"{path}:{line}: a character is not allowed in YAML: {error}") from error
    except MaxDepthExceededError as error:
        line = error.problem_mark.line + 1
        raise ValueError(f"{path}:{line}: this is nested too deeply for a plan") from error
    except MarkedYAMLError as error:
        raise ValueError(f"{path}:{_explain(error)}") from error
    if document is None:
        raise ValueError(f"{path} is empty")
    return document


def _explain(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "cannot be read"
    if not isinstance(error, ConstructorError):
        problem = f"this is no YAML: {problem}"
    if "'\\t'" in problem:
        problem += " (YAML is indented with spaces, not with tabs)"
    context = f", {error.context}" if error.context else ""
    return f"{mark.line + 1 if mark else 1}: {problem}{context}"


def _plain(value: Any, path: Path, count: Iterator[int]) -> Any:
    """Return dicts and lists in place of ruamel's; aliases are written out."""
    if next(count) > MAX_VALUES:
        raise ValueError(
            f"{path} holds more than {MAX_VALUES} values, with what its aliases repeat"
        )
    if isinstance(value, dict):
        return {key: _plain(inner, path, count) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, path, count) for inner in value]
    return value
