"""One published file, fetched from the first of its addresses that gives it, whole and checked."""

import hashlib
import time
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from pathlib import Path

import requests

from course_utils.fetching import web
from course_utils.fetching.disk_space import explain_full_disk, require_space, size_text
from course_utils.fetching.partial_file import Origin, PartialFile
from course_utils.fetching.published import Archive

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait after the first, second, ... failure in a row."""
PROGRESS = 1 << 20
"""So many bytes further, the failures are counted anew."""


class Watch:
    """What a fetch reports to; this one does nothing with it."""

    def say(self, text: str) -> None:
        """One sentence that people should read."""

    def start(self, what: str, total: int) -> None:
        """The next piece of work, of `total` bytes; 0: not known."""

    def reach(self, done: int, total: int | None) -> None:
        """So many bytes of it are done, of `total`, if that is known by now."""


SILENT = Watch()


def download(
    archive: Archive,
    folder: Path,
    *,
    watch: Watch = SILENT,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Fetch a published file into `folder` and return its path.

    What has come is kept in `<name>.part`, its origin in `<name>.part.json`: a dropped connection,
    and a later call, goes on from there. Bytes are put together only if the server says that the
    file is still the same (`ETag`, `Last-Modified`) or if the published hash will tell; else the
    file is fetched from zero. The file gets its own name when it is whole and has the right hash;
    where no hash is published, only the length is checked. So a file of that name is used as it is,
    after a look at its hash. One process at a time may fetch a file: locking is left to the caller.

    Args:
        archive: what to fetch; its addresses are tried in turn, first that of the bytes so far.
        folder: made if need be.
        watch: gets the bytes done, which fall when the file is started from zero, and a sentence
            for each thing that went wrong.
        sleep: waits so many seconds between tries.

    Raises:
        ValueError: for a file of that name with another hash, and a part file that something else
            has written (neither is touched).
        OSError: if no address gives the file, or if there is no space for it.
    """
    target = folder / archive.name
    if target.exists():
        _check_existing(target, archive.digest, watch)
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = PartialFile(target)
    if part.is_foreign:
        raise ValueError(
            f"{part.path} is there without its record {part.path.name}.json, so it was not written "
            "by this course: move it or delete it, and try again"
        )
    transfer = _Transfer(part, archive.digest, watch, sleep)
    reasons = ""
    begun = part.origin.url if part.origin else None
    for url in sorted(archive.urls, key=lambda url: url != begun):
        try:
            transfer.fetch(url)
            return part.publish()
        except web.GaveUp as error:
            reasons += f"\n  {url}: {error}"
            watch.say(f"{url}: {error}")
    kept = f" (the {size_text(part.size)} that came so far stay)" if part.size else ""
    raise OSError(
        f"could not fetch {archive.name}:{reasons}\n"
        f"try again later{kept}, or give the file yourself with --archive FILE"
    )


