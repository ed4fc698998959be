"""Whatever stops a fetch, the set's folder holds each part as it was or whole."""

import errno
import io
import itertools
import multiprocessing
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from local_server import LocalServer
from stand_ins import StandIn, stand_in

from course_utils.fetching import (
    Watch,
    choose_parts,
    find_published,
    install,
    installation,
    match_archives,
    verify,
)

MVTEC = "mvtec_anomaly_detection.tar.xz"


@pytest.fixture
def kolektor(tmp_path: Path) -> StandIn:
    kind = stand_in("kolektor_sdd")
    (tmp_path / "files").mkdir()
    for name, content in kind.files.items():
        (tmp_path / "files" / name).write_bytes(content)
    return kind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the set belongs."""
    return tmp_path / "root" / "kolektor_sdd"


@pytest.fixture
def served() -> Iterator[tuple[StandIn, LocalServer]]:
    files: dict[str, bytes] = {}
    with LocalServer(files) as server:
        kind = stand_in("kolektor_sdd", server.url("").rstrip("/"))
        files.update(kind.files)
        yield kind, server


def bring(kind: StandIn, tmp_path: Path, **options) -> list[str]:
    given = {name: tmp_path / "files" / name for name in kind.files}
    parts = options.pop("parts", kind.published.parts)
    came = install(kind.published, parts, tmp_path / "root", given=given, **options)
    return [part.name for part in came]


def state(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Stopper(Watch):
    """Presses Ctrl-C at the n-th thing it is told."""

    def __init__(self, at: int) -> None:
        self.left = at

    def _count(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    say = start = reach = _count


def test_ctrl_c_at_every_moment_leaves_nothing_or_the_whole(served, tmp_path: Path):
    published, parts, root = served[0].published, served[0].published.parts, tmp_path / "root"
    for moment in range(1, 100):
        shutil.rmtree(root, ignore_errors=True)
        try:
            install(published, parts, root, watch=Stopper(moment))
            break
        except KeyboardInterrupt:
            assert not (root / "kolektor_sdd").exists()
        install(published, parts, root)
        assert not verify(published, parts[0], root).faults
    assert moment > 6  # three downloads and three unpackings, each stopped at least once


@pytest.mark.parametrize("there", ["nothing", "one part", "all of it, replaced by force"])
def test_a_death_between_any_two_moves_is_made_good_by_the_next_call(
    kolektor, folder, tmp_path, monkeypatch, there
):
    wanted = {"nothing": 1, "one part": 2}.get(there, 8)
    real_rename, force = os.rename, there.startswith("all")
    deaths = made_good = 0
    for moment in range(1, 200):
        shutil.rmtree(folder.parent, ignore_errors=True)
        if there == "one part":
            bring(kolektor, tmp_path, parts=kolektor.published.parts[:1])
        if force:
            bring(kolektor, tmp_path)
            (folder / "kos01" / "Part0.jpg").write_bytes(b"old")
        renamings = itertools.count(1)

        def dying(source, target, moment=moment, renamings=renamings):
            if next(renamings) == moment:
                raise SystemExit("killed")  # no handler of ours may clean up after this
            real_rename(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(installation.os, "rename", dying)
            try:
                bring(kolektor, tmp_path, force=force)
                break
            except SystemExit:
                deaths += 1
        bring(kolektor, tmp_path)
        if not force or (folder / "kos01" / "Part0.jpg").read_bytes() != b"old":
            assert not verify(kolektor.published, kolektor.published.parts[0], folder.parent).faults
            made_good += 1
        assert all(part.is_here(folder) for part in kolektor.published.parts)
        assert os.listdir(folder.parent / ".fetching" / "kolektor_sdd") == ["lock"]
    assert deaths >= wanted
    assert made_good >= wanted  # of the others the old content is there, untouched


def test_what_is_there_stays_and_force_replaces_what_is_of_the_set(kolektor, folder, tmp_path):
    assert bring(kolektor, tmp_path) == ["fine", "boxes", "splits"]
    (folder / "notes.txt").write_text("mine")
    (folder / "kos02" / "Part0.jpg").write_bytes(b"broken")
    before = state(folder)
    assert bring(kolektor, tmp_path) == []
    assert state(folder) == before
    assert bring(kolektor, tmp_path, force=True) == ["fine", "boxes", "splits"]
    assert (folder / "kos02" / "Part0.jpg").read_bytes() != b"broken"
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_folder_that_is_not_whole_is_left_alone(kolektor, folder, tmp_path):
    bring(kolektor, tmp_path)
    shutil.rmtree(folder / "kos02")
    before = state(folder)
    with pytest.raises(FileExistsError, match=r"has kos01 but not kos02.*--force"):
        bring(kolektor, tmp_path)
    assert state(folder) == before


@pytest.mark.parametrize("what", ["a file", "a link that leads nowhere"])
def test_something_in_the_place_of_the_folder_is_an_error(kolektor, folder, tmp_path, what):
    folder.parent.mkdir()
    folder.write_text("mine") if what == "a file" else folder.symlink_to(tmp_path / "unplugged")
    with pytest.raises(NotADirectoryError, match=f"is {what}.*move it away"):
        bring(kolektor, tmp_path)
    assert folder.is_file() or folder.is_symlink()


def add_to(file: Path, member: str) -> None:
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(member, "packed again in our classroom")


def test_a_file_that_is_not_the_published_one_is_refused_unless_trusted(kolektor, folder, tmp_path):
    file = tmp_path / "files" / "KolektorSDD.zip"
    add_to(file, "KolektorSDD/note.txt")
    with pytest.raises(ValueError, match=r"not KolektorSDD\.zip as it was published.*--unverified"):
        bring(kolektor, tmp_path)
    assert not folder.exists()
    said: list[str] = []
    watch = SimpleNamespace(say=said.append, start=lambda *_: None, reach=lambda *_: None)
    assert bring(kolektor, tmp_path, unverified=True, watch=watch) == ["fine", "boxes", "splits"]
    assert "is not the published KolektorSDD.zip" in said[0]
    assert file.exists()


def test_an_archive_that_is_not_whole_changes_nothing(kolektor, folder, tmp_path):
    greedy = replace(kolektor.published.parts[0], files={"kos*": 50})
    with pytest.raises(ValueError, match="finds 3 files after unpacking, published are 50"):
        bring(kolektor, tmp_path, parts=[greedy])
    assert not folder.exists()


def test_an_unsafe_archive_leaves_nothing(kolektor, folder, tmp_path):
    add_to(tmp_path / "files" / "KolektorSDD.zip", "../outside.txt")
    with pytest.raises(ValueError, match="outside"):
        bring(kolektor, tmp_path, unverified=True)
    assert not folder.exists()
    assert os.listdir(folder.parent / ".fetching" / "kolektor_sdd") == ["lock"]
    assert not list(tmp_path.rglob("outside.txt"))


def test_a_file_of_any_name_is_known_by_what_it_holds_or_by_the_part_it_is_said_to_bring(
    kolektor: StandIn, tmp_path: Path
):
    published, mine = kolektor.published, tmp_path / "mine.zip"
    shutil.copy(tmp_path / "files" / "KolektorSDD-training-splits.zip", mine)
    found = match_archives(published, [str(mine)])
    assert found == {"KolektorSDD-training-splits.zip": mine}
    shutil.copy(tmp_path / "files" / "KolektorSDD-boxes.zip", mine)
    boxes = match_archives(published, [f"boxes={mine}"])
    assert boxes == {"KolektorSDD-boxes.zip": mine}
    assert [part.name for part in choose_parts(published, published.parts, boxes)] == ["boxes"]
    holiday = tmp_path / "holiday.zip"
    add_to(holiday, "holiday/beach.jpg")
    for texts, message in (
        ([f"{mine}"], r"could be any of .*--archive fine=mine\.zip"),
        ([f"boxes={mine}", f"boxes={mine}"], "would both be"),
        ([f"lids={mine}"], "has no part 'lids'"),
        ([f"{holiday}"], "holds nothing of kolektor_sdd"),
    ):
        with pytest.raises(ValueError, match=message):
            match_archives(published, texts)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        match_archives(published, [str(tmp_path / "nowhere.zip")])


def bottles(tmp_path: Path, *folders: str) -> Path:
    """Write a zip with the files of the category bottle in each of `folders`."""
    with tarfile.open(fileobj=io.BytesIO(stand_in("mvtec_ad").files[MVTEC])) as whole:
        content = {m.name: whole.extractfile(m).read() for m in whole if m.name[:7] == "bottle/"}
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for folder in folders:
            for name, data in content.items():
                archive.writestr(folder + name.removeprefix("bottle/"), data)
    return tmp_path / "mine.zip"


def fetch_bottle(file: Path, root: Path) -> None:
    published, parts = stand_in("mvtec_ad").published, find_published("mvtec_ad/bottle")[1]
    parts = [part for part in published.parts if part.name == parts[0].name]
    install(published, parts, root, given={MVTEC: file}, unverified=True)


@pytest.mark.parametrize(
    "folder",
    ["", "bottle/", "Bottle/", "my bottles/", "mvtec/bottle/", "a/b/bottle-1/", "x/bottle_new/"],
)
def test_a_category_is_found_in_whatever_folder_it_was_packed(tmp_path, folder):
    fetch_bottle(bottles(tmp_path, folder), tmp_path / "root")
    place = tmp_path / "root" / "mvtec_ad" / "bottle"
    assert len(list(place.glob("train/good/*.png"))) == 5
    assert (place / "ground_truth" / "bent" / "000_mask.png").is_file()


@pytest.mark.parametrize("folders", [("cable/",), ("x/Cable/",), ("one/", "two/")])
def test_another_category_or_one_of_two_is_not_taken_for_it(tmp_path, folders):
    with pytest.raises(ValueError, match=r"holds nothing of what is wanted \(bottle\)"):
        fetch_bottle(bottles(tmp_path, *folders), tmp_path / "root")
    assert not (tmp_path / "root" / "mvtec_ad").exists()


def test_a_full_disk_leaves_nothing_and_keeps_what_was_downloaded(served, tmp_path, monkeypatch):
    kind, server = served

    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(OSError, match="the disk is full"):
            install(kind.published, kind.published.parts, tmp_path)
    assert not (tmp_path / "kolektor_sdd").exists()
    left = sorted(os.listdir(tmp_path / ".fetching" / "kolektor_sdd"))
    assert left == sorted([*kind.files, "lock"])
    asked = len(server.requests)
    install(kind.published, kind.published.parts, tmp_path)
    assert len(server.requests) == asked


def test_too_little_space_is_told_before_anything_is_fetched(tmp_path: Path):
    published, parts = find_published("mvtec_ad/bottle")
    huge = replace(published, archives=(replace(published.archives[0], size=10**18),))
    with pytest.raises(OSError, match=r"needs .* GB more .* make room"):
        install(huge, parts, tmp_path)


def _fetch(address: str, root: Path, start: Any, came: Any) -> None:
    kind = stand_in("kolektor_sdd", address)
    start.wait(60)
    came.put(len(install(kind.published, kind.published.parts[2:], root)))


@pytest.mark.skipif(os.name == "nt", reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_two_processes_fetch_a_set_once(tmp_path: Path):
    fork = multiprocessing.get_context("fork")  # to import it all again takes seconds
    files: dict[str, bytes] = {}
    with LocalServer(files) as server:
        address = server.url("").rstrip("/")
        files.update(stand_in("kolektor_sdd", address).files)
        start, came = fork.Barrier(2), fork.SimpleQueue()
        both = [
            fork.Process(target=_fetch, args=(address, tmp_path / "root", start, came))
            for _ in range(2)
        ]
        for process in both:
            process.start()
        for process in both:
            process.join(120)
        assert [process.exitcode for process in both] == [0, 0]
        assert sorted([came.get(), came.get()]) == [0, 1]
        assert len(server.requests) == 1


def test_a_page_in_the_place_of_an_archive_without_a_hash_is_not_kept(tmp_path: Path):
    files = {"MCITF.zip": b"<html>log in to this network</html>"}
    with LocalServer(files) as server:
        kind = stand_in("sd_saliency_900", server.url("").rstrip("/"))
        with pytest.raises(ValueError, match="It was removed: the next try fetches it anew"):
            install(kind.published, kind.published.parts, tmp_path)
        files.update(kind.files)
        assert install(kind.published, kind.published.parts, tmp_path)


def test_another_disk_is_told_before_anything_is_fetched(served, tmp_path: Path, monkeypatch):
    kind, server = served
    place = tmp_path / "kolektor_sdd"
    place.mkdir()
    real, elsewhere = os.stat, SimpleNamespace(st_dev=-1, st_mode=place.stat().st_mode)
    monkeypatch.setattr(
        installation.os, "stat", lambda p, **kw: elsewhere if p == place else real(p, **kw)
    )
    with pytest.raises(OSError, match="on another disk"):
        install(kind.published, kind.published.parts, tmp_path)
    assert not server.requests
