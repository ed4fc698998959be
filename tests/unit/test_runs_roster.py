"""Whose file it is: what Moodle and Canvas write, rosters, and who is told apart."""

from pathlib import Path, PurePosixPath

import pytest

from course_utils.runs.handed_in import Person
from course_utils.runs.roster import StudentNames, read_roster


@pytest.mark.parametrize(
    ("pattern", "place", "student"),
    [
        (
            "moodle",
            "Surname Name_1234567_assignsubmission_file/a.ipynb",
            ("Surname Name", "1234567"),
        ),
        ("moodle", "x.zip/O'Neil_Ann_12_assignsubmission_file_/a.ipynb", ("O'Neil_Ann", "12")),
        ("moodle", "Name_77_assignsubmission_file_a.ipynb", ("Name", "77")),
        ("moodle", "ada/01_a.ipynb", None),
        ("canvas", "lovelaceada_1029_88123_01_a.ipynb", ("lovelaceada", "1029")),
        ("canvas", "lovelaceada_LATE_1029_88123_01_a-2.ipynb", ("lovelaceada", "1029")),
        (r"^(?P<student>[^/]+)/", "ada/deep/01_a.ipynb", ("ada", "")),
    ],
)
def test_names_are_found_as_platforms_write_them(pattern, place, student) -> None:
    assert StudentNames(pattern)(PurePosixPath(place)) == student


@pytest.mark.parametrize("pattern", ["(", "no group"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|regular expression"):
        StudentNames(pattern)


@pytest.mark.parametrize(
    "place",
    [
        "Lovelace, Ada/a.ipynb",
        "ADA LOVELACE.ipynb",
        "hw1/ada_lovelace.ipynb",
        "a17/a.ipynb",
        "x/A17.ipynb.txt",
        "lovelaceada_5_6_a.ipynb/x",
    ],
)
def test_a_student_of_the_roster_is_known_by_name_or_id_in_any_order(place: str) -> None:
    names = StudentNames("canvas", [Person("Ada Lovelace", "a17"), Person("Bob", "b2")])
    if "_5_6_" in place:
        place = "lovelaceada_5_6_a.ipynb"
    assert names(PurePosixPath(place)) == ("Ada Lovelace", "a17")


def test_the_number_of_a_submission_is_nobodys_id() -> None:
    names = StudentNames("moodle", [Person("Ada", "12")])
    place = PurePosixPath("Bob_12_assignsubmission_file/a.ipynb")
    assert names(place) == ("Bob", "12")


def test_a_name_that_two_have_is_nobodys_and_their_ids_are() -> None:
    names = StudentNames(roster=[Person("Jan Novak (1)", "1"), Person("Jan Novak (2)", "2")])
    assert names(PurePosixPath("Jan Novak/a.ipynb")) is None
    assert names(PurePosixPath("2/a.ipynb")) == ("Jan Novak (2)", "2")


@pytest.mark.parametrize(
    ("content", "people"),
    [
        ("name,id,group\nAda,a1,red\n,,\n", [Person("Ada", "a1", "red")]),
        (
            "\ufeffFirst name;Surname;ID number;Groups\nZoë;Ünal;7;blue\n",
            [Person("Zoë Ünal", "7", "blue")],
        ),
        (
            'Student,ID,SIS User ID,Section\n"Lovelace, Ada",5,x,A\n',
            [Person("Lovelace, Ada", "5", "A")],
        ),
        ("Name\tID\nJan\t1\nJan\t2\n", [Person("Jan (1)", "1"), Person("Jan (2)", "2")]),
    ],
)
def test_rosters_are_read_as_platforms_export_them(tmp_path: Path, content, people) -> None:
    (tmp_path / "roster.csv").write_text(content, encoding="utf-8")
    assert read_roster(tmp_path / "roster.csv") == people
    (tmp_path / "roster.csv").write_text(content.lstrip("\ufeff"), encoding="utf-16")
    assert read_roster(tmp_path / "roster.csv") == people


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"name\nZo\xeb\n"])
def test_what_is_no_roster_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "roster.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"roster\.csv"):
        read_roster(tmp_path / "roster.csv")
