"""Whose file it is: by its name, as learning platforms write it, and by a table of students."""

import csv
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from course_utils.runs.handed_in import Person
from course_utils.runs.inbox import NOTEBOOK

PATTERNS = {
    "moodle": r"(?:^|/)(?P<student>[^/]+?)_(?P<number>\d+)_assignsubmission_",
    "canvas": r"(?:^|/)(?P<student>[^/_]+)(?:_LATE)?_(?P<id>\d+)_\d+_[^/]*$",
}
"""What Moodle writes behind a name is the number of a submission, and no id of a student."""
_NAME, _FIRST, _LAST = ("name", "student", "full name"), ("first name",), ("surname", "last name")
_ID = ("id", "id number", "student id", "username", "sis user id", "email", "email address")
_GROUP = ("group", "groups", "section")


class StudentNames:
    """Tells whose file it is.

    Args:
        pattern: `moodle`, `canvas`, or a regular expression that finds a group `student` in the
            path of a file in the inbox, perhaps also a group `id`, as in the roster, or `number`,
            which only tells students of one name apart.
        roster: students that are called as there, wherever a folder or file, or what the pattern
            finds, is the name or the id of one of them.

    Raises:
        ValueError: for a pattern that is none.

    Example:
        >>> names = StudentNames(roster=[Person("Ada Lovelace", "a17")])
        >>> names(PurePosixPath("Lovelace Ada_1234567_assignsubmission_file/work.ipynb"))
        ('Ada Lovelace', 'a17')
        >>> names(PurePosixPath("a17/work.ipynb")), names(PurePosixPath("bob/work.ipynb"))
        (('Ada Lovelace', 'a17'), None)
    """

    def __init__(self, pattern: str = "moodle", roster: Sequence[Person] = ()) -> None:
        try:
            self._pattern = re.compile(PATTERNS.get(pattern, pattern))
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        if "student" not in self._pattern.groupindex:
            raise ValueError(
                f"the pattern must be moodle, canvas, or have a group (?P<student>...), "
                f"got {pattern!r}"
            )
        self._people: dict[str, Person | None] = {}
        """By each way to write a name or an id; None where that fits several."""
        for person in roster:
            for key in {*_turns(person.name), _key(person.id)} - {""}:
                self._people[key] = None if key in self._people else person

    def __call__(self, place: PurePosixPath) -> tuple[str, str] | None:
        """Return name and id of the student whose file that is; None where nobody knows.

        Where the pattern finds no id, it is the number; a student of the roster has theirs.
        """
        match = self._pattern.search(str(place))
        found = match.groupdict() if match else {}
        id, student = found.get("id") or "", found.get("student") or ""
        for word in (id, student, *place.parts[:-1], NOTEBOOK.sub("", place.name)):
            if person := self._people.get(_key(word)):
                return person.name, person.id
        return (student, id or found.get("number") or "") if student else None


def read_roster(path: Path) -> list[Person]:
    """Read a table of students (CSV), as learning platforms export it.

    Columns are known by their headings: a name or a first and a last name, and if there are any,
    an id and a group. Students with the same name are told apart by their ids.

    Raises:
        OSError: where it cannot be read.
        ValueError: where there is no such table in it.
    """
    content = path.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        lines = content.decode(encoding).splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8 ({error}): save it as CSV in UTF-8") from error
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    rows = csv.DictReader(lines, delimiter=delimiter)
    columns = {(name or "").strip().casefold(): name for name in rows.fieldnames or ()}
    if not columns.keys() & {*_NAME, *_LAST}:
        raise ValueError(
            f"{path} has no column name, student or surname: its first line is "
            f"{lines[0] if lines else ''!r}"
        )

    def value(row: dict[str, str], names: tuple[str, ...]) -> str:
        known = (str(row[columns[name]] or "").strip() for name in names if name in columns)
        return next(filter(None, known), "")

    people = [
        Person(
            value(row, _NAME) or f"{value(row, _FIRST)} {value(row, _LAST)}".strip(),
            value(row, _ID),
            value(row, _GROUP),
        )
        for row in rows
    ]
    people = [person for person in people if person.name]
    names = [person.name for person in people]
    return [
        replace(each, name=f"{each.name} ({each.id})") if names.count(each.name) > 1 else each
        for each in people
    ]


def _key(text: str) -> str:
    """Return what is equal for a name in any case, with any signs between its words."""
    folded = unicodedata.normalize("NFC", text).casefold()
    return "".join(letter for letter in folded if letter.isalnum())


def _turns(name: str) -> list[str]:
    """Return the keys of a name that starts with any of its words."""
    words = re.split(r"[\s,]+", name.strip())
    return [_key("".join(words[i:] + words[:i])) for i in range(len(words))]
