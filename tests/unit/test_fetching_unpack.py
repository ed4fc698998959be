import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import struct
import sys
import tarfile
import zipfile
import zlib

import numpy as np
import pytest

from course_utils.fetching import safe_members
from course_utils.fetching.unpack import archive_members, unpack

CONTENT = {"set/a.png": b"first", "set/deep/b.png": b"", "notes.txt": bytes(range(256)) * 2}
LONG = "set/" + "/".join(["x" * 90] * 4) + "/ö.png"


def as_is(name):
    return name


def unpacked(file, target, place=as_is, limit=10_000, tick=None):
    """Return how many files were unpacked and, by path under `target`, the files found there."""
    count = unpack(file, target, place, limit=limit, tick=tick)
    return count, {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }


def refused(file, tmp_path, match, place=as_is, limit=10_000):
    """Check that `file` is refused with words that fit `match`, and that nothing is left of it."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=match) as caught:
        unpack(file, tmp_path / "new" / "target", place, limit=limit)
    assert str(file) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def zip_of(path, members, **entry):
    """Write a zip of (name, content) or (ZipInfo, content) pairs; equal names are allowed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            # ZipInfo turns backslashes on Windows and cuts at a NUL: here they are wanted.
            info.filename = name if isinstance(name, str) else info.filename
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


@pytest.mark.parametrize("form", FORMS)
def test_members_go_where_place_says_and_others_are_left_out(form, tmp_path):
    file = archive_in(form, tmp_path / "set", CONTENT.items())
    places = {"set/a.png": "good/1.png", "notes.txt": "./readme"}
    found = unpacked(file, tmp_path / "out", places.get)
    assert found == (2, {"good/1.png": b"first", "readme": CONTENT["notes.txt"]})


@pytest.mark.parametrize("form", FORMS)
def test_folders_and_dots_in_names_are_no_trouble(form, tmp_path):
    file = archive_in(form, tmp_path / "set", [("./set//a.png", b"1"), ("./b", b"2")])
    assert archive_members(file) == ["set/a.png", "b"]


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_archive_gives_an_empty_folder(form, tmp_path):
    file = archive_in(form, tmp_path / "set", [])
    if form == "tar":  # all zeros, as is a download that never came
        return refused(file, tmp_path, "no archive that can be read")
    assert archive_members(file) == []
    assert unpacked(file, tmp_path / "out") == (0, {})
    assert (tmp_path / "out").is_dir()


def test_folder_members_are_passed_over(tmp_path):
    folder = tar_entry("./set", type=tarfile.DIRTYPE)
    file = tar_of(tmp_path / "set", [(tar_entry("./", type=tarfile.DIRTYPE), b""), (folder, b"")])
    assert archive_members(file) == []
    file = zip_of(tmp_path / "zip", [("./", b""), ("set/", b""), ("set/a", b"1")])
    assert archive_members(file) == ["set/a"]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_of_both_kinds_are_read(form, tmp_path):
    members = [(LONG, b"1"), ("short", b"2"), (LONG + "x", b"3")]
    file = tar_of(tmp_path / "set", members, format=form)
    assert archive_members(file) == [LONG, "short", LONG + "x"]
    assert unpacked(file, tmp_path / "out")[1][LONG] == b"1"


def test_a_size_in_an_extended_header_counts(tmp_path):
    header = tar_entry("big.png", size=0).tobuf()
    fields = b"12 size=600\n"
    extended = tar_entry("x", type=tarfile.XHDTYPE, size=len(fields)).tobuf()
    end = tar_bytes([("next", b"n")])
    body = b"7" * 600 + bytes(1024 - 600)
    file = tmp_path / "set"
    file.write_bytes(extended + fields.ljust(512, b"\0") + header + body + end)
    assert unpacked(file, tmp_path / "out")[1] == {"big.png": b"7" * 600, "next": b"n"}


