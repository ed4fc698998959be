"""A published file arrives whole and checked, or not at all, whatever the network does."""

import contextlib
import errno
import hashlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_server import LocalServer

from course_utils.fetching import Archive, Watch, web
from course_utils.fetching import download as module
from course_utils.fetching.disk_space import DiskFullError, size_text
from course_utils.fetching.download import PAUSES, download

CONTENT = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)
CUT = 100_000  # where connections are dropped
NO_VERSION = {"etag": False, "last_modified": False}


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


DIGEST = sha256(CONTENT)
with_and_without_digest = pytest.mark.parametrize("digest", [DIGEST, ""], ids=["digest", "none"])


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


def serving() -> Iterator[LocalServer]:
    with LocalServer({"a.zip": CONTENT}) as running:
        yield running


server = pytest.fixture(serving, name="server")
mirror = pytest.fixture(serving, name="mirror")


def behave(server: LocalServer, habits: dict[str, Any]) -> None:
    for name, value in habits.items():
        setattr(server, name, value)


class Notes(Watch):
    """What a download reported; presses Ctrl-C once `stop_at` bytes are here."""

    def __init__(self, stop_at: float = float("inf")) -> None:
        self.text, self.done, self.totals, self.stop_at = "", [], set(), stop_at

    def say(self, text: str) -> None:
        self.text += f"{text}\n"

    def reach(self, done: int, total: int | None) -> None:
        self.done.append(done)
        self.totals.add(total)
        if done >= self.stop_at:
            raise KeyboardInterrupt


def fetch(
    folder: Path,
    *servers: LocalServer,
    digest: str = DIGEST,
    stop_at: float = float("inf"),
    sleep: Callable[[float], None] = lambda _: None,
) -> Notes:
    """Download a.zip without waiting."""
    urls = tuple(server.url("a.zip") for server in servers)
    notes = Notes(stop_at)
    archive = Archive("a.zip", holds="", members="", urls=urls, digest=digest)
    assert download(archive, folder, watch=notes, sleep=sleep) == folder / "a.zip"
    return notes


def leave_part(folder: Path, server: LocalServer, digest: str = DIGEST, size: int = CUT) -> int:
    """Fetch a piece of a.zip, as a process that is killed then; returns its length."""
    with pytest.raises(KeyboardInterrupt):
        fetch(folder, server, digest=digest, stop_at=size)
    assert sorted(os.listdir(folder)) == ["a.zip.part", "a.zip.part.json"]
    came = (folder / "a.zip.part").read_bytes()
    assert len(came) >= size
    assert CONTENT.startswith(came)
    server.requests.clear()
    return len(came)


def check_arrived(folder: Path, content: bytes = CONTENT) -> None:
    assert (folder / "a.zip").read_bytes() == content
    assert os.listdir(folder) == ["a.zip"]


@pytest.mark.parametrize("digest", [DIGEST, f"md5:{hashlib.md5(CONTENT).hexdigest()}", ""])
def test_a_file_arrives_whole_and_nothing_else_stays(server, tmp_path, digest):
    notes = fetch(tmp_path / "new", server, digest=digest)
    check_arrived(tmp_path / "new")
    assert len(server.requests) == 1
    assert server.requests[0].headers["Accept-Encoding"] == "identity"
    assert notes.done == sorted(notes.done)
    assert (notes.done[0], notes.done[-1], notes.totals) == (0, len(CONTENT), {len(CONTENT)})
    assert len(notes.done) > 3


@pytest.mark.parametrize(
    ("habits", "content", "has_digest"),
    [
        ({"chunked": True}, CONTENT, True),
        ({"chunked": True}, CONTENT, False),
        ({"tells_length": False}, CONTENT, True),
        ({}, b"", False),
        # Some servers label a .tar.gz so.
        ({"extra_headers": {"Content-Encoding": "gzip"}}, CONTENT, True),
    ],
)
def test_a_file_arrives_as_it_is_sent(server, tmp_path, habits, content, has_digest):
    behave(server, habits | {"files": {"a.zip": content}})
    fetch(tmp_path, server, digest=sha256(content) if has_digest else "")
    check_arrived(tmp_path, content)


