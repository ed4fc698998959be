"""An inbox: every file has a row, whatever is in it, and no archive reaches out of itself."""

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from course_utils.runs import inbox
from course_utils.runs.inbox import LEFT_OUT, UNREADABLE, read_inbox


def pack(entries: dict[str, bytes], **options: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name, (2031, 5, 6, 7, 8, 10))
            info.external_attr = options.get("mode", 0o644) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def found(folder: Path) -> dict[str, tuple[bytes, str]]:
    return {str(file.place): (file.content, file.fault) for file in read_inbox(folder)}


def owners(folder: Path) -> list[str]:
    return [str(file.owner) for file in read_inbox(folder)]


def test_files_are_read_whatever_a_browser_made_of_their_names(tmp_path: Path) -> None:
    for name in ("a.ipynb", "b.ipynb.txt", "c.IPYNB", "deep/er/d.ipynb.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert found(tmp_path) == {
        name: (name.encode(), "")
        for name in ("a.ipynb", "b.ipynb.txt", "c.IPYNB", "deep/er/d.ipynb.json")
    }


def test_what_is_no_notebook_is_left_out_and_what_systems_leave_behind_is_not_there(
    tmp_path: Path,
) -> None:
    for name in (
        "report.pdf",
        "work.rar",
        "homework.tar.gz",
        ".DS_Store",
        "Thumbs.db",
        "._a.ipynb",
    ):
        (tmp_path / name).write_bytes(b"x")
    assert {name: fault for name, (_, fault) in found(tmp_path).items()} == {
        "report.pdf": LEFT_OUT,
        "work.rar": LEFT_OUT,
        "homework.tar.gz": LEFT_OUT,
    }


def test_a_copy_of_jupyters_counts_as_handed_in_only_where_the_notebook_is_not(
    tmp_path: Path,
) -> None:
    for name in ("ada/.ipynb_checkpoints/a-checkpoint.ipynb", "bob/.ipynb_checkpoints/a.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "ada" / "a.ipynb").write_bytes(b"x")
    assert found(tmp_path) == {
        "ada/a.ipynb": (b"x", ""),
        "bob/.ipynb_checkpoints/a.ipynb": (b"", LEFT_OUT),
    }


@pytest.mark.skipif(os.name == "nt", reason="needs links and pipes")
def test_links_and_pipes_are_refused_and_not_opened(tmp_path: Path) -> None:
    (tmp_path / "inbox" / "bob").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.ipynb").write_bytes(b"another's")
    (tmp_path / "inbox" / "a.ipynb").symlink_to(tmp_path / "other" / "a.ipynb")
    (tmp_path / "inbox" / "gone.ipynb").symlink_to("nowhere")
    (tmp_path / "inbox" / "ada").symlink_to(tmp_path / "other")
    os.mkfifo(tmp_path / "inbox" / "bob" / "pipe.ipynb")
    assert set(found(tmp_path / "inbox").values()) == {(b"", LEFT_OUT)}
    assert len(found(tmp_path / "inbox")) == 4


def test_an_archive_counts_as_the_folder_of_its_student(tmp_path: Path) -> None:
    (tmp_path / "ada").mkdir()
    entries = {"hw/01.ipynb": b"1", "__MACOSX/hw/._01.ipynb": b"x", "hw/notes.txt": b"n"}
    (tmp_path / "ada" / "homework.zip").write_bytes(pack(entries))
    (tmp_path / "bob.zip").write_bytes(pack({"hw/01.ipynb": b"2"}))
    several = {"cid/01.ipynb": b"3", "dee/hand.zip": pack({"01.ipynb": b"4"}), "eve/01.ipynb": b"5"}
    (tmp_path / "class.ZIP").write_bytes(pack(several))
    assert found(tmp_path) == {
        "ada/homework.zip/hw/01.ipynb": (b"1", ""),
        "ada/homework.zip/hw/notes.txt": (b"", LEFT_OUT),
        "bob.zip/hw/01.ipynb": (b"2", ""),
        "class.ZIP/cid/01.ipynb": (b"3", ""),
        "class.ZIP/dee/hand.zip/01.ipynb": (b"4", ""),
        "class.ZIP/eve/01.ipynb": (b"5", ""),
    }
    assert owners(tmp_path) == [
        "ada/01.ipynb",
        "ada/notes.txt",
        "bob/01.ipynb",
        "class/cid/01.ipynb",
        "class/dee/01.ipynb",
        "class/eve/01.ipynb",
    ]


@pytest.mark.parametrize("name", ["../x.ipynb", "/x.ipynb", "a/../../x.ipynb", "C:\\x.ipynb"])
def test_a_path_that_leads_out_of_an_archive_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.zip").write_bytes(pack({name: b"x", "good.ipynb": b"1"}))
    assert sorted(fault for _, fault in found(tmp_path).values()) == ["", LEFT_OUT]


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    content = pack({"x.ipynb": b"/etc/passwd"}, mode=stat.S_IFLNK | 0o777)
    (tmp_path / "a.zip").write_bytes(content)
    assert found(tmp_path) == {"a.zip/x.ipynb": (b"", LEFT_OUT)}


def test_sizes_are_those_of_the_content_and_not_what_an_archive_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "LARGEST_NOTEBOOK", 1000)
    monkeypatch.setattr(inbox, "LARGEST_ARCHIVE", 1500)
    content = bytearray(pack({"x.ipynb": bytes(5000), "y.ipynb": bytes(900)}))
    for place in (content.find(b"PK\x01\x02") + 24, 22):  # both headers say that it is small
        content[place : place + 4] = (10).to_bytes(4, "little")
    (tmp_path / "lie.zip").write_bytes(content)
    (tmp_path / "big.ipynb").write_bytes(bytes(1001))
    (tmp_path / "many.zip").write_bytes(pack({f"{i}.ipynb": bytes(900) for i in range(2)}))
    faults = {name: fault for name, (_, fault) in found(tmp_path).items()}
    assert faults["lie.zip/x.ipynb"] == faults["big.ipynb"] == UNREADABLE
    assert [faults[f"many.zip/{i}.ipynb"] for i in range(2)] == ["", UNREADABLE]


@pytest.mark.parametrize(
    "content", [b"", b"no archive", pack({"a.ipynb": b"x" * 999})[:-30], pack({})]
)
def test_an_archive_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    ((_, fault),) = found(tmp_path).values()
    assert fault


def test_an_archive_within_others_is_opened_only_so_deep(tmp_path: Path) -> None:
    content = pack({"x.ipynb": b"1"})
    for depth in range(2):
        content = pack({f"{depth}.zip": content})
    (tmp_path / "a.zip").write_bytes(content)
    assert found(tmp_path) == {"a.zip/1.zip/0.zip": (b"", LEFT_OUT)}


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="needs files that are closed to us")
def test_what_is_closed_to_us_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").touch(mode=0)
    (tmp_path / "closed").mkdir(mode=0)
    assert {fault for _, fault in found(tmp_path).values()} == {UNREADABLE}
