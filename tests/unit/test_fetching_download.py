"""A published file arrives whole and checked, or not at all, whatever the network does."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_server import LocalServer

from course_utils.fetching import transfer, web
from course_utils.fetching.download import download
from course_utils.fetching.transfer import PAUSES, size_text

CONTENT = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)
CUT = 100_000  # where connections are dropped


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


DIGEST = sha256(CONTENT)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer({"a.zip": CONTENT}) as running:
        yield running


@pytest.fixture
def mirror() -> Iterator[LocalServer]:
    with LocalServer({"a.zip": CONTENT}) as running:
        yield running


class Said(list[str]):
    """What was told, to look for words in."""

    def __call__(self, sentence: str) -> None:
        self.append(sentence)

    def __contains__(self, words: object) -> bool:
        return any(str(words) in sentence for sentence in self)


def fetch(folder: Path, *servers: LocalServer, digest: str = DIGEST, **options) -> Path:
    """Download a.zip without waiting."""
    urls = [server.url("a.zip") for server in servers]
    return download(urls, folder, "a.zip", **{"digest": digest, "sleep": lambda _: None, **options})


def interrupt_after(count: int):
    """A `tick` that presses Ctrl-C once so many bytes are here."""

    def tick(done: int, total: int | None) -> None:
        if done >= count:
            raise KeyboardInterrupt

    return tick


def leave_part(folder: Path, server: LocalServer, digest: str = DIGEST) -> int:
    """Fetch a piece of a.zip, as a process that is killed then; returns its length."""
    with pytest.raises(KeyboardInterrupt):
        fetch(folder, server, digest=digest, tick=interrupt_after(CUT))
    size = (folder / "a.zip.part").stat().st_size
    assert CUT <= size < len(CONTENT)
    assert (folder / "a.zip.part").read_bytes() == CONTENT[:size]
    assert sorted(os.listdir(folder)) == ["a.zip.part", "a.zip.part.json"]
    server.requests.clear()
    return size


def check_arrived(folder: Path, content: bytes = CONTENT) -> None:
    assert (folder / "a.zip").read_bytes() == content
    assert os.listdir(folder) == ["a.zip"]


@pytest.mark.parametrize("digest", [DIGEST, f"md5:{hashlib.md5(CONTENT).hexdigest()}", ""])
def test_a_file_arrives_whole_and_nothing_else_stays(server, tmp_path, digest):
    assert fetch(tmp_path / "new", server, digest=digest) == tmp_path / "new/a.zip"
    check_arrived(tmp_path / "new")
    assert len(server.requests) == 1
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


def test_progress_counts_bytes_up_to_the_whole(server, tmp_path):
    ticks: list[tuple[int, int | None]] = []
    fetch(tmp_path, server, tick=lambda done, total: ticks.append((done, total)))
    counts = [done for done, _ in ticks]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, len(CONTENT))
    assert len(counts) > 3
    assert {total for _, total in ticks} == {len(CONTENT)}


def test_redirects_are_followed(server, mirror, tmp_path):
    server.redirects["a.zip"] = mirror.url("a.zip")
    fetch(tmp_path, server)
    check_arrived(tmp_path)


def test_an_empty_file_is_a_file(tmp_path):
    with LocalServer({"a.zip": b""}) as server:
        fetch(tmp_path, server, digest="")
    check_arrived(tmp_path, b"")


@pytest.mark.parametrize("digest", [DIGEST, ""])
def test_a_file_in_chunks_needs_no_length(server, tmp_path, digest):
    server.chunked = True
    totals = set()
    fetch(tmp_path, server, digest=digest, tick=lambda _, total: totals.add(total))
    check_arrived(tmp_path)
    assert totals == {None}


def test_the_bytes_are_kept_as_they_were_sent(server, tmp_path):
    # Some servers label a .tar.gz so.
    server.extra_headers = {"Content-Encoding": "gzip"}
    fetch(tmp_path, server)
    check_arrived(tmp_path)


@pytest.mark.parametrize("digest", [DIGEST, ""])
@pytest.mark.parametrize("cut", [0, 1, CUT, len(CONTENT) - 1])
def test_a_dropped_connection_goes_on_where_it_broke_off(server, tmp_path, digest, cut):
    server.drop_after, server.drops = cut, 1
    pauses: list[float] = []
    said = Said()
    fetch(tmp_path, server, digest=digest, sleep=pauses.append, tell=said)
    check_arrived(tmp_path)
    assert server.asked_ranges == [None, f"bytes={cut}-" if cut else None]
    assert pauses == [PAUSES[0]]
    assert f"the connection dropped after {size_text(cut)}" in said
    etag = f'"{hashlib.md5(CONTENT).hexdigest()}"'
    assert server.requests[1].headers["If-Range"] == (etag if cut else None)


def test_a_connection_that_falls_silent_is_given_up_and_tried_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT", (20, 0.05))
    server.drop_after, server.drops, server.stalls = 3 * web.CHUNK, 1, True
    said = Said()
    fetch(tmp_path, server, tell=said)
    check_arrived(tmp_path)
    assert "nothing came for 0.05 s" in said
    assert server.asked_ranges == [None, f"bytes={3 * web.CHUNK}-"]


def test_a_later_call_goes_on_too(server, tmp_path):
    size = leave_part(tmp_path, server)
    ticks: list[int] = []
    fetch(tmp_path, server, tick=lambda done, _: ticks.append(done))
    check_arrived(tmp_path)
    assert server.asked_ranges == [f"bytes={size}-"]
    assert ticks[0] == size


def test_without_a_digest_a_later_call_goes_on_at_the_same_address(server, tmp_path):
    size = leave_part(tmp_path, server, digest="")
    fetch(tmp_path, server, digest="")
    check_arrived(tmp_path)
    assert server.asked_ranges == [f"bytes={size}-"]
    assert server.requests[0].headers["If-Range"] is not None


def test_chunks_that_break_off_are_no_whole_file(server, tmp_path):
    server.chunked = True
    server.drop_after, server.drops = CUT, 1
    fetch(tmp_path, server, digest="")
    check_arrived(tmp_path)
    assert len(server.requests) == 2


def test_the_pauses_grow_and_then_the_address_is_given_up(server, tmp_path):
    server.drop_after, server.drops = 0, 100
    pauses: list[float] = []
    with pytest.raises(OSError, match="the connection dropped, 6 times in a row"):
        fetch(tmp_path, server, sleep=pauses.append)
    assert pauses == list(PAUSES) == sorted(PAUSES)
    assert len(server.requests) == len(PAUSES) + 1


def test_who_gets_on_may_drop_as_often_as_it_likes(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "PROGRESS", 20_000)
    server.drop_after, server.drops = 20_000, 14
    pauses: list[float] = []
    fetch(tmp_path, server, sleep=pauses.append)
    check_arrived(tmp_path)
    assert pauses == [PAUSES[0]] * 14


def test_who_starts_from_zero_each_time_does_not_get_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "PROGRESS", 10_000)
    server.ranges, server.drops = False, 50

    def vary(_):
        server.drop_after = 20_000 if len(server.requests) % 2 else 1000

    server.before = vary
    with pytest.raises(OSError, match="times in a row"):
        fetch(tmp_path, server)
    # The first 20 000 bytes are progress; to get there once more is none.
    assert len(server.requests) == len(PAUSES) + 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_errors_that_pass_are_tried_again(server, tmp_path, status):
    server.statuses["a.zip"], server.bad_answers = status, 2
    said = Said()
    fetch(tmp_path, server, tell=said)
    check_arrived(tmp_path)
    assert len(server.requests) == 3
    assert f"HTTP {status}" in said


def test_a_network_that_was_there_a_moment_ago_is_tried_again(server, tmp_path, monkeypatch):
    server.drop_after, server.drops = CUT, 1
    real, answers = socket.getaddrinfo, [0, 1, 1]

    def look_up(*args, **options):
        if answers and answers.pop(0):
            raise socket.gaierror(socket.EAI_AGAIN, "no internet")
        return real(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    said = Said()
    fetch(tmp_path, server, tell=said)
    check_arrived(tmp_path)
    assert "its name could not be looked up" in said
    assert server.asked_ranges == [None, f"bytes={CUT}-"]


def test_a_server_that_ignores_ranges_is_read_from_zero(server, tmp_path):
    leave_part(tmp_path, server)
    server.ranges = False
    said = Said()
    ticks: list[int] = []
    fetch(tmp_path, server, tell=said, tick=lambda done, _: ticks.append(done))
    check_arrived(tmp_path)
    assert "the server cannot go on within a file: starting from zero" in said
    assert len(server.requests) == 1
    assert ticks[0] == 0


@pytest.mark.parametrize("new", [OTHER, OTHER[:200_000], OTHER + b"more"])
@pytest.mark.parametrize(
    "server_habits", [{}, {"if_range": False}, {"etag": False}, {"last_modified": False}]
)
def test_a_file_that_has_changed_is_fetched_from_zero(server, tmp_path, new, server_habits):
    for name, value in server_habits.items():
        setattr(server, name, value)
    leave_part(tmp_path, server, digest="")
    server.files = {"a.zip": new}
    server.modified += 1
    said = Said()
    fetch(tmp_path, server, digest="", tell=said)
    check_arrived(tmp_path, new)
    assert "starting from zero" in said
    assert server.asked_ranges[0] is not None


def test_without_a_digest_a_rest_that_names_no_version_is_not_appended(server, tmp_path):
    leave_part(tmp_path, server, digest="")
    server.if_range = server.etag = server.last_modified = False
    server.files = {"a.zip": OTHER}  # of the same length
    fetch(tmp_path, server, digest="")
    check_arrived(tmp_path, OTHER)


def test_a_part_of_a_file_is_no_answer_to_a_request_for_the_whole(server, tmp_path):
    server.statuses["a.zip"] = 206
    with pytest.raises(OSError, match="HTTP 206 to a request for the whole file"):
        fetch(tmp_path, server, digest="")


def test_a_file_that_changes_between_two_tries_is_fetched_from_zero(server, tmp_path):
    server.drop_after, server.drops = CUT, 1

    def change(_):
        if len(server.requests) == 2:
            server.files = {"a.zip": OTHER}

    server.before = change
    said = Said()
    fetch(tmp_path, server, digest="", tell=said)
    check_arrived(tmp_path, OTHER)
    assert "the file has changed: starting from zero" in said


@pytest.mark.parametrize("answer", ["bytes 5-299999/300000", "bytes 5-299999/*", "nonsense"])
def test_the_wrong_part_of_a_file_is_not_appended(server, tmp_path, answer):
    leave_part(tmp_path, server)
    server.extra_headers = {"Content-Range": answer}
    said = Said()
    fetch(tmp_path, server, tell=said)
    check_arrived(tmp_path)
    assert "sends another part of the file than the rest: starting from zero" in said
    assert server.asked_ranges[1:] == [None]


def test_a_file_that_is_shorter_now_is_fetched_from_zero(server, tmp_path):
    # Neither version nor hash tell it; there is nothing to send from there on (416).
    server.etag = server.last_modified = False
    leave_part(tmp_path, server)
    server.files = {"a.zip": OTHER[:1000]}
    said = Said()
    fetch(tmp_path, server, digest=sha256(OTHER[:1000]), tell=said)
    check_arrived(tmp_path, OTHER[:1000])
    assert "the server has nothing beyond" in said


@pytest.mark.parametrize("weak", [False, True])
def test_without_a_version_only_a_digest_allows_to_go_on(server, tmp_path, weak):
    server.etag, server.weak_etag, server.last_modified = weak, weak, False
    size = leave_part(tmp_path, server)
    fetch(tmp_path, server)
    check_arrived(tmp_path)
    assert server.asked_ranges == [f"bytes={size}-"]
    assert server.requests[0].headers["If-Range"] is None

    leave_part(tmp_path / "undigested", server, digest="")
    said = Said()
    fetch(tmp_path / "undigested", server, digest="", tell=said)
    check_arrived(tmp_path / "undigested")
    assert server.asked_ranges == [None]
    assert "no version of the file, and no hash is known: starting from zero" in said


def test_bytes_that_do_not_fit_together_are_fetched_once_more(server, tmp_path):
    server.etag = server.last_modified = False
    leave_part(tmp_path, server)
    server.files = {"a.zip": OTHER}  # of the same length
    said = Said()
    fetch(tmp_path, server, digest=sha256(OTHER), tell=said)
    check_arrived(tmp_path, OTHER)
    assert "once more from zero" in said
    assert server.asked_ranges[1:] == [None]


def test_pieces_of_one_call_that_do_not_fit_are_fetched_once_more(server, tmp_path):
    server.etag = server.last_modified = False
    server.drop_after, server.drops = CUT, 1

    def change(request):
        if request.headers["Range"]:
            server.files = {"a.zip": OTHER}

    server.before = change
    fetch(tmp_path, server, digest=sha256(OTHER))
    check_arrived(tmp_path, OTHER)
    assert server.asked_ranges == [None, f"bytes={CUT}-", None]


def test_a_whole_part_file_is_checked_and_not_fetched_again(server, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, server, tick=interrupt_after(len(CONTENT)))
    server.requests.clear()
    fetch(tmp_path, server)
    check_arrived(tmp_path)
    assert server.requests == []


def test_a_whole_part_file_with_a_wrong_hash_is_fetched_again(server, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, server, tick=interrupt_after(len(CONTENT)))
    (tmp_path / "a.zip.part").write_bytes(OTHER)
    fetch(tmp_path, server)
    check_arrived(tmp_path)


@pytest.mark.parametrize("record", ["", "{", "[]", '{"url": 3}', '{"url": "x", "total": "9"}'])
def test_a_damaged_record_means_from_zero(server, tmp_path, record):
    leave_part(tmp_path, server)
    (tmp_path / "a.zip.part.json").write_text(record)
    said = Said()
    fetch(tmp_path, server, tell=said)
    check_arrived(tmp_path)
    assert server.asked_ranges == [None]
    assert "damaged record: starting from zero" in said


def test_a_part_file_longer_than_the_file_means_from_zero(server, tmp_path):
    leave_part(tmp_path, server)
    (tmp_path / "a.zip.part").write_bytes(CONTENT + b"more")
    fetch(tmp_path, server)
    check_arrived(tmp_path)
    assert server.asked_ranges == [None]


def test_a_web_page_does_not_cost_the_bytes_so_far(server, tmp_path):
    size = leave_part(tmp_path, server)
    server.ranges = False
    server.extra_headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(OSError, match="a web page came instead of the file"):
        fetch(tmp_path, server)
    assert (tmp_path / "a.zip.part").stat().st_size == size


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_mirror_is_asked_when_the_file_is_not_there(server, mirror, tmp_path, status):
    server.statuses["*"] = status
    said = Said()
    fetch(tmp_path, server, mirror, tell=said)
    check_arrived(tmp_path)
    assert len(server.requests) == 1
    assert f"{server.url('a.zip')}: HTTP {status}" in said


def test_a_mirror_is_asked_when_the_hash_is_wrong(server, mirror, tmp_path):
    server.files = {"a.zip": OTHER}
    said = Said()
    fetch(tmp_path, server, mirror, tell=said)
    check_arrived(tmp_path)
    expected, found = DIGEST.partition(":")[2], sha256(OTHER).partition(":")[2]
    assert f"wrong sha256: expected {expected}, found {found}" in said
    assert (len(server.requests), len(mirror.requests)) == (1, 1)


def test_a_mirror_is_asked_when_nobody_listens_or_the_name_is_unknown(
    mirror, tmp_path, monkeypatch
):
    real = socket.getaddrinfo

    def look_up(host, *args, **options):
        if host == "nowhere.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with LocalServer({}) as gone:
        closed = gone.url("a.zip")
    said = Said()
    unknown = "http://nowhere.invalid/a.zip"
    urls = [closed, unknown, mirror.url("a.zip")]
    download(urls, tmp_path, "a.zip", digest=DIGEST, tell=said, sleep=pytest.fail)
    check_arrived(tmp_path)
    assert f"{closed}: no connection ({os.strerror(errno.ECONNREFUSED)})" in said
    assert f"{unknown}: its name could not be looked up" in said


def test_with_a_digest_a_mirror_goes_on(server, mirror, tmp_path):
    mirror.etag = False
    mirror.modified += 999
    server.drop_after, server.drops = CUT, 1

    def vanish(request):
        if request.headers["Range"]:
            server.statuses["*"] = 404

    server.before = vanish
    fetch(tmp_path, server, mirror)
    check_arrived(tmp_path)
    assert mirror.asked_ranges == [f"bytes={CUT}-"]  # though its version has another name
    assert mirror.requests[0].headers["If-Range"] is None


def test_a_mirror_with_another_length_starts_from_zero(server, mirror, tmp_path):
    leave_part(tmp_path, server)
    server.statuses["*"] = 404
    mirror.files = {"a.zip": CONTENT + b"more"}
    said = Said()
    fetch(tmp_path, server, mirror, digest=sha256(CONTENT + b"more"), tell=said)
    check_arrived(tmp_path, CONTENT + b"more")
    assert "the file has 300004 bytes now, not 300000: starting from zero" in said
    assert mirror.asked_ranges[1:] == [None]


def test_a_mirror_goes_on_only_if_the_length_is_known(server, mirror, tmp_path):
    server.chunked = True
    leave_part(tmp_path, server)
    server.statuses["*"] = 404
    said = Said()
    fetch(tmp_path, server, mirror, tell=said)
    check_arrived(tmp_path)
    assert mirror.asked_ranges == [None]
    assert "did not tell the length: starting from zero" in said


def test_pieces_of_two_addresses_that_do_not_fit_are_fetched_once_more(server, mirror, tmp_path):
    leave_part(tmp_path, server)
    server.statuses["*"] = 404
    mirror.files = {"a.zip": OTHER}
    fetch(tmp_path, server, mirror, digest=sha256(OTHER))
    check_arrived(tmp_path, OTHER)
    assert mirror.asked_ranges[1:] == [None]


def test_without_a_digest_a_mirror_starts_from_zero(server, mirror, tmp_path):
    leave_part(tmp_path, server, digest="")
    server.statuses["*"] = 404
    said = Said()
    fetch(tmp_path, server, mirror, digest="", tell=said)
    check_arrived(tmp_path)
    assert mirror.asked_ranges == [None]
    assert "from another address, and no hash is known: starting from zero" in said


@pytest.mark.parametrize("again", ["first", "second"])
def test_pieces_of_two_addresses_are_never_trusted_without_a_digest(
    server, mirror, tmp_path, again
):
    leave_part(tmp_path, server)
    mirror.files = {"a.zip": OTHER}
    with pytest.raises(KeyboardInterrupt):  # pieces of both, as long as the file
        fetch(tmp_path, mirror, tick=interrupt_after(len(CONTENT)))
    assert (tmp_path / "a.zip.part").stat().st_size == len(CONTENT)
    fetch(tmp_path, server if again == "first" else mirror, digest="")
    check_arrived(tmp_path, CONTENT if again == "first" else OTHER)


def test_the_address_that_was_begun_goes_first(server, mirror, tmp_path):
    size = leave_part(tmp_path, mirror, digest="")
    fetch(tmp_path, server, mirror, digest="")
    check_arrived(tmp_path)
    assert server.requests == []
    assert mirror.asked_ranges == [f"bytes={size}-"]


def test_if_all_fail_each_is_listed_with_its_reason(server, mirror, tmp_path):
    server.statuses["*"] = 403
    mirror.files = {"a.zip": OTHER}
    with pytest.raises(OSError, match=r"could not fetch a\.zip") as caught:
        fetch(tmp_path, server, mirror)
    message = str(caught.value)
    assert f"{server.url('a.zip')}: HTTP 403 Forbidden\n" in message
    assert f"{mirror.url('a.zip')}: wrong sha256: expected " in message
    assert "give the file yourself with --archive FILE" in message
    assert os.listdir(tmp_path) == []


def test_a_body_shorter_than_announced_is_never_the_file(server, tmp_path):
    server.declared_length = len(CONTENT) + 5
    with pytest.raises(OSError, match="dropped"):
        fetch(tmp_path, server, digest="")
    assert not (tmp_path / "a.zip").exists()


def test_a_body_longer_than_announced_is_refused(server, tmp_path):
    leave_part(tmp_path, server)
    server.chunked = True
    size = (tmp_path / "a.zip.part").stat().st_size
    server.extra_headers = {"Content-Range": f"bytes {size}-{len(CONTENT) - 1}/{len(CONTENT)}"}
    server.if_range, server.files = False, {"a.zip": CONTENT + b"more"}
    server.etag = server.last_modified = False
    with pytest.raises(OSError, match="more than the 300000 bytes that it announced"):
        fetch(tmp_path, server)
    assert os.listdir(tmp_path) == []


def test_a_body_cut_to_a_false_length_has_the_wrong_hash(server, tmp_path):
    server.declared_length = len(CONTENT) - 5
    with pytest.raises(OSError, match="wrong sha256"):
        fetch(tmp_path, server)
    assert os.listdir(tmp_path) == []


def test_without_length_and_digest_a_cut_would_go_unseen(server, tmp_path):
    server.tells_length = False
    with pytest.raises(OSError, match="tells no length and no hash is known"):
        fetch(tmp_path, server, digest="")
    fetch(tmp_path, server)
    check_arrived(tmp_path)


def test_a_file_with_the_right_hash_is_used(server, tmp_path):
    (tmp_path / "a.zip").write_bytes(CONTENT)
    fetch(tmp_path, server, digest=DIGEST.upper().replace("SHA", "sha"))
    assert server.requests == []


def test_a_file_with_a_wrong_hash_is_refused_and_left_alone(server, tmp_path):
    (tmp_path / "a.zip").write_bytes(OTHER)
    with pytest.raises(ValueError, match="is left as it is") as caught:
        fetch(tmp_path, server)
    for content in (CONTENT, OTHER):
        assert sha256(content).partition(":")[2] in str(caught.value)
    check_arrived(tmp_path, OTHER)


def test_without_a_digest_a_file_of_that_name_is_used_and_that_is_said(server, tmp_path):
    (tmp_path / "a.zip").write_bytes(OTHER)
    said = Said()
    fetch(tmp_path, server, digest="", tell=said)
    assert server.requests == []
    assert "no hash is published" in said


def test_a_folder_of_that_name_is_refused(server, tmp_path):
    (tmp_path / "a.zip").mkdir()
    with pytest.raises(ValueError, match="is no file"):
        fetch(tmp_path, server)


def test_a_part_file_of_someone_else_is_refused_and_left_alone(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(OTHER)
    with pytest.raises(ValueError, match="not written by this course"):
        fetch(tmp_path, server)
    assert (tmp_path / "a.zip.part").read_bytes() == OTHER


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("digest", [DIGEST, ""])
@pytest.mark.parametrize(
    "moment", ["unlink", "replace", "fsync", "open"], ids=lambda name: f"os.{name}"
)
def test_whoever_is_killed_at_any_moment_can_be_followed(
    server, tmp_path, monkeypatch, digest, moment
):
    """Kill before the first call of a system function, then before the second, and so on."""
    owner, name = (Path, moment) if moment in ("unlink", "open") else (os, moment)
    real = getattr(owner, name)
    for survived in range(20):
        folder = tmp_path / str(survived)
        folder.mkdir()
        server.drop_after, server.drops = CUT, 1
        left = [survived]

        def killing(*args, left=left, **options):
            if not left[0]:
                raise Killed
            left[0] -= 1
            return real(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, killing)
            try:
                fetch(folder, server, digest=digest)
                killed = False
            except Killed:
                killed = True
        server.drops = 0
        fetch(folder, server, digest=digest)
        assert (folder / "a.zip").read_bytes() == CONTENT
        assert not (folder / "a.zip.part").exists()
        if not killed:
            break
    assert survived > 0, f"{name} was never called"
    assert not killed


def test_a_disk_that_is_too_small_is_noticed_before_the_first_byte(server, tmp_path, monkeypatch):
    size = leave_part(tmp_path, server)
    free = len(CONTENT) - size - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, free))
    with pytest.raises(OSError, match=r"no room for a\.zip") as caught:
        fetch(tmp_path, server, server)
    assert caught.value.errno == errno.ENOSPC
    assert f"needs {size_text(free + 1)} more, and {size_text(free)} are free" in str(caught.value)
    assert (tmp_path / "a.zip.part").stat().st_size == size
    free += 1
    fetch(tmp_path, server)
    check_arrived(tmp_path)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_disk_that_fills_up_keeps_what_came(server, mirror, tmp_path, monkeypatch, chunked):
    server.chunked = chunked
    real = transfer._write_all
    room = iter(range(2))

    def write(target, piece):
        if next(room, None) is None:
            target(piece[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")
        real(target, piece)

    with monkeypatch.context() as patch:
        patch.setattr(transfer, "_write_all", write)
        with pytest.raises(OSError, match=r"no room for a\.zip") as caught:
            fetch(tmp_path, server, mirror)
    assert caught.value.errno == errno.ENOSPC
    assert mirror.requests == []
    size = (tmp_path / "a.zip.part").stat().st_size
    assert (tmp_path / "a.zip.part").read_bytes() == CONTENT[:size]
    fetch(tmp_path, server)
    check_arrived(tmp_path)
    assert server.asked_ranges == [None, f"bytes={size}-"]


def test_a_file_that_takes_less_than_it_is_given_gets_the_rest(server, tmp_path):
    written = bytearray()

    def take_a_little(rest: memoryview) -> int:
        written.extend(rest[:7])
        return min(7, len(rest))

    transfer._write_all(take_a_little, CONTENT[:100])
    assert bytes(written) == CONTENT[:100]


@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 60), max_size=4), etag=st.booleans())
def test_any_drops_in_any_calls_give_the_same_bytes(tmp_path_factory, cuts, etag):
    folder = tmp_path_factory.mktemp("drops")
    content = CONTENT[:60]

    def interrupt(_):
        raise KeyboardInterrupt

    with LocalServer({"a.zip": content}, etag=etag) as server:
        for cut in cuts:
            server.drop_after, server.drops = cut, 1
            with contextlib.suppress(KeyboardInterrupt):
                fetch(folder, server, digest=sha256(content), sleep=interrupt)
        server.drops = 0
        fetch(folder, server, digest=sha256(content))
    check_arrived(folder, content)


@pytest.mark.parametrize("url", ["file:///etc/hosts", "ftp://a.org/a.zip", "a.zip", "C:/a.zip"])
def test_only_web_addresses_are_fetched(server, tmp_path, url):
    with pytest.raises(ValueError, match="http:// or https://"):
        download([server.url("a.zip"), url], tmp_path, "a.zip", digest="")
    assert server.requests == []


def test_a_redirect_to_something_else_is_refused(server, tmp_path):
    (tmp_path / "secret").write_text("secret")
    server.redirects["a.zip"] = (tmp_path / "secret").as_uri()
    with pytest.raises(OSError, match="could not fetch"):
        fetch(tmp_path / "new", server, digest="")
    assert os.listdir(tmp_path / "new") == []


@pytest.mark.parametrize("urls", [[], "http://a.org/a.zip"])
def test_addresses_come_in_a_list(tmp_path, urls):
    with pytest.raises(ValueError, match="sequence of one or more addresses"):
        download(urls, tmp_path, "a.zip", digest="")


@pytest.mark.parametrize("name", ["", "..", "b/a.zip", "../a.zip", "b\\a.zip", "C:a.zip"])
def test_file_names_stay_in_the_folder(server, tmp_path, name):
    with pytest.raises(ValueError, match="bare name"):
        download([server.url("a.zip")], tmp_path, name, digest="")


@pytest.mark.parametrize("digest", ["sha256:", "md5:12", "12", "sha1:" + "0" * 40, DIGEST + "0"])
def test_digests_are_checked_before_anything_is_fetched(server, tmp_path, digest):
    with pytest.raises(ValueError, match="digest must be"):
        fetch(tmp_path, server, digest=digest)
    assert server.requests == []


def test_the_record_names_address_version_and_length(server, tmp_path):
    leave_part(tmp_path, server)
    record = json.loads((tmp_path / "a.zip.part.json").read_text())
    assert record == {
        "url": server.url("a.zip"),
        "etag": f'"{hashlib.md5(CONTENT).hexdigest()}"',
        "last_modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "total": len(CONTENT),
    }