def test_redirects_are_followed_but_to_the_web_only(server, mirror, tmp_path):
    server.redirects["a.zip"] = mirror.url("a.zip")
    fetch(tmp_path / "web", server)
    check_arrived(tmp_path / "web")
    (tmp_path / "secret").write_text("secret")
    server.redirects["a.zip"] = (tmp_path / "secret").as_uri()
    with pytest.raises(OSError, match="could not fetch"):
        fetch(tmp_path / "file", server, digest="")
    assert os.listdir(tmp_path / "file") == []


def test_chunks_that_break_off_are_no_whole_file(server, tmp_path):
    behave(server, {"chunked": True, "drop_after": CUT, "drops": 1})
    fetch(tmp_path, server, digest="")
    check_arrived(tmp_path)
    assert len(server.requests) == 2


@with_and_without_digest
@pytest.mark.parametrize("cut", [0, 1, CUT, len(CONTENT) - 1])
def test_a_dropped_connection_goes_on_where_it_broke_off(server, tmp_path, digest, cut):
    server.drop_after, server.drops = cut, 1
    pauses: list[float] = []
    notes = fetch(tmp_path, server, digest=digest, sleep=pauses.append)
    check_arrived(tmp_path)
    assert server.asked_ranges == [None, f"bytes={cut}-" if cut else None]
    assert pauses == [PAUSES[0]]
    assert f"the connection dropped after {size_text(cut)}" in notes.text
    etag = f'"{hashlib.md5(CONTENT).hexdigest()}"'
    assert server.requests[1].headers["If-Range"] == (etag if cut else None)


def test_a_connection_that_falls_silent_is_given_up_and_tried_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT", (20, 0.05))
    server.drop_after, server.drops, server.stalls = 3 * web.CHUNK, 1, True
    assert "nothing came for 0.05 s" in fetch(tmp_path, server).text
    check_arrived(tmp_path)
    assert server.asked_ranges == [None, f"bytes={3 * web.CHUNK}-"]


@pytest.mark.parametrize(("digest", "habits"), [(DIGEST, {}), ("", {}), (DIGEST, NO_VERSION)])
def test_a_later_call_goes_on_too(server, tmp_path, digest, habits):
    behave(server, habits)
    size = leave_part(tmp_path, server, digest)
    notes = fetch(tmp_path, server, digest=digest)
    check_arrived(tmp_path)
    assert server.asked_ranges == [f"bytes={size}-"]
    assert (server.requests[0].headers["If-Range"] is None) == bool(habits)
    assert notes.done[0] == size


def test_the_pauses_grow_and_then_the_address_is_given_up(server, tmp_path):
    server.drop_after, server.drops = 0, 100
    pauses: list[float] = []
    with pytest.raises(OSError, match="the connection dropped, 6 times in a row"):
        fetch(tmp_path, server, sleep=pauses.append)
    assert pauses == list(PAUSES) == sorted(PAUSES)
    assert len(server.requests) == len(PAUSES) + 1