def test_a_field_for_the_whole_archive_counts_for_all_members(tmp_path):
    fields = b"12 size=600\n"
    common = tar_entry("x", type=tarfile.XGLTYPE, size=len(fields)).tobuf()
    members = [
        tar_entry(name).tobuf() + (name.encode() * 600).ljust(1024, b"\0") for name in ("p", "q")
    ]
    file = tmp_path / "set"
    file.write_bytes(common + fields.ljust(512, b"\0") + b"".join(members) + bytes(1024))
    assert unpacked(file, tmp_path / "out")[1] == {"p": b"p" * 600, "q": b"q" * 600}


def test_the_long_name_of_a_folder_is_not_that_of_the_next_file(tmp_path):
    folder = tar_entry(LONG, type=tarfile.DIRTYPE)
    file = tar_of(tmp_path / "set", [(folder, b""), ("a", b"1")], format=tarfile.PAX_FORMAT)
    assert archive_members(file) == ["a"]


def test_a_folder_without_a_name_is_refused(tmp_path):
    fields = b"8 path=\n"
    extended = tar_entry("x", type=tarfile.XHDTYPE, size=len(fields)).tobuf()
    folder = tar_entry("folder", type=tarfile.DIRTYPE).tobuf()
    file = tmp_path / "set"
    file.write_bytes(extended + fields.ljust(512, b"\0") + folder + bytes(1024))
    refused(file, tmp_path, "member '' is empty")


def test_a_comment_for_the_whole_archive_is_no_member(tmp_path):
    file = tar_of(tmp_path / "set", [("a", b"1")], pax_headers={"comment": "0b5f1c"})
    assert archive_members(file) == ["a"]


UNSAFE_NAMES = {
    "../x": "'../x' leads out of its folder",
    "set/../../x": "leads out of its folder",
    "set/..": "leads out of its folder",
    "set/.. /x": "leads out of its folder",
    "/abs": "'/abs' is absolute",
    "//server/share/x": "is absolute",
    "C:/x": "is absolute",
    "set/c:x": "is absolute",
    "C:\\x": "has a backslash",
    "set\\..\\x": "has a backslash",
    "x" * 1025: "has 1025 characters, and 1024 are the most",
}


@both
@pytest.mark.parametrize("name", UNSAFE_NAMES)
def test_unsafe_names_are_refused_even_where_the_member_is_left_out(form, name, tmp_path):
    file = archive_in(form, tmp_path / "set", [("a", b"1"), (name, b"2")])
    refused(file, tmp_path, UNSAFE_NAMES[name], place=lambda member: None)
    with pytest.raises(ValueError, match=UNSAFE_NAMES[name]):
        archive_members(file)


@pytest.mark.parametrize("name", ["../up/", "/abs/", "C:/"])
def test_unsafe_names_of_folders_are_refused(name, tmp_path):
    refused(
        zip_of(tmp_path / "zip", [(name, b"")]), tmp_path, "member '.*' (leads out|is absolute)"
    )
    folder = tar_entry(name, type=tarfile.DIRTYPE)
    refused(tar_of(tmp_path / "tar", [(folder, b"")]), tmp_path, "(leads out|is absolute)")


def test_a_name_with_a_nul_character_is_refused(tmp_path):
    file = zip_of(tmp_path / "zip", [("a?b.png", b"1")])
    file.write_bytes(file.read_bytes().replace(b"a?b", b"a\0b"))
    refused(file, tmp_path, r"member 'a\\x00b.png' has a NUL character")
    named = tar_entry("x", pax_headers={"path": "a\0b"})
    file = tar_of(tmp_path / "tar", [(named, b"1")], format=tarfile.PAX_FORMAT)
    refused(file, tmp_path, "has a NUL character")


