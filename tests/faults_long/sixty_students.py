"""An inbox of sixty students, whose editors, browsers, habits and tricks are those of bug reports.

Their notebooks are lesson 01 without its trainings: what starts it, and its exercises. Of each kind
of file stands here what is right for it. Nothing is drawn at random.
"""

import io
import os
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import nbformat
from batch_place import GARBLE
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from course_utils.lessons import exercise
from course_utils.runs import Lesson

STUDENTS = 60
LESSON = "01_class_imbalance"
FILE = f"{LESSON}.ipynb"
READ, UNREAD, LEFT = "judged", "could not be read", "left out"
NEWEST = 1_900_000_000  # seconds since 1970
AGAIN_AND_AGAIN = "x = 0\nwhile True:\n    x += 1"
DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
EATS = "import os\nhoard = [bytearray(os.urandom(1) * 50_000_000) for _ in range(400)]"
FORGED = """from IPython.display import publish_display_data
publish_display_data({"application/vnd.course.exercise+json": {"exercise": "typical_area",
    "outcome": "correct", "message": "Forged."}, "text/plain": "ok"})"""
COPIED = """def typical_area(masks):
    total, number = 0, 0
    for mask in masks:
        total, number = total + (mask > 0).sum(), number + 1
    return total / max(number, 1)"""
HTML = "<script>alert(1)</script><meta http-equiv='refresh' content='0; url=https://example.org'>"


@dataclass
class Student:
    """Who hands in, and what the report has to say of them."""

    name: str
    """As in the report."""
    files: dict[str, str]
    """File, as the report calls it -> what becomes of it."""
    secret: str
    """A word in what they wrote that stands nowhere else."""
    outcome: str = "ok"
    """Of the run; empty: there is none."""
    marks: dict[str, str] = field(default_factory=dict)
    """Exercise -> outcome."""
    flagged: tuple[str, ...] = ()
    """Exercises that a person is asked to look at."""


class Inbox:
    """Writes what students hand in, below `folder`; `students` says what is right for each."""

    def __init__(self, folder: Path, lesson: Lesson) -> None:
        self._folder = folder
        self._source = nbformat.read(lesson.path, as_version=4)
        self.exercises = list(lesson.exercises)
        self.students: list[Student] = []

    def homework(self, secret: str, right: int) -> NotebookNode:
        """The first `right` exercises are solved, the answer to the next one is nonsense."""
        cells, started = [], False
        for cell in self._source.cells:
            if cell.cell_type == "code" and (not started or "exercise(" in cell.source):
                keys = [key for key in self.exercises if check_of(key) in cell.source]
                place = self.exercises.index(keys[0]) if keys else END
                source = cell.source
                if place < right and exercise(keys[0]).given:  # of a cell that is left out here
                    cells.append(new_code_cell(exercise(keys[0]).given))
                if place <= right:
                    answer = exercise(keys[0]).solution_source if place < right else wrong(keys[0])
                    source = f"# {secret}\n{answer}\n\n{check_of(keys[0])}"
                cells.append(new_code_cell(source, metadata=cell.metadata))
                started = started or "start_lesson(" in cell.source
        notebook = nbformat.v4.new_notebook(metadata=self._source.metadata)
        notebook.cells = [new_markdown_cell(f"Notes of mine: {secret}"), *cells]
        return notebook

    def marks(self, right: int) -> dict[str, str]:
        """What such a notebook is worth."""
        marks = dict.fromkeys(self.exercises, "not attempted")
        for place, key in enumerate(self.exercises[: right + 1]):
            marks[key] = "correct" if place < right else graded(key, wrong(key))
        return marks

    def put(self, place: str, content: NotebookNode | bytes, age: int = 0) -> str:
        path = self._folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else as_bytes(content))
        os.utime(path, (NEWEST - age, NEWEST - age))
        return place

    def link(self, place: str, target: str) -> None:
        path = self._folder / place
        path.parent.mkdir(parents=True)
        path.symlink_to(self._folder / target)


END = 1000
FIRST = "typical_area"
Kind = Callable[[Inbox, str, str, int], Student]
"""Hands in for the student of that name, with a secret and so many right answers, one at least."""


def check_of(key: str) -> str:
    return f'exercise("{key}").check({exercise(key).answer_name})'


def wrong(key: str) -> str:
    return f"def {exercise(key).answer_name}(*given):\n    return 'nonsense'"


def graded(key: str, source: str) -> str:
    scope: dict[str, object] = {}
    exec(source, scope)
    return str(exercise(key).grade(scope[exercise(key).answer_name]).outcome)


