"""An archive is unpacked as it is meant, or refused with its name and the fault."""

import bz2
import errno
import gzip
import io
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
from unittest.mock import Mock

import numpy as np
import pytest

from course_utils.fetching import archives
from course_utils.fetching.archives import ArchiveError, archive_members, unpack
from course_utils.fetching.disk_space import DiskFullError

CONTENT = {"set/a.png": b"first", "set/deep/b.png": b"", "notes.txt": bytes(range(256)) * 2}
LONG = "set/" + "/".join(["x" * 90] * 4) + "/ö.png"


def as_is(name):
    return name


def unpacked(file, target, place=as_is, limit=10_000, **options):
    """Return how many files were unpacked and, by path under `target`, the files found there."""
    target.mkdir()
    count = unpack(file, target, place, limit=limit, **options)
    return count, {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }


def refused(file, tmp_path, match, place=as_is, limit=10_000):
    """Check that `file` is refused with words that fit `match`, and nothing written outside."""
    before = sorted(tmp_path.rglob("*"))
    target = tmp_path / "new" / "target"
    target.mkdir(parents=True)
    with pytest.raises(ArchiveError, match=match) as caught:
        unpack(file, target, place, limit=limit)
    assert str(file) in str(caught.value)
    shutil.rmtree(target)
    target.parent.rmdir()
    assert sorted(tmp_path.rglob("*")) == before