@both
def test_a_file_without_a_name_is_refused(form, tmp_path):
    file = archive_in(form, tmp_path / "set", [("?", b"1")])
    if form == "zip":
        member = zipfile.ZipInfo("?")
        member.filename = ""
        zip_of(file, [(member, b"1")])
    else:
        file.write_bytes(gzip.compress(tar_bytes([("", b"1")])))
    refused(file, tmp_path, "member '' is empty")
    refused(archive_in(form, file, [("././.", b"1")]), tmp_path, "member '././.' is empty")


@both
@pytest.mark.parametrize("name", [*UNSAFE_NAMES, "", ".", "a\0"])
def test_unsafe_destinations_are_refused_just_the_same(form, name, tmp_path):
    file = archive_in(form, tmp_path / "set", [("a", b"1"), ("b.png", b"2")])
    refused(file, tmp_path, "destination of 'b.png'", lambda a: name if a == "b.png" else "ok")


@both
@pytest.mark.parametrize(
    ("second", "match"),
    [
        ("one/a.png", "'Q' has the same destination as 'P'"),
        ("One/A.PNG", "'Q' has the same destination as 'P'"),
        ("./one//a.png", "'Q' has the same destination as 'P'"),
        ("one", "'Q' makes one a file and a folder at once"),
        ("ONE/a.PNG/b", "'Q' makes ONE/a.PNG/b a file and a folder at once"),
    ],
)
def test_two_members_with_one_destination_are_refused(form, second, match, tmp_path):
    file = archive_in(form, tmp_path / "set", [("P", b"1"), ("Q", b"2")])
    refused(file, tmp_path, match, {"P": "one/a.png", "Q": second}.get)


@both
def test_accents_stored_in_two_ways_are_one_name(form, tmp_path):
    file = archive_in(form, tmp_path / "set", [("Ri\u00df/\u00e9", b"1"), ("riSS/e\u0301", b"2")])
    refused(file, tmp_path, "has the same destination")


@both
def test_a_member_given_twice_is_refused(form, tmp_path):
    file = archive_in(form, tmp_path / "set", [("a", b"1"), ("a", b"2")])
    refused(file, tmp_path, "'a' has the same destination as 'a'")


@both
def test_folders_may_differ_in_case_and_files_share_them(form, tmp_path):
    content = {"A/x": b"1", "A/y": b"2", "a/z": b"3"}
    file = archive_in(form, tmp_path / "set", content.items())
    assert unpacked(file, tmp_path / "out")[0] == 3


ZIP_KINDS = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFCHR: "device file",
    stat.S_IFBLK: "device file",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "unknown kind",
    stat.S_IFDIR: "unknown kind",
}


@pytest.mark.parametrize("kind", ZIP_KINDS)
def test_links_and_devices_in_a_zip_are_refused(kind, tmp_path):
    file = zip_of(tmp_path / "set", [("in/l", b"../x")], external_attr=(kind | 0o777) << 16)
    refused(file, tmp_path, f"'in/l' is a .*{ZIP_KINDS[kind]}", place=lambda name: None)


def test_a_link_in_a_zip_that_poses_as_a_folder_is_refused(tmp_path):
    attributes = (stat.S_IFLNK | 0o777) << 16
    file = zip_of(tmp_path / "set", [("in/", b"..")], external_attr=attributes)
    refused(file, tmp_path, "'in' is a symbolic link")
    refused(zip_of(file, [("in/", b"bytes")]), tmp_path, "'in' is a folder that holds bytes")


TAR_KINDS = {
    tarfile.SYMTYPE: "symbolic link",
    tarfile.LNKTYPE: "hard link",
    tarfile.CHRTYPE: "device file",
    tarfile.BLKTYPE: "device file",
    tarfile.FIFOTYPE: "named pipe",
    b"V": "unknown kind",
}


@pytest.mark.parametrize("kind", TAR_KINDS)
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path):
    special = tar_entry("in/l", type=kind, linkname="a")
    file = tar_of(tmp_path / "set", [("a", b"1"), (special, b"")])
    refused(file, tmp_path, f"'in/l' is a .*{TAR_KINDS[kind]}", place=lambda name: None)