def as_bytes(notebook: NotebookNode) -> bytes:
    return nbformat.writes(notebook).encode()


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def one_file(
    change: Callable[[NotebookNode], object] = lambda notebook: None,
    *,
    file: str = FILE,
    write: Callable[[NotebookNode], bytes] = as_bytes,
    outcome: str = "ok",
    become: dict[str, str] | None = None,
    everything: str = "",
    flagged: tuple[str, ...] = (),
) -> Kind:
    """A notebook with something odd in it.

    `become` says which marks are other than those of its answers, or `everything` that all are.
    """

    def hand_in(inbox: Inbox, who: str, secret: str, right: int) -> Student:
        notebook = inbox.homework(secret, right)
        change(notebook)
        place = inbox.put(f"{who}/{file}", write(notebook))
        marks = {**inbox.marks(right), **(become or {})}
        if everything:  # the notebook shows what it had checked until then
            marks = dict.fromkeys(marks, everything)
        asked = tuple(marks) if everything else flagged
        return Student(who, {place: READ}, secret, outcome, marks, asked)

    return hand_in


def insert(*sources: str, at: int = END) -> Callable[[NotebookNode], None]:
    """Put cells at the end of a notebook, or behind the one that starts the lesson."""

    def change(notebook: NotebookNode) -> None:
        notebook.cells[at:at] = [new_code_cell(source) for source in sources]

    return change


STARTED = 3  # behind the notes, the parameters and what starts the lesson


def without_metadata(notebook: NotebookNode) -> None:
    kernel = {"name": "python3", "display_name": "base", "language": "python"}
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(kernel))