def test_who_gets_on_may_drop_as_often_as_it_likes(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PROGRESS", 20_000)
    server.drop_after, server.drops = 20_000, 14
    pauses: list[float] = []
    fetch(tmp_path, server, sleep=pauses.append)
    check_arrived(tmp_path)
    assert pauses == [PAUSES[0]] * 14


def test_who_starts_from_zero_each_time_does_not_get_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PROGRESS", 10_000)
    server.ranges, server.drops = False, 50

    def vary(_):
        server.drop_after = 20_000 if len(server.requests) % 2 else 1000

    server.before = vary
    with pytest.raises(OSError, match="times in a row"):
        fetch(tmp_path, server)
    # The first 20 000 bytes are progress; to get there once more is none.
    assert len(server.requests) == len(PAUSES) + 1


@pytest.mark.parametrize("status", [429, 503])
def test_errors_that_pass_are_tried_again(server, tmp_path, status):
    server.statuses["a.zip"], server.bad_answers = status, 2
    assert f"HTTP {status}" in fetch(tmp_path, server).text
    check_arrived(tmp_path)
    assert len(server.requests) == 3


def test_a_network_that_was_there_a_moment_ago_is_tried_again(server, tmp_path, monkeypatch):
    server.drop_after, server.drops = CUT, 1
    real, answers = socket.getaddrinfo, [0, 1, 1]

    def look_up(*args, **options):
        if answers and answers.pop(0):
            raise socket.gaierror(socket.EAI_AGAIN, "no internet")
        return real(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert "its name could not be looked up" in fetch(tmp_path, server).text
    check_arrived(tmp_path)
    assert server.asked_ranges == [None, f"bytes={CUT}-"]


SHORT = {"files": {"a.zip": OTHER[:1000]}}


@pytest.mark.parametrize(
    ("before", "after", "digest", "words"),
    [
        ({}, {"ranges": False}, DIGEST, "the server cannot go on within a file"),
        ({}, {"extra_headers": {"Content-Range": "bytes 5-9/300000"}}, DIGEST, "another part"),
        ({}, {"extra_headers": {"Content-Range": "nonsense"}}, DIGEST, "sends another part"),
        (NO_VERSION, SHORT, sha256(OTHER[:1000]), "the server has nothing beyond"),  # 416
        (NO_VERSION, {}, "", "neither a hash nor the server tells"),
        ({"weak_etag": True, "last_modified": False}, {}, "", "neither a hash nor the server"),
    ],
)
def test_an_answer_that_is_not_the_rest_is_not_appended(
    server, tmp_path, before, after, digest, words
):
    behave(server, before)
    leave_part(tmp_path, server, digest)
    behave(server, after)
    notes = fetch(tmp_path, server, digest=digest)
    check_arrived(tmp_path, server.files["a.zip"])
    assert words in notes.text
    assert "starting from zero" in notes.text
    assert notes.done[0] == 0


@pytest.mark.parametrize("new", [OTHER, OTHER[:200_000], OTHER + b"more"])
@pytest.mark.parametrize(
    "habits",
    [{}, {"if_range": False}, {"etag": False}, NO_VERSION | {"if_range": False}],
)
def test_a_file_that_has_changed_is_fetched_from_zero(server, tmp_path, new, habits):
    behave(server, habits if len(habits) < 3 else {})  # else the version is lost on the way
    leave_part(tmp_path, server, digest="")
    behave(server, habits)
    server.files = {"a.zip": new}
    server.modified += 1
    assert "starting from zero" in fetch(tmp_path, server, digest="").text
    check_arrived(tmp_path, new)
    assert server.asked_ranges[0] is not None


def test_a_file_that_changes_between_two_tries_is_fetched_from_zero(server, tmp_path):
    server.drop_after, server.drops = CUT, 1

    def change(_):
        if len(server.requests) == 2:
            server.files = {"a.zip": OTHER}

    server.before = change
    assert "the file has changed: starting from zero" in fetch(tmp_path, server, digest="").text
    check_arrived(tmp_path, OTHER)


@pytest.mark.parametrize("when", ["between two calls", "within one"])
def test_bytes_that_do_not_fit_together_are_fetched_once_more(server, tmp_path, when):
    behave(server, NO_VERSION)
    if when == "within one":
        server.drop_after, server.drops = CUT, 1
    else:
        leave_part(tmp_path, server)

    def change(request):
        if request.headers["Range"]:
            server.files = {"a.zip": OTHER}  # of the same length

    server.before = change
    notes = fetch(tmp_path, server, digest=sha256(OTHER))
    check_arrived(tmp_path, OTHER)
    assert "with the bytes kept from before" in notes.text
    assert [bool(asked) for asked in server.asked_ranges[-2:]] == [True, False]


@pytest.mark.parametrize("damaged", [False, True])
def test_a_whole_part_file_is_checked_before_it_is_fetched_again(server, tmp_path, damaged):
    leave_part(tmp_path, server, size=len(CONTENT))
    if damaged:
        (tmp_path / "a.zip.part").write_bytes(OTHER)
    fetch(tmp_path, server)
    check_arrived(tmp_path)
    assert len(server.requests) == damaged


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        *((".json", text, "damaged record") for text in (b"", b"[]", b'{"url": 3}')),
        (".json", b'{"url": "x", "total": "9"}', "damaged record"),
        ("", CONTENT + b"more", "more came so far than the file has"),
    ],
)
def test_a_damaged_record_or_part_means_from_zero(server, tmp_path, name, content, words):
    leave_part(tmp_path, server)
    (tmp_path / f"a.zip.part{name}").write_bytes(content)
    assert f"{words}: starting from zero" in fetch(tmp_path, server).text
    check_arrived(tmp_path)
    assert server.asked_ranges == [None]