def test_sparse_files_are_refused(tmp_path):
    sparse = tar_entry("s", pax_headers={"GNU.sparse.major": "1"})
    file = tar_of(tmp_path / "set", [(sparse, b"1")], format=tarfile.PAX_FORMAT)
    refused(file, tmp_path, "'s' is a sparse file")
    header = bytearray(tar_entry("s", type=tarfile.GNUTYPE_SPARSE).tobuf())
    file.write_bytes(bytes(header) + bytes(1024))
    refused(file, tmp_path, "'s' is a sparse file")


@pytest.mark.parametrize(("umask", "expected"), [(0, 0o644), (0o027, 0o640)])
def test_files_are_plain_whatever_the_archive_says(umask, expected, tmp_path):
    mode = stat.S_IFREG | 0o6777
    loud = zip_of(tmp_path / "zip", [("a", b"1")], external_attr=mode << 16)
    entry = tar_entry("a", mode=0o6777, uid=12345, gid=12345)
    before = os.umask(umask)
    try:
        for file in (loud, tar_of(tmp_path / "tar", [(entry, b"1")])):
            unpacked(file, target := tmp_path / f"{file.name}_out")
            found = (target / "a").stat()
            if sys.platform != "win32":
                assert stat.S_IMODE(found.st_mode) == expected
                assert found.st_uid == os.getuid()
    finally:
        os.umask(before)