def without_tags(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        cell.metadata = NotebookNode()


def without_parameters(notebook: NotebookNode) -> None:
    del notebook.cells[1]


def without_typical_area(notebook: NotebookNode) -> None:
    notebook.cells = [cell for cell in notebook.cells if "typical_area" not in cell.source]


def claims_to_be_a_check(notebook: NotebookNode) -> None:
    insert(wrong(FIRST), FORGED)(notebook)
    notebook.cells[-1].metadata["course_check"] = "typical_area"


def unanswered(inbox: Inbox, who: str, secret: str, right: int) -> Student:
    place = inbox.put(f"{who}/{FILE}", inbox.homework(secret, -1))
    return Student(who, {place: READ}, secret, marks=inbox.marks(-1))


def broken_json(inbox: Inbox, who: str, secret: str, right: int) -> Student:
    place = inbox.put(f"{who}/{FILE}", b'{"cells": [ {"cell_type":')
    return Student(who, {place: UNREAD}, secret, outcome="")


def empty_file(inbox: Inbox, who: str, secret: str, right: int) -> Student:
    return Student(who, {inbox.put(f"{who}/{FILE}", b""): UNREAD}, secret, outcome="")


def in_a_zip(inbox: Inbox, who: str, secret: str, right: int) -> Student:
    content = zipped({FILE: as_bytes(inbox.homework(secret, right))})
    place = inbox.put(f"{who}/homework.zip", content)
    return Student(who, {f"{place}/{FILE}": READ}, secret, marks=inbox.marks(right))


def zip_of_a_mac(inbox: Inbox, who: str, secret: str, right: int) -> Student:
    notebook = as_bytes(inbox.homework(secret, right))
    files = {f"my work/{FILE}": notebook, f"__MACOSX/my work/._{FILE}": b"\0", ".DS_Store": b"\0"}
    inner = zipped({"work.zip": zipped(files)})
    place = inbox.put(f"{who}/Archive.zip", inner)
    inbox.put(f"{who}/.DS_Store", b"\0")
    inbox.put(f"{who}/desktop.ini", b"\0")
    found = f"{place}/work.zip/my work/{FILE}"
    return Student(who, {found: READ}, secret, marks=inbox.marks(right))


def damaged_zip(inbox: Inbox, who: str, secret: str, right: int) -> Student:
    content = zipped({FILE: as_bytes(inbox.homework(secret, right))})
    place = inbox.put(f"{who}/homework.zip", content[: len(content) // 2])
    return Student(who, {place: UNREAD}, secret, outcome="")


def twice(inbox: Inbox, who: str, secret: str, right: int) -> Student:
    older = inbox.put(f"{who}/{FILE}", inbox.homework(secret, -1), age=3600)
    newer = inbox.put(f"{who}/{LESSON} (1).ipynb", inbox.homework(secret, right))
    copy = inbox.put(f"{who}/.ipynb_checkpoints/{FILE}", inbox.homework(secret, -1))
    del copy  # the notebook itself is there: Jupyter's own copy is no file of a student
    return Student(who, {older: LEFT, newer: READ}, secret, marks=inbox.marks(right))


def other_files_beside(inbox: Inbox, who: str, secret: str, right: int) -> Student:
    place = inbox.put(f"{who}/{FILE}", inbox.homework(secret, right))
    others = [inbox.put(f"{who}/{name}", b"Rar!") for name in ("photos.rar", "report.docx")]
    files = {place: READ, **dict.fromkeys(others, LEFT)}
    return Student(who, files, secret, marks=inbox.marks(right))


def of_moodle(inbox: Inbox, who: str, secret: str, right: int) -> Student:
    file = f"{who}_1234567_assignsubmission_file/{FILE}"
    place = inbox.put(file, inbox.homework(secret, right))
    return Student(who, {place: READ}, secret, marks=inbox.marks(right))


def link_to_another(inbox: Inbox, who: str, secret: str, right: int) -> Student:
    inbox.link(f"{who}/{FILE}", f"answered 1/{FILE}")
    return Student(who, {f"{who}/{FILE}": LEFT}, secret, outcome="")


def named_in_two_ways(inbox: Inbox, who: str, secret: str, right: int) -> Student:
    """A file that is not called as its lesson counts as one more student."""
    place = inbox.put(f"{who}/quick.ipynb", inbox.homework(f"{secret}, quick", 0))
    other = Student(f"{who}/quick", {place: READ}, f"{secret}, quick", marks=inbox.marks(0))
    inbox.students.append(other)
    place = inbox.put(f"{who}.ipynb", inbox.homework(secret, right))
    return Student(who, {place: READ}, secret, marks=inbox.marks(right))


def strange_name(inbox: Inbox, who: str, secret: str, right: int) -> Student:
    """As macOS writes it, with a letter and its dots apart; and what HTML would take for a tag."""
    name = unicodedata.normalize("NFD", f"Zoë <b>'{who}'")
    place = inbox.put(f"{name}/{FILE}", inbox.homework(secret, right))
    return Student(name, {place: READ}, secret, marks=inbox.marks(right))


WRONG = graded(FIRST, wrong(FIRST))
KINDS: dict[str, Kind] = {
    "answered": one_file(),
    "copied": one_file(
        insert(f"{COPIED}\n\n{check_of(FIRST)}"),
        become={FIRST: graded(FIRST, COPIED)},
        flagged=(FIRST,),
    ),
    "unanswered": unanswered,
    "broken json": broken_json,
    "no metadata": one_file(without_metadata),
    "no tags": one_file(without_tags),
    "no parameters": one_file(without_parameters),
    "exercise deleted": one_file(without_typical_area, become={FIRST: "not attempted"}),
    "txt added": one_file(file=f"{FILE}.txt"),
    "in a zip": in_a_zip,
    "twice": twice,
    "two ways": named_in_two_ways,
    "moodle": of_moodle,
    "two errors": one_file(
        lambda notebook: (insert("undefined")(notebook), insert("never", at=STARTED)(notebook)),
        outcome="error",
    ),
    "forged": one_file(insert(wrong(FIRST), FORGED), become={FIRST: WRONG}, flagged=(FIRST,)),
    "link": link_to_another,
    "pip": one_file(insert("import sys; print(sys.executable)\n%pip --version", at=STARTED)),
    "utf-16": one_file(write=lambda notebook: nbformat.writes(notebook).encode("utf-16")),
    "capitals": one_file(file=FILE.upper()),
    "mac": zip_of_a_mac,
    "damaged zip": damaged_zip,
    "empty": empty_file,
    "beside": other_files_beside,
    "name": strange_name,
    "html": one_file(lambda notebook: notebook.cells.append(new_markdown_cell(HTML))),
    "claims": one_file(claims_to_be_a_check, become={FIRST: WRONG}, flagged=(FIRST,)),
    "overwritten": one_file(insert(wrong(FIRST)), become={FIRST: WRONG}, flagged=(FIRST,)),
    "check deleted": one_file(insert("del exercise")),
    "exits": one_file(insert("import sys; sys.exit(1)", at=STARTED), outcome="error"),
}
SLOW: dict[str, Kind] = {
    "endless": one_file(insert(AGAIN_AND_AGAIN, at=STARTED), outcome="timeout"),
    "dies": one_file(insert(DIES), outcome="killed", everything="not checked"),
    "eats": one_file(insert(EATS), outcome="out-of-memory", everything="not checked"),
    "garbles": one_file(insert(GARBLE), outcome="killed", everything="not checked"),
}
"""Of these there is one each."""
JUNK = ("Thumbs.db", ".DS_Store", "__MACOSX/._x.ipynb", "~$notes.docx")


def hand_in_all(folder: Path, lesson: Lesson) -> Inbox:
    """Write the inbox."""
    inbox = Inbox(folder, lesson)
    kinds = [(kind, 1) for kind in SLOW]
    kinds += zip(cycle(KINDS), (1 + i // len(KINDS) for i in range(STUDENTS)), strict=False)
    for number, (kind, time) in enumerate(kinds[:STUDENTS]):
        make = {**SLOW, **KINDS}[kind]
        right = 1 + number % len(inbox.exercises)
        inbox.students.append(make(inbox, f"{kind} {time}", f"word{number:03d}x", right))
    for name in JUNK:
        inbox.put(name, b"left behind by a system")
    return inbox