def zip_of(path, members, **entry):
    """Write a zip of (name, content) pairs; equal names are allowed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.filename = name  # ZipInfo turns backslashes on Windows: here they are wanted
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in entry.items():
                setattr(info, key, value)
            archive.NameToInfo.clear()  # no warning of equal names
            archive.writestr(info, content)
    return path


def tar_bytes(members, **options):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def tar_of(path, members, **options):
    path.write_bytes(tar_bytes(members, **options))
    return path


def tar_entry(name, **fields):
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def archive_in(form, path, members):
    if form == "zip":
        return zip_of(path, members)
    pack = {"tar": bytes, "gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}[form]
    path.write_bytes(pack(tar_bytes(members)))
    return path


FORMS = ["zip", "tar", "gz", "xz", "bz2"]
both = pytest.mark.parametrize("form", ["zip", "gz"])


@pytest.mark.parametrize("form", FORMS)
def test_the_format_is_read_from_the_content_and_not_from_the_name(form, tmp_path):
    file = archive_in(form, tmp_path / "set.rar", CONTENT.items())
    assert archive_members(file) == list(CONTENT)
    assert unpacked(file, tmp_path / "out") == (3, CONTENT)


@both
def test_members_go_where_place_says_and_others_are_left_out(form, tmp_path):
    file = archive_in(form, tmp_path / "set", CONTENT.items())
    places = {"set/a.png": "good/1.png", "notes.txt": "readme"}
    found = unpacked(file, tmp_path / "out", places.get)
    assert found == (2, {"good/1.png": b"first", "readme": CONTENT["notes.txt"]})


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_archive_gives_nothing(form, tmp_path):
    assert unpacked(archive_in(form, tmp_path / "set", []), tmp_path / "out") == (0, {})


def test_folder_members_are_passed_over_and_dots_in_names_are_no_trouble(tmp_path):
    folders = [(tar_entry(name, type=tarfile.DIRTYPE), b"") for name in ("./", "./set", LONG)]
    members = [*folders, ("./set//a", b"1")]
    file = tar_of(tmp_path / "tar", members, format=tarfile.PAX_FORMAT)
    assert archive_members(file) == ["set/a"]
    file = zip_of(tmp_path / "zip", [("./", b""), ("set/", b""), ("./set//a", b"1")])
    assert archive_members(file) == ["set/a"]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_comments_in_a_tar_are_read(form, tmp_path):
    members = [(LONG, b"1"), ("short", b"2"), (LONG + "x", b"3")]
    comment = {"comment": "0b5f1c"} if form == tarfile.PAX_FORMAT else None
    file = tar_of(tmp_path / "set", members, format=form, pax_headers=comment)
    assert archive_members(file) == [LONG, "short", LONG + "x"]
    assert unpacked(file, tmp_path / "out")[1][LONG] == b"1"


JUNK = (
    "__MACOSX/set/._a.png",
    "set/.DS_Store",
    "set/._a.png",
    "set/Thumbs.db",
    "set/THUMBS.DB",
    "set/ehthumbs_vista.db",
    "set/desktop.ini",
    "set/@eaDir/a.png/SYNOPHOTO_THUMB_M.png",
    "#recycle/a.png",
    "$RECYCLE.BIN/a.png",
    "System Volume Information/a.png",
)


@both
def test_what_systems_leave_behind_is_neither_listed_nor_unpacked(form, tmp_path):
    members = [("set/a.png", b"1"), *((name, b"junk") for name in JUNK), ("set/b.png", b"2")]
    file = archive_in(form, tmp_path / "set", members)
    assert archive_members(file) == ["set/a.png", "set/b.png"]
    assert unpacked(file, tmp_path / "out") == (2, {"set/a.png": b"1", "set/b.png": b"2"})


def test_backslashes_in_a_zip_part_folders_as_their_packer_meant(tmp_path):
    names = ["set\\", "set\\deep\\", "set\\a.png", "set\\deep\\b.png", "set/deep\\c.png"]
    file = zip_of(tmp_path / "zip", [(name, b"1" * name.endswith("png")) for name in names])
    assert archive_members(file) == ["set/a.png", "set/deep/b.png", "set/deep/c.png"]
    assert unpacked(file, tmp_path / "out")[0] == 3


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"7z\xbc\xaf\x27\x1c\0\4", "is a 7z archive, which is not read here: unpack it"),
        (b"Rar!\x1a\x07\0", "is a rar archive, .* pack the folder as a zip"),
        (b"Rar!\x1a\x07\1\0", "is a rar archive"),
    ],
)
def test_other_formats_are_refused_with_the_way_out(start, what, tmp_path):
    (tmp_path / "set.zip").write_bytes(start + bytes(2000))
    refused(tmp_path / "set.zip", tmp_path, what)


UNSAFE_NAMES = {
    "../x": "'../x' leads out of its folder",
    "set/../../x": "leads out of its folder",
    "set/.. /x": "leads out of its folder",
    "/abs": "'/abs' is absolute",
    "C:/x": "is absolute",
    "set/c:x": "is absolute",
    "set\\..\\x": "has a backslash|leads out of its folder",
    "..\\x": "has a backslash|leads out of its folder",
    "C:\\x": "is absolute",
}


@both
@pytest.mark.parametrize("name", UNSAFE_NAMES)
def test_unsafe_names_are_refused_even_where_the_member_is_left_out(form, name, tmp_path):
    file = archive_in(form, tmp_path / "set", [("a", b"1"), (name, b"2")])
    refused(file, tmp_path, UNSAFE_NAMES[name], place=lambda member: None)
    with pytest.raises(ArchiveError, match=UNSAFE_NAMES[name]):
        archive_members(file)


@both
@pytest.mark.parametrize("second", ["one/a.png", "one", "one/a.png/b"])
def test_two_members_with_one_destination_are_refused(form, second, tmp_path):
    file = archive_in(form, tmp_path / "set", [("P", b"1"), ("Q", b"2")])
    match = "'Q' has the destination of another one"
    refused(file, tmp_path, match, {"P": "one/a.png", "Q": second}.get)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
@pytest.mark.parametrize("name", ["in/l", "in/"])
def test_links_and_devices_in_a_zip_are_refused(kind, name, tmp_path):
    file = zip_of(tmp_path / "set", [(name, b"..")], external_attr=(kind | 0o777) << 16)
    refused(file, tmp_path, f"'{name}' is a link or a device", place=lambda name: None)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path):
    special = tar_entry("in/l", type=kind, linkname="a")
    file = tar_of(tmp_path / "set", [("a", b"1"), (special, b"")])
    refused(file, tmp_path, "'in/l' is a link or a device", place=lambda name: None)


def test_files_are_plain_whatever_the_archive_says(tmp_path):
    mode = stat.S_IFREG | 0o6777
    loud = zip_of(tmp_path / "zip", [("a", b"1")], external_attr=mode << 16)
    entry = tar_entry("a", mode=0o6777, uid=12345, gid=12345)
    (tmp_path / "plain").write_bytes(b"")
    for file in (loud, tar_of(tmp_path / "tar", [(entry, b"1")])):
        unpacked(file, target := tmp_path / f"{file.name}_out")
        found, plain = (target / "a").stat(), (tmp_path / "plain").stat()
        assert (found.st_mode, found.st_uid) == (plain.st_mode, plain.st_uid)


@pytest.mark.parametrize("form", FORMS)
def test_no_more_than_the_limit_is_written(form, tmp_path):
    members = [("a", bytes(60)), ("b", bytes(40)), ("c", b""), ("bomb", bytes(2_000_000))]
    file = archive_in(form, tmp_path / "set", members)
    refused(file, tmp_path, "more than the 99 bytes expected of it .*'b'", limit=99)
    target = tmp_path / "part"
    assert unpacked(file, target, {"a": "a"}.get, limit=60)[0] == 1
    with pytest.raises(ArchiveError, match="'bomb'"):
        unpack(file, target, {"b": "b", "c": "c", "bomb": "bomb"}.get, limit=10_000)
    assert not (target / "bomb").exists()


ENTRY_FIELDS = {"flags": 8, "method": 10, "crc": 16, "size": 24, "start": 42}


def lie(file, **fields):
    """Change what the last entry in the list of a zip says."""
    data = bytearray(file.read_bytes())
    start = data.rindex(b"PK\x01\x02")
    for key, value in fields.items():
        form = "<H" if key in ("flags", "method") else "<I"
        struct.pack_into(form, data, start + ENTRY_FIELDS[key], value)
    file.write_bytes(data)
    return file


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"size": 6}, r"damaged or cut short .*'a' has 5 of 6 bytes"),
        ({"size": 4}, r"damaged or cut short"),
        ({"crc": 12}, r"damaged or cut short .*Bad CRC-32"),
        ({"flags": 0x1}, r"is encrypted \('a'\)"),
        ({"flags": 0x41}, r"is encrypted \('a'\)"),
        ({"flags": 0x20}, r"damaged .*patched data"),
        ({"method": 12}, "'a' is packed by method 12: pack the zip anew"),
        ({"start": 0xFFFFFFFF}, r"damaged or cut short"),  # further than files can be
    ],
)
def test_a_zip_whose_list_does_not_fit_is_refused(fields, match, tmp_path):
    huge = struct.pack("<HHQ", 1, 8, 2**64 - 1)
    file = zip_of(tmp_path / "set", [("a", b"12345")], extra=huge if "start" in fields else b"")
    refused(lie(file, **fields), tmp_path, match)


@both
def test_too_many_members_are_refused(form, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
    file = archive_in(form, tmp_path / "set", [(f"{number}", b"") for number in range(4)])
    refused(file, tmp_path, "more than 3 files", place=lambda name: None)
    assert archive_members(archive_in(form, file, [(f"{number}", b"") for number in range(3)]))


HEADERS = (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME)


@pytest.mark.parametrize(
    ("kind", "size"),
    [*((kind, size) for kind in HEADERS for size in (1 << 33, -512)), (tarfile.REGTYPE, -512)],
)
def test_sizes_in_a_tar_that_cannot_be_are_damage(kind, size, tmp_path):
    odd = tar_entry("x", type=kind, size=size).tobuf(tarfile.GNU_FORMAT)
    file = tmp_path / "set"
    file.write_bytes(gzip.compress(tar_bytes([("a", b"1")])[:1024] + odd + bytes(1024)))
    refused(file, tmp_path, f"damaged .*(header of {size} bytes|negative size)")


@pytest.mark.parametrize("fields", [b"99 path=a\n", b"12 size=-60\n"])
def test_a_broken_extended_header_is_damage(fields, tmp_path):
    extended = tar_entry("x", type=tarfile.XHDTYPE, size=len(fields)).tobuf()
    first, rest = tar_bytes([("a", b"1")])[:1024], tar_bytes([("b", b"2")])
    file = tmp_path / "set"
    file.write_bytes(first + extended + fields.ljust(512, b"\0") + rest)
    refused(file, tmp_path, "is damaged")


@pytest.mark.parametrize(
    "content",
    [b"", b"<!DOCTYPE html>", b"<!DOCTYPE html>" * 100, gzip.compress(b"no tar" * 200)],
    ids=["nothing", "short page", "page", "no tar"],  # gzip holds the time: no name for a test
)
def test_anything_else_is_refused(content, tmp_path):
    file = tmp_path / "set.zip"
    file.write_bytes(content)
    refused(file, tmp_path, "no archive that can be read here")
    with pytest.raises(ArchiveError, match=r"set\.zip is no archive"):
        archive_members(file)


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    inner = zip_of(tmp_path / "inner", [("no", b"")]).read_bytes()
    assert archive_members(tar_of(tmp_path / "set", [("a.zip", inner)])) == ["a.zip"]


@pytest.mark.parametrize("form", FORMS)
def test_an_archive_cut_short_anywhere_is_refused(form, tmp_path):
    file = archive_in(form, tmp_path / "set", CONTENT.items())
    whole = file.read_bytes()
    if form == "tar":
        whole = whole.rstrip(b"\0")  # the zeros at the end say nothing
        file.write_bytes(whole[:1024])  # just behind a member
        refused(file, tmp_path, "damaged or cut short")
    for size in {*range(0, len(whole), len(whole) // 20), len(whole) - 1}:
        file.write_bytes(whole[:size])
        refused(file, tmp_path, "damaged or cut short|no archive that can be read")


@pytest.mark.parametrize("form", ["zip", "gz", "xz", "bz2"])
def test_a_changed_byte_is_noticed_or_tells_in_the_number_of_files(form, tmp_path):
    content = {"a": b"first", "deep/b": bytes(range(50))}
    file = archive_in(form, tmp_path / "set", content.items())
    whole = file.read_bytes()
    noticed = []
    for position in range(0, len(whole), 1 if form == "zip" else 5):
        changed = bytearray(whole)
        changed[position] ^= (0x01, 0x48, 0x80, 0xFF)[position % 4]
        file.write_bytes(changed)
        try:
            count, found = unpacked(file, tmp_path / f"out{position}")
        except ArchiveError as error:
            noticed.append(str(error))
        else:
            # A zip checks no names, and loses members to a damaged list: both are counted later.
            assert form == "zip" or found == content
            assert count < 2 or set(found.values()) == set(content.values())
    assert len(noticed) > 20
    assert all(str(file) in message for message in noticed)


def test_a_damaged_header_in_the_middle_of_a_tar_is_no_end(tmp_path):
    file = tar_of(tmp_path / "set", [("a", b"1"), ("b", b"2"), ("c", b"3")])
    data = bytearray(file.read_bytes())
    data[1024] ^= 1
    file.write_bytes(data)
    refused(file, tmp_path, "is damaged or cut short")


@both
def test_a_full_disk_is_told_before_it_is_full_and_when_it_is(form, tmp_path, monkeypatch):
    file = archive_in(form, tmp_path / "set", CONTENT.items())
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 511))
        with pytest.raises(DiskFullError, match=r"set.* needs 512 bytes more .*511 bytes are free"):
            unpacked(file, tmp_path / "small")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(shutil, "copyfileobj", Mock(side_effect=full))
    with pytest.raises(DiskFullError, match=r"the disk is full: what .*set holds does not fit"):
        unpacked(file, tmp_path / "full")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "Input/output error")])
def test_ctrl_c_and_other_faults_pass_through(error, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "copyfileobj", Mock(side_effect=error))
    with pytest.raises(type(error)) as caught:
        unpacked(zip_of(tmp_path / "set", CONTENT.items()), tmp_path / "out")
    assert caught.value is error


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        archive_members(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        unpack(tmp_path / "nowhere", tmp_path, as_is, limit=1)


@pytest.mark.parametrize("form", FORMS[:4])  # bz2 is read in blocks larger than this
def test_ticks_rise_to_the_size_of_the_archive(form, tmp_path):
    noise = np.random.default_rng(1).bytes(300_000)
    members = [(f"{start}", noise[start : start + 5000]) for start in range(0, 300_000, 5000)]
    file = archive_in(form, tmp_path / "set", members)
    size, ticks = file.stat().st_size, []
    unpacked(file, tmp_path / "out", limit=10**6, tick=lambda *now: ticks.append(now))
    assert ticks == sorted(ticks)
    assert ticks[-1] == (size, size)
    assert len({done for done, _ in ticks}) > 2