def test_a_web_page_does_not_cost_the_bytes_so_far(server, tmp_path):
    size = leave_part(tmp_path, server)
    server.ranges = False
    server.extra_headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(OSError, match="a web page came instead of the file"):
        fetch(tmp_path, server)
    assert (tmp_path / "a.zip.part").stat().st_size == size


@pytest.mark.parametrize(
    ("habits", "words"),
    [
        ({"statuses": {"*": 403}}, "HTTP 403"),
        ({"statuses": {"*": 404}}, "HTTP 404"),
        ({"files": {"a.zip": OTHER}}, "wrong sha256: expected {}, found {}"),
    ],
)
def test_a_mirror_is_asked_when_the_file_is_not_there_or_wrong(
    server, mirror, tmp_path, habits, words
):
    behave(server, habits)
    notes = fetch(tmp_path, server, mirror)
    check_arrived(tmp_path)
    words = words.format(DIGEST.partition(":")[2], sha256(OTHER).partition(":")[2])
    assert f"{server.url('a.zip')}: {words}" in notes.text
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
    unknown = "http://nowhere.invalid/a.zip"
    urls = (closed, unknown, mirror.url("a.zip"))
    notes = Notes()
    archive = Archive("a.zip", holds="", members="", urls=urls, digest=DIGEST)
    download(archive, tmp_path, watch=notes, sleep=pytest.fail)
    check_arrived(tmp_path)
    assert f"{closed}: no connection ({os.strerror(errno.ECONNREFUSED)})" in notes.text
    assert f"{unknown}: its name could not be looked up" in notes.text


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


@pytest.mark.parametrize(
    ("new", "digest", "chunked", "words"),
    [
        (CONTENT + b"more", sha256(CONTENT + b"more"), False, "has 300004 bytes now, not 300000"),
        (CONTENT, DIGEST, True, "did not tell the length"),
        (CONTENT, "", False, "neither a hash nor the server tells"),
        (OTHER, sha256(OTHER), False, "with the bytes kept from before"),
    ],
    ids=["another length", "length not known", "no digest", "another content"],
)
def test_a_mirror_starts_from_zero_if_it_cannot_go_on(
    server, mirror, tmp_path, new, digest, chunked, words
):
    server.chunked = chunked
    leave_part(tmp_path, server, digest)
    server.statuses["*"] = 404
    mirror.files = {"a.zip": new}
    assert words in fetch(tmp_path, server, mirror, digest=digest).text
    check_arrived(tmp_path, new)
    assert mirror.asked_ranges[-1] is None


@pytest.mark.parametrize("again", ["first", "second"])
def test_pieces_of_two_addresses_are_never_trusted_without_a_digest(
    server, mirror, tmp_path, again
):
    leave_part(tmp_path, server)
    mirror.files = {"a.zip": OTHER}
    with pytest.raises(KeyboardInterrupt):  # pieces of both, as long as the file
        fetch(tmp_path, mirror, stop_at=len(CONTENT))
    assert (tmp_path / "a.zip.part").stat().st_size == len(CONTENT)
    fetch(tmp_path, server if again == "first" else mirror, digest="")
    check_arrived(tmp_path, CONTENT if again == "first" else OTHER)


def test_the_address_that_was_begun_goes_first(server, mirror, tmp_path):
    leave_part(tmp_path, mirror, digest="")
    fetch(tmp_path, server, mirror, digest="")
    check_arrived(tmp_path)
    assert (len(server.requests), len(mirror.requests)) == (0, 1)


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


