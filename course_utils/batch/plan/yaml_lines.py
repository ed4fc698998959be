"""A YAML file as plain values, with a line for every complaint about them."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000  # with what aliases repeat: ten lines of them can stand for a billion values
COMPLAINTS_SHOWN = 100

Place = tuple[str | int, ...]
"""The way to a value: keys of mappings, and positions in lists from 0."""

_TAG = "tag:yaml.org,2002:"
_PLAIN: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    "null": (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    "int": (re.compile(r"[-+]?[0-9]{1,18}"), int),
    "float": (
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"),
        lambda text: float(text) if math.isfinite(float(text)) else text,
    ),
}
"""How unquoted text is read: the core schema of YAML 1.2, in decimals.

PyYAML's own rules are those of YAML 1.1, by which `no` is false, `010` is 8, `1:30` is 90 and 1e-3
is text.
"""


class YamlFile:
    """The values of one YAML file, and the complaints about them.

    Complaints are collected, so that a person hears of all of them at once: `complain`, then
    `raise_complaints`. Of the file itself these are keys that stand twice, keys that are no text,
    and tags. What cannot be read at all raises at once: `FileNotFoundError` for a missing file,
    `ValueError` for one that is empty, too large or no YAML.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lines: dict[Place, int] = {(): 1}
        self._complaints: dict[tuple[int, str, str], None] = {}
        self._count = 0
        try:
            self.values: Any = self._value(self._compose(), (), ())
        except RecursionError:
            raise ValueError(f"{self.path} is nested too deeply to be read") from None

    def line(self, place: Place) -> int:
        """Return the line, from 1, of what stands at `place`, or of the nearest thing around it."""
        while place not in self._lines:
            place = place[:-1]
        return self._lines[place]

    def complain(self, place: Place, text: str) -> None:
        """Note that what stands at `place`, or is missing from it, is wrong."""
        self._complaints[self.line(place), field(place), text] = None

    def raise_complaints(self) -> None:
        """Raise one `ValueError` with a line for each complaint, in the order of the file."""
        if not self._complaints:
            return
        count = len(self._complaints)
        rows = [
            f"{self.path}:{line}: {where}{': ' if where else ''}{text}".replace("\n", "\n    ")
            for line, where, text in sorted(self._complaints)[:COMPLAINTS_SHOWN]
        ]
        if count > len(rows):
            rows.append(f"and {count - len(rows)} more")
        head = f"{self.path} has {count} mistake{'s' if count > 1 else ''}:"
        raise ValueError("\n  ".join([head, *rows]))

    def _compose(self) -> yaml.Node:
        if not self.path.exists():
            raise FileNotFoundError(f"there is no file {self.path}")
        with self.path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"{self.path} is larger than {MAX_BYTES / 1e6:g} MB: is it YAML?")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise ValueError(f"{self.path}:{line}: not UTF-8: save it as a text file") from error
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise ValueError(
                f"{self.path}:{line}: character {chr(error.character)!r} is not allowed in YAML"
            ) from error
        except yaml.MarkedYAMLError as error:
            raise ValueError(f"{self.path}:{_explain(error)}") from error
        if node is None:
            raise ValueError(f"{self.path} is empty")
        return node

    def _value(self, node: yaml.Node, place: Place, around: tuple[yaml.Node, ...]) -> Any:
        """Return the plain value of `node`, which stands in the nodes `around`."""
        self._lines.setdefault(place, node.start_mark.line + 1)
        self._count += 1
        if self._count > MAX_VALUES:
            raise ValueError(
                f"{self.path}:{self.line(place)}: with what its aliases repeat, the file holds "
                f"more than {MAX_VALUES} values"
            )
        if any(node is outer for outer in around):
            self.complain(place, "an alias of what it stands in: write out what is meant")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if node.tag == f"{_TAG}seq":
            return [
                self._value(item, (*place, i), (*around, node)) for i, item in enumerate(node.value)
            ]
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, place, around)
        self.complain(place, f"the tag {node.tag} is not allowed: leave it out")
        return None

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind == "str":
            try:
                node.value.encode()
            except UnicodeEncodeError:
                self.complain(place, "half of a surrogate pair is no character")
                return ""
            return node.value
        if kind in _PLAIN and _PLAIN[kind][0].fullmatch(node.value):
            return _PLAIN[kind][1](node.value)
        self.complain(place, f"the tag {node.tag} is not allowed: leave it out")
        return None

    def _mapping(
        self, node: yaml.MappingNode, place: Place, around: tuple[yaml.Node, ...]
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = key.value if key.tag == f"{_TAG}str" else None
            if not isinstance(name, str):
                self._complaints[line, field(place), _not_a_key(key)] = None
            elif name == "<<":
                text = "YAML 1.2 has no merge keys: write out what they stand for"
                self._complaints[line, field((*place, name)), text] = None
            elif name in first:
                text = f"stands twice: first in line {first[name]}"
                self._complaints[line, field((*place, name)), text] = None
            else:
                first[name] = self._lines[(*place, name)] = line
                values[name] = self._value(value, (*place, name), (*around, node))
        return values


def field(place: Place) -> str:
    """Return a place as people write it.

    Example:
        >>> field(("runs", 1, "parameters", "dataset"))
        'runs[1].parameters.dataset'
    """
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in place]
    return "".join(steps).removeprefix(".")


def shown(value: Any) -> str:
    """Return a value of the file in few words.

    Example:
        >>> shown("0"), shown(0), shown(None), shown({"a": 1})
        ('"0"', '0', 'nothing', 'a mapping')
    """
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the rules of `_PLAIN`; nothing of it constructs objects."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own name and form


for _kind, (_pattern, _) in _PLAIN.items():
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(f"(?:{_pattern.pattern})$"), None)


def _not_a_key(key: yaml.Node) -> str:
    if isinstance(key, yaml.ScalarNode):
        return f"the name {key.value or 'of a field'} must be text: put it in quotes"
    return "the name of a field must be text, not a list or a mapping"


def _explain(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    problem = error.problem or "cannot be read"
    if "'\\t'" in problem:
        problem += " (YAML is indented with spaces, not with tabs)"
    context = f", {error.context}" if error.context else ""
    return f"{line}: this is no YAML: {problem}{context}"