@both
def test_no_more_than_the_limit_is_written(form, tmp_path):
    file = archive_in(form, tmp_path / "set", [("a", bytes(60)), ("b", bytes(40)), ("c", b"")])
    refused(file, tmp_path, "more than the 99 bytes expected of it .*'b'", limit=99)
    assert unpacked(file, tmp_path / "out", limit=100)[0] == 3
    assert unpacked(file, tmp_path / "part", {"a": "a"}.get, limit=60)[0] == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_bomb_of_zeros_is_refused_before_it_goes_off(form, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(
        sys.modules[unpack.__module__], "_open_plainly", lambda path, flags: opened.append(path)
    )
    file = archive_in(form, tmp_path / "set", [("zeros", bytes(2_000_000))])
    refused(file, tmp_path, "more than the 100000 bytes expected", limit=100_000)
    assert opened == []


ENTRY_FIELDS = {
    "flags": (8, "<H"),
    "method": (10, "<H"),
    "crc": (16, "<I"),
    "size": (24, "<I"),
    "start": (42, "<I"),
}


def lie(file, **fields):
    """Change what the last entry in the list of a zip says."""
    data = bytearray(file.read_bytes())
    start = data.rindex(b"PK\x01\x02")
    for key, value in fields.items():
        at, form = ENTRY_FIELDS[key]
        struct.pack_into(form, data, start + at, value)
    file.write_bytes(data)
    return file


def test_a_member_that_holds_more_than_it_declares_is_refused(tmp_path):
    content = bytes(3_000_000)
    file = zip_of(tmp_path / "set", [("a", b"1"), ("zeros", content)])
    # An honest checksum of the declared part, so that only the surplus gives the lie away.
    lie(file, size=5, crc=zlib.crc32(content[:5]))
    refused(file, tmp_path, "'zeros' holds more than the 5 bytes it declares")


def test_a_member_that_holds_less_than_it_declares_is_damaged(tmp_path):
    file = lie(zip_of(tmp_path / "set", [("a", b"12345")]), size=6)
    refused(file, tmp_path, "damaged or cut short .*'a' has 5 of 6 bytes")


@both
def test_too_many_members_are_refused(form, tmp_path, monkeypatch):
    monkeypatch.setattr(safe_members, "MOST_MEMBERS", 3)
    file = archive_in(form, tmp_path / "set", [(f"{number}", b"") for number in range(4)])
    refused(file, tmp_path, "more than 3 members", place=lambda name: None)
    assert archive_members(archive_in(form, file, [(f"{number}", b"") for number in range(3)]))


def test_a_huge_extended_header_is_refused(tmp_path):
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        file = tmp_path / "set"
        file.write_bytes(
            gzip.compress(tar_entry("x", type=kind, size=1 << 33).tobuf(tarfile.GNU_FORMAT))
        )
        refused(file, tmp_path, "damaged .*extended header of 8589934592 bytes")


@pytest.mark.parametrize(
    "fields",
    [b"99 path=a\n", b"5 path=a\n", b"path=a\n", b"11 size=-1\n", b"8 path=a12 size=123\n"],
)
def test_a_broken_extended_header_is_damage(fields, tmp_path):
    extended = tar_entry("x", type=tarfile.XHDTYPE, size=len(fields)).tobuf()
    file = tmp_path / "set"
    file.write_bytes(extended + fields.ljust(512, b"\0") + tar_bytes([("a", b"1")]))
    refused(file, tmp_path, "is damaged")


def test_a_negative_size_is_damage(tmp_path):
    file = tmp_path / "set"
    file.write_bytes(tar_entry("a", size=-512).tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    refused(file, tmp_path, "damaged .*negative size")


@pytest.mark.parametrize("flags", [0x1, 0x41])
def test_an_encrypted_zip_is_named_as_such(flags, tmp_path):
    file = lie(zip_of(tmp_path / "set", [("a", b"1"), ("b", b"2")]), flags=flags)
    refused(file, tmp_path, r"is encrypted \('b'\)", place=lambda name: None)


@pytest.mark.parametrize("method", [9, 12, 14, 93])
def test_other_packing_of_a_zip_is_named(method, tmp_path):
    file = lie(zip_of(tmp_path / "set", [("a", b"1")]), method=method)
    refused(file, tmp_path, f"'a' is packed by method {method}: pack the zip anew")


def test_what_only_the_reader_of_zips_notices_is_named_too(tmp_path):
    file = lie(zip_of(tmp_path / "set", [("a", b"1")]), flags=0x20)  # a patch of another file
    refused(file, tmp_path, "is damaged .*patched data")
    zip_of(file, [("\u00e9", b"1")])
    file.write_bytes(file.read_bytes().replace("\u00e9".encode(), b"\xff\xfe"))
    refused(file, tmp_path, "is damaged .*can't decode")
    zip_of(file, [("a", b"1")], extra=struct.pack("<HHQ", 1, 8, 2**64 - 1))
    refused(lie(file, start=0xFFFFFFFF), tmp_path, "is damaged")  # further than files can be
    data = bytearray(zip_of(file, [("a", b"1")]).read_bytes())
    data[-22 + 17] += 4  # the list is said to start later, so members before the file
    file.write_bytes(data)
    refused(file, tmp_path, "is damaged")


def test_a_checksum_that_does_not_fit_is_damage(tmp_path):
    file = lie(zip_of(tmp_path / "set", [("a", b"1"), ("b", b"2")]), crc=12)
    refused(file, tmp_path, "is damaged or cut short .*Bad CRC-32")


NO_ARCHIVES = {
    "empty": b"",
    "zeros": bytes(5000),
    "page": b"<!DOCTYPE html><title>Please log in</title>",
    "long page": b"<!DOCTYPE html>" * 100,
    "packed text": gzip.compress(b"no tar" * 200),
    "short packed text": lzma.compress(b"no tar"),
}


@pytest.mark.parametrize("kind", NO_ARCHIVES)
def test_anything_else_is_refused(kind, tmp_path):
    file = tmp_path / "set.zip"
    file.write_bytes(NO_ARCHIVES[kind])
    refused(file, tmp_path, "no archive that can be read here")
    with pytest.raises(ValueError, match=r"set\.zip is no archive"):
        archive_members(file)


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    inner = zip_of(tmp_path / "inner", [("no", b"")]).read_bytes()
    assert archive_members(tar_of(tmp_path / "set", [("a.zip", inner)])) == ["a.zip"]


@pytest.mark.parametrize("form", FORMS)
def test_an_archive_cut_short_anywhere_is_refused_and_leaves_nothing(form, tmp_path):
    file = archive_in(form, tmp_path / "set", CONTENT.items())
    whole = file.read_bytes()
    if form == "tar":
        whole = whole.rstrip(b"\0")  # the zeros at the end say nothing
    for size in {*range(0, len(whole), len(whole) // 20), len(whole) - 1}:
        file.write_bytes(whole[:size])
        refused(file, tmp_path, "damaged or cut short|no archive that can be read")


def test_a_tar_without_its_end_is_cut_short(tmp_path):
    file = tar_of(tmp_path / "set", [("a", b"1")])
    file.write_bytes(file.read_bytes()[:1024])  # just before the zeros
    refused(file, tmp_path, "damaged or cut short")


@pytest.mark.parametrize("form", ["zip", "gz", "xz", "bz2"])
def test_a_changed_byte_is_noticed_or_changes_nothing(form, tmp_path):
    content = {"a": b"first", "deep/b": bytes(range(50))}
    file = archive_in(form, tmp_path / "set", content.items())
    whole = file.read_bytes()
    noticed = []
    for position in range(0, len(whole), 1 if form == "zip" else 5):
        changed = bytearray(whole)
        changed[position] ^= (0x01, 0x48, 0x80, 0xFF)[position % 4]
        file.write_bytes(changed)
        try:
            found = unpacked(file, target := tmp_path / f"out{position}")
        except ValueError as error:
            noticed.append(str(error))
            assert not target.exists()
        else:
            assert found == (2, content)
    assert len(noticed) > 20
    assert all(str(file) in message for message in noticed)


def test_members_lost_to_a_damaged_list_are_missed(tmp_path):
    file = zip_of(tmp_path / "set", [("a", b"1"), ("b", b"2"), ("c", b"3")], comment=b"kept")
    data = bytearray(file.read_bytes())
    data[data.index(b"PK\x01\x02") + 32] += 51  # the length of the first comment: all of the second
    file.write_bytes(data)
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["a", "c"]
    refused(file, tmp_path, "damaged .*2 members of 3 are found")


def test_a_damaged_header_in_the_middle_of_a_tar_is_no_end(tmp_path):
    file = tar_of(tmp_path / "set", [("a", b"1"), ("b", b"2"), ("c", b"3")])
    data = bytearray(file.read_bytes())
    data[1024] ^= 1
    file.write_bytes(data)
    refused(file, tmp_path, "is damaged or cut short")


def test_a_zip_is_checked_as_a_whole_before_the_first_byte_is_written(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(
        sys.modules[unpack.__module__], "_open_plainly", lambda path, flags: opened.append(path)
    )
    for last in ("../x", "a"):
        file = zip_of(tmp_path / "set", [("a", b"1"), (last, b"2")])
        refused(file, tmp_path, "is not unpacked")
    assert opened == []


@both
def test_a_target_that_holds_something_is_refused_and_kept(form, tmp_path):
    file = archive_in(form, tmp_path / "set", CONTENT.items())
    (tmp_path / "own").mkdir()
    (tmp_path / "own/photo.png").write_bytes(b"mine")
    for target in (tmp_path / "own", tmp_path / "own/photo.png"):
        with pytest.raises(ValueError, match="is not empty: choose a folder"):
            unpack(file, target, as_is, limit=10_000)
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["photo.png"]
    assert (tmp_path / "own/photo.png").read_bytes() == b"mine"


@both
def test_an_empty_target_is_used_and_stays_after_a_failure(form, tmp_path):
    file = archive_in(form, tmp_path / "set", CONTENT.items())
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="bytes expected"):
        unpack(file, tmp_path / "out", as_is, limit=10)
    assert list((tmp_path / "out").iterdir()) == []
    assert unpacked(file, tmp_path / "out") == (3, CONTENT)


class FullDisk(io.RawIOBase):
    """A file that takes some bytes, and then raises `error`."""

    def __init__(self, path, room, error):
        self.file, self.room, self.error = io.FileIO(path, "x"), room, error

    def writable(self):
        return True

    def write(self, data):
        if len(data) > self.room:
            raise self.error
        self.room -= len(data)
        return self.file.write(data)

    def close(self):
        self.file.close()
        super().close()


def fill_disk(monkeypatch, error):
    """Let the third file that is opened meet `error` after 100 bytes."""
    opened = []

    def open_on_a_full_disk(path, mode, opener):
        opened.append(path)
        return FullDisk(path, 100 if len(opened) == 3 else 10**9, error)

    monkeypatch.setattr(sys.modules[unpack.__module__], "open", open_on_a_full_disk, raising=False)
    return opened


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_is_told_with_the_room_that_is_needed(form, tmp_path, monkeypatch):
    file = archive_in(form, tmp_path / "set", [*CONTENT.items(), ("later", bytes(3_000_000))])
    opened = fill_disk(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    needed = "3.0 MB" if form == "zip" else "0.0 MB"  # a tar does not tell what is to come
    with pytest.raises(
        OSError, match=f"needs at least {needed} under .*out, where .* MB"
    ) as caught:
        unpack(file, tmp_path / "out", as_is, limit=10**7)
    assert caught.value.errno == errno.ENOSPC
    assert len(opened) == 3
    assert list(tmp_path.iterdir()) == [file]


@both
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "Input/output error")])
def test_ctrl_c_and_other_faults_pass_through_and_leave_nothing(form, error, tmp_path, monkeypatch):
    file = archive_in(form, tmp_path / "set", CONTENT.items())
    opened = fill_disk(monkeypatch, error)
    with pytest.raises(type(error)) as caught:
        unpack(file, tmp_path / "far" / "out", as_is, limit=10_000)
    assert caught.value is error
    assert len(opened) == 3
    assert list(tmp_path.iterdir()) == [file]


@both
def test_what_others_put_into_the_target_is_not_removed(form, tmp_path):
    file = archive_in(form, tmp_path / "set", CONTENT.items())
    target = tmp_path / "out"

    def place(name):
        if name == "notes.txt":
            target.mkdir(exist_ok=True)
            (target / "theirs").write_bytes(b"theirs")
            raise KeyError(name)
        return name

    with pytest.raises(KeyError):
        unpack(file, target, place, limit=10_000)
    assert [path.name for path in target.rglob("*")] == ["theirs"]


@both
def test_a_file_that_appears_in_the_way_is_neither_overwritten_nor_removed(form, tmp_path):
    file = archive_in(form, tmp_path / "set", [("a", b"1"), ("b", b"2")])
    target = tmp_path / "out"

    def place(name):
        (target / "b").write_bytes(b"theirs")
        return name

    with pytest.raises(ValueError, match="'b' is one file with another on this disk"):
        unpack(file, target, place, limit=10_000)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {"b": b"theirs"}


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        archive_members(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        unpack(tmp_path / "nowhere", tmp_path / "out", as_is, limit=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", FORMS)
def test_ticks_add_up_to_the_size_of_the_archive(form, tmp_path):
    noise = np.random.default_rng(1).bytes(300_000)
    members = [("a", noise), *((f"small/{number}", noise[:700]) for number in range(60))]
    file = archive_in(form, tmp_path / "set", members)
    for place in (as_is, {"a": "a"}.get):
        ticks = []
        unpacked(file, tmp_path / f"out{place is as_is}", place, 10**6, ticks.append)
        assert sum(ticks) == file.stat().st_size
        assert min(ticks) > 0
        assert len(ticks) > 2