@pytest.mark.parametrize(
    ("habits", "digest", "words"),
    [
        ({"declared_length": len(CONTENT) + 5}, "", "dropped"),
        ({"declared_length": len(CONTENT) - 5}, DIGEST, "wrong sha256"),
        ({"tells_length": False}, "", "tells no length and no hash is known"),
        ({"statuses": {"a.zip": 206}}, "", "HTTP 206 to a request for the whole file"),
    ],
)
def test_an_answer_that_is_not_what_it_announces_is_no_file(
    server, tmp_path, habits, digest, words
):
    behave(server, habits)
    with pytest.raises(OSError, match=words):
        fetch(tmp_path, server, digest=digest)
    assert not (tmp_path / "a.zip").exists()


def test_a_rest_longer_than_announced_is_refused(server, tmp_path):
    size = leave_part(tmp_path, server)
    server.chunked = True
    server.extra_headers = {"Content-Range": f"bytes {size}-{len(CONTENT) - 1}/{len(CONTENT)}"}
    server.if_range, server.files = False, {"a.zip": CONTENT + b"more"}
    with pytest.raises(OSError, match="more than the 300000 bytes that it announced"):
        fetch(tmp_path, server)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "digest", "words"),
    [(CONTENT, DIGEST, ""), (OTHER, "", "no hash is published")],
    ids=["digest", "none"],
)
def test_a_file_of_that_name_is_used(server, tmp_path, content, digest, words):
    (tmp_path / "a.zip").write_bytes(content)
    assert words in fetch(tmp_path, server, digest=digest).text
    assert server.requests == []


def test_what_lies_in_the_place_is_refused_and_left_alone(server, tmp_path):
    (tmp_path / "a.zip").mkdir()
    with pytest.raises(ValueError, match="is no file"):
        fetch(tmp_path, server)
    (tmp_path / "a.zip").rmdir()
    (tmp_path / "a.zip.part").write_bytes(OTHER)
    with pytest.raises(ValueError, match="not written by this course"):
        fetch(tmp_path, server)
    (tmp_path / "a.zip.part").rename(tmp_path / "a.zip")
    with pytest.raises(ValueError, match="is left as it is") as caught:
        fetch(tmp_path, server)
    for content in (CONTENT, OTHER):
        assert sha256(content).partition(":")[2] in str(caught.value)
    check_arrived(tmp_path, OTHER)


class Killed(BaseException):
    """The process ends here."""


@with_and_without_digest
@pytest.mark.parametrize(
    "moment", ["unlink", "replace", "fsync", "open"], ids=lambda name: f"os.{name}"
)
def test_whoever_is_killed_at_any_moment_can_be_followed(
    server, tmp_path, monkeypatch, digest, moment
):
    """Kill before the first call of a system function, then before the second, and so on."""
    owner, name = (Path, moment) if moment in ("unlink", "open") else (os, moment)
    real = getattr(owner, name)
    for survived in range(40):
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
    with pytest.raises(DiskFullError, match=rf"a\.zip, of which {size_text(size)} .* stay") as told:
        fetch(tmp_path, server, server)
    for fact in (f"needs {size_text(free + 1)} more", f"where {size_text(free)} are free"):
        assert fact in str(told.value)
    assert (tmp_path / "a.zip.part").stat().st_size == size
    free += 1
    fetch(tmp_path, server)
    check_arrived(tmp_path)


def test_a_disk_that_fills_up_keeps_what_came(server, mirror, tmp_path, monkeypatch):
    real = module._write_all
    room = iter(range(2))

    def write(target, piece):
        if next(room, None) is None:
            target(piece[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")
        real(target, piece)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_all", write)
        with pytest.raises(DiskFullError, match=r"the disk is full: a\.zip"):
            fetch(tmp_path, server, mirror)
    assert mirror.requests == []
    came = (tmp_path / "a.zip.part").read_bytes()
    assert CONTENT.startswith(came)
    fetch(tmp_path, server)
    check_arrived(tmp_path)
    assert server.asked_ranges == [None, f"bytes={len(came)}-"]


def test_a_file_that_takes_less_than_it_is_given_gets_the_rest():
    written = bytearray()

    def take_a_little(rest: memoryview) -> int:
        written.extend(rest[:7])
        return min(7, len(rest))

    module._write_all(take_a_little, CONTENT[:100])
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
