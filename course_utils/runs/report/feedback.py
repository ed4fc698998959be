"""A page for each student: their own answers, what is said of them, and nothing of others."""

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import jinja2

from course_utils.runs.report.marks import MarkTable, StudentMarks, in_words

HERE = Path(__file__).parent
FEEDBACK = "feedback"
LONGEST_NAME = 60
_CONTROLS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def cut(text: object, length: int = 200) -> str:
    """Shorten what a student's program may have made as long as it likes.

    Example:
        >>> cut("abcdef", 4), cut("abc", 4)
        ('abcd … (2 characters more)', 'abc')
    """
    shown = _CONTROLS.sub("", str(text))
    more = len(shown) - length
    return f"{shown[:length]} … ({more} characters more)" if more > 0 else shown


def template_environment() -> jinja2.Environment:
    """Return what renders the templates of a report, with the filters that all of them use."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"cut": cut, "verdict": in_words, "number": "{:.4g}".format}
    return environment


def page_names(marks: MarkTable) -> dict[str, str]:
    """Return the address of each student's page, from the report."""
    return {
        each.student: f"{FEEDBACK}/{quote(_file_name(each.student))}" for each in marks.students
    }


def feedback_pages(marks: MarkTable) -> dict[str, bytes]:
    """Return the pages, by their place in the report."""
    template = template_environment().get_template("feedback.html.j2")
    style = (HERE / "report.css").read_text(encoding="utf-8")
    return {
        f"{FEEDBACK}/{_file_name(student.student)}": template.render(
            student=student,
            columns=marks.columns,
            points=[
                (marks.points(mark, exercise), marks.handed_in.points_of(exercise))
                for mark, (_, exercise) in zip(student.marks, marks.columns, strict=True)
            ],
            total=marks.total(student),
            answers=_answers(student),
            deadline=marks.handed_in.deadline,
            style=style,
        ).encode("utf-8", "replace")
        for student in marks.students
    }


def _answers(student: StudentMarks) -> Mapping[tuple[str, str], str]:
    return {
        (each.lesson, exercise): source
        for each in student.files
        for exercise, source in each.answers.items()
    }


def _file_name(student: str) -> str:
    """Return a name that every system allows, and no two students have, whatever its case.

    Example:
        >>> _file_name("../Zoë")
        'Zoë-8840d1f4.html'
    """
    name = re.sub(r"[^\w-]+", "_", student).strip("_")[:LONGEST_NAME]
    return f"{name}-{sha256(student.encode(errors='replace')).hexdigest()[:8]}.html"
