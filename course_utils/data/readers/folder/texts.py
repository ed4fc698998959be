"""Small text files that people write: their encodings, and what stands in them."""

import codecs
import csv
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from course_utils.data.faults import Faults

VOID = 255
"""What LabelMe and VOC write where an annotator left it open."""
_VOID_NAMES = ("__ignore__",)
_BACKGROUND_NAMES = ("_background_", "__background__", "background")
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_DELIMITERS = ";\t,"


def plain(name: str) -> str:
    r"""Return `name` so that two spellings of one are equal: macOS takes letters apart (NFD).

    Example:
        >>> plain("TEIL_U\u0308.png") == plain("teil_\u00fc.png")
        True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def read_text(path: Path) -> tuple[str, str]:
    """Return the text of a file, and its encoding if that was guessed, else nothing.

    UTF-8 and UTF-16 are recognized, with or without a byte-order mark. Else GBK is taken if most
    letters beyond ASCII are pairs of its common characters, and Windows-1252 (Latin-1) if not.

    Raises:
        ValueError: for bytes that are none of these.
    """
    content = path.read_bytes()
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return _decoded(path, content, encoding), ""
    if b"\0" in content:  # ASCII letters in UTF-16 have one: in the second place, or in the first
        encoding = "utf-16-le" if content[1::2].count(0) >= content[::2].count(0) else "utf-16-be"
        return _decoded(path, content, encoding), ""
    try:
        return content.decode("utf-8"), ""
    except UnicodeDecodeError:
        encoding = "gbk" if _is_chinese(content) else "cp1252"
        return _decoded(path, content, encoding), encoding


def _decoded(path: Path, content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text that can be read: save it as UTF-8") from None


def _is_chinese(content: bytes) -> bool:
    try:
        letters = [one for one in content.decode("gbk") if one > "\x7f"]
    except UnicodeDecodeError:
        return False
    # The 3755 characters of daily use; accented letters of Latin-1 make pairs beyond them.
    common = [one for one in letters if "\xb0\xa1" <= one.encode("gbk").decode("latin1") < "\xd8"]
    return 2 * len(common) > len(letters)


class ClassList(NamedTuple):
    """What classes.txt says."""

    names: tuple[str, ...] = ()
    """Of the mask values 1, 2, ...; none without a classes.txt."""
    has_void: bool = False
    """Whether mask value 255 is void: no class, left open by the annotator."""
    remarks: tuple[str, ...] = ()


def read_class_list(path: Path) -> ClassList:
    """Return the names in a classes.txt, one a line; without the file, none.

    LabelMe's `__ignore__` (void, 255 in a mask) and `_background_` (0), also `background`, stand
    before the classes and are no classes: they are dropped, and a remark says so.

    Raises:
        ValueError: for no name, empty lines between names, a name that comes twice, the background
            after a class, and bytes in no known encoding.
    """
    if not path.is_file():
        return ClassList()
    text, guessed = read_text(path)
    names = [unicodedata.normalize("NFC", line.strip()) for line in text.splitlines()]
    while names and not names[-1]:
        names.pop()
    dropped = []
    for known in (_VOID_NAMES, _BACKGROUND_NAMES):
        if names and names[0].lower() in known:
            dropped.append(names.pop(0))
    has_void = bool(dropped) and dropped[0].lower() in _VOID_NAMES
    most = VOID - has_void
    if not names or "" in names or len(set(names)) < len(names) or len(names) > most:
        raise ValueError(
            f"{path} must hold 1 to {most} different names, one per line, no empty line"
        )
    for name in names:
        if name.lower() in (*_VOID_NAMES, *_BACKGROUND_NAMES):
            raise ValueError(
                f"{path} names {name} after a class: {name} is none. Put __ignore__ and then "
                f"_background_ first, or leave them out"
            )
    remarks = []
    if dropped:
        remarks.append(
            f"{path.name} begins with {' and '.join(dropped)}, no class of defect: value 1 of a "
            f"mask is {names[0]}."
        )
    if guessed:
        remarks.append(
            f"{path.name} is not UTF-8 and was read as {guessed}: {', '.join(names)}. If that "
            f"looks wrong, save it as UTF-8."
        )
    return ClassList(tuple(names), has_void, tuple(remarks))


def read_groups(
    path: Path, names: Sequence[str], faults: Faults
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the group number of each of `names` (N,), as a groups.csv states it, and remarks.

    The first line names the columns, `file` and `group`, in any order and among others; they are
    parted by commas, semicolons or tabs. A file is named by its path in the folder or by its last
    part, with or without its ending. Lines on files that are not there are counted in a remark.

    `faults` gets a file without its columns, a line without a group, an image in two groups, a name
    that fits several images, and each image that no line names.
    """
    text, _ = read_text(path)
    lines = text.splitlines()
    if lines and lines[0].lower().startswith("sep="):  # Excel's
        lines = lines[1:]
    header = lines[0].lower() if lines else ""
    delimiter = max(_DELIMITERS, key=header.count)
    rows = csv.DictReader([header, *lines[1:]], delimiter=delimiter, skipinitialspace=True)
    groups = [""] * len(names)
    if not {"file", "group"} <= {(name or "").strip() for name in rows.fieldnames or ()}:
        faults.add(f"{path} begins with {header!r}: want a first line with the columns file,group")
        return np.zeros(len(names), np.int64), ()
    rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
    places = _places(names)
    unknown = []
    for row in rows:
        file, group = (row["file"] or "").strip(), (row["group"] or "").strip()
        where = f"{path}, line {rows.line_num + len(text.splitlines()) - len(lines)}"
        found = places.get(plain(file.replace("\\", "/").removeprefix("./")), [])
        if not file and not group:
            continue
        if not found:
            unknown.append(file)
        elif not group:
            faults.add(f"{where} gives {file} no group: write a name or number after it")
        elif len(found) > 1:
            both = " or ".join(names[one] for one in found)
            faults.add(f"{where}: {file} is the name of several images, write {both}")
        elif groups[found[0]] not in ("", group):
            faults.add(f"{where}: {file} is in group {groups[found[0]]} already, keep one line")
        else:
            groups[found[0]] = group
    for name, group in zip(names, groups, strict=True):
        if not group:
            faults.add(f"{path} names no group for {name}: add a line, with any name of its own")
    remarks = [
        f"{path.name} names {len(unknown)} files that are not here, such as {one}."
        for one in unknown[:1]
    ]
    return np.unique(groups, return_inverse=True)[1], tuple(remarks)


def _places(names: Sequence[str]) -> dict[str, list[int]]:
    """Return the numbers of the images that each way of naming one fits."""
    places: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        whole = plain(name)
        last = whole.rpartition("/")[2]
        ways = {whole, last, whole.rpartition(".")[0], last.rpartition(".")[0]}
        for way in ways:
            places.setdefault(way, []).append(number)
    return places