def file_hash(path: Path, algorithm: str) -> str:
    """Return the hash of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


class _Transfer:
    """Brings the bytes of a file into its part file, over connections that drop."""

    def __init__(
        self, part: PartialFile, digest: str, watch: Watch, sleep: Callable[[float], None]
    ) -> None:
        self.part, self.digest, self.watch, self.sleep = part, digest, watch, sleep

    def fetch(self, url: str) -> None:
        """Leave a part file that is whole and has the right hash, or raise `web.GaveUp`."""
        self._complete(url)
        wrong = _wrong_hash(self.part.path, self.digest)
        if wrong and self.part.in_pieces:
            self._say_restart(url, f"with the bytes kept from before, it has the {wrong}")
            self.part.discard()
            self._complete(url)
            wrong = _wrong_hash(self.part.path, self.digest)
        if wrong:
            self.part.discard()
            raise web.GaveUp(wrong)

    def _complete(self, url: str) -> None:
        """Go on from the bytes so far, where that is allowed, until the part file is whole."""
        failures = 0
        start = furthest = self.part.size
        while True:
            try:
                return self._attempt(url)
            except (web.Dropped, web.Unreachable) as error:
                here = self.part.size
                if isinstance(error, web.Unreachable) and here == start:
                    raise
                if here - furthest >= PROGRESS:
                    failures = 0
                furthest = max(furthest, here)
                if failures == len(PAUSES):
                    raise web.GaveUp(f"{error}, {failures + 1} times in a row") from error
                pause = PAUSES[failures]
                failures += 1
                self.watch.say(f"{url}: {error} after {size_text(here)}; next try in {pause:g} s")
            self.sleep(pause)

    def _attempt(self, url: str) -> None:
        before, offset = self.part.origin, self.part.size
        if offset and (reason := self._why_not_kept(url)):
            self._say_restart(url, reason)
            before, offset = None, 0
        if before and offset == before.total:
            return
        headers = {}
        if before and offset:
            headers["Range"] = f"bytes={offset}-"
            # A version means something at its own address only.
            if before.url == url and before.version:
                headers["If-Range"] = before.version
        response = web.ask(url, headers)
        if before and offset and (reason := self._why_not_appended(response, before, offset)):
            self._say_restart(url, reason)
            offset = 0
            if response.status_code != HTTPStatus.OK:
                response.close()
                response = web.ask(url, {})
        with closing(response):
            self._receive(url, response, offset)

    def _why_not_kept(self, url: str) -> str:
        """Return the reason why the bytes so far are of no use at `url`; empty if they are."""
        origin = self.part.origin
        if origin is None:
            return "what came so far has a damaged record"
        if origin.total is not None and self.part.size > origin.total:
            return "more came so far than the file has"
        if not self.digest and (origin.url != url or origin.version is None):
            return "neither a hash nor the server tells whether the file is still the same"
        if origin.url != url and origin.total is None:
            return "what came so far is from another address that did not tell the length"
        return ""

    def _why_not_appended(self, response: requests.Response, before: Origin, offset: int) -> str:
        """Return the reason why an answer is not the rest of the file; empty if it is."""
        if response.status_code == HTTPStatus.OK:
            return "the server cannot go on within a file, or the file has changed"
        if response.status_code != HTTPStatus.PARTIAL_CONTENT:
            return f"the server has nothing beyond {offset} bytes"
        start, total = web.content_range(response)
        if start != offset:
            return "the server sends another part of the file than the rest"
        if before.total not in (None, total):
            return f"the file has {total} bytes now, not {before.total}"
        # With a digest, it decides.
        same = self.digest or web.version(response) == before.version
        return "" if same else "the file has changed"

    def _receive(self, url: str, response: requests.Response, offset: int) -> None:
        if response.status_code != (HTTPStatus.PARTIAL_CONTENT if offset else HTTPStatus.OK):
            raise web.GaveUp(f"HTTP {response.status_code} to a request for the whole file")
        part, total = self.part, web.length(response)
        if total is None and not self.digest and not web.is_chunked(response):
            raise web.GaveUp("it tells no length and no hash is known: a cut would go unseen")
        origin = Origin(url, web.version(response), total)
        if (
            offset
            and part.origin
            and (part.origin.url, part.origin.version)
            != (
                url,
                origin.version,
            )
        ):
            # Such pieces are no version of the file: only the digest can vouch for them.
            origin = Origin(url, total=total)
        what = f"{part.target.name}, of which {size_text(offset)} came so far and stay,"
        if total is not None:
            require_space(part.target.parent, total - offset, what)
        done = offset
        with explain_full_disk(what):
            part.go_on(origin) if offset else part.begin(origin)
            # Unbuffered: the length of the file is always what came.
            with part.path.open("ab", buffering=0) as file:
                self.watch.reach(done, total)
                for piece in web.pieces(response):
                    done += len(piece)
                    if total is not None and done > total:
                        break
                    _write_all(file.write, piece)
                    self.watch.reach(done, total)
        if total is not None and done > total:
            part.discard()
            raise web.GaveUp(f"it sends more than the {total} bytes that it announced")

    def _say_restart(self, url: str, reason: str) -> None:
        self.watch.say(f"{url}: {reason}: starting from zero")


def _write_all(write: Callable[[memoryview], int | None], piece: bytes) -> None:
    # An unbuffered file may take less than it is given, as on a disk that is nearly full.
    rest = memoryview(piece)
    while rest:
        rest = rest[write(rest) or 0 :]


def _wrong_hash(path: Path, digest: str) -> str:
    if not digest:
        return ""
    algorithm, _, expected = digest.lower().partition(":")
    found = file_hash(path, algorithm)
    return "" if found == expected else f"wrong {algorithm}: expected {expected}, found {found}"


def _check_existing(target: Path, digest: str, watch: Watch) -> None:
    if not target.is_file():
        raise ValueError(f"{target} is no file: move it away, the download takes its place")
    if wrong := _wrong_hash(target, digest):
        raise ValueError(
            f"{target} is there and has the {wrong}; it is left as it is: move it or delete it, "
            "and try again"
        )
    if not digest:
        watch.say(f"{target} is there and is used; no hash is published that could check it")
