"""Bringing the bytes of one address into a partial file, over connections that drop."""

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import requests

from course_utils.fetching import web
from course_utils.fetching.partial_file import Origin, PartialFile

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait after the first, second, ... failure in a row."""
PROGRESS = 1 << 20
"""So many bytes further, the failures are counted anew."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class Transfer:
    """What the addresses of one file have in common."""

    part: PartialFile
    has_digest: bool
    """Whether the bytes will be checked, so that pieces of unsure origin may be put together."""
    tick: Callable[[int, int | None], None]
    tell: Callable[[str], None]
    sleep: Callable[[float], None]

    def complete(self, url: str) -> None:
        """Go on from the bytes so far, where that is allowed, until the part file is whole.

        Raises `web.GaveUp` if `url` does not give the file, and `OSError` if it has no room.
        """
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
                self.tell(f"{url}: {error} after {size_text(here)}; next try in {pause:g} s")
            self.sleep(pause)

    def _attempt(self, url: str) -> None:
        offset = self._offset(url)
        if offset and self.part.origin and offset == self.part.origin.total:
            return
        headers = self._range(url, offset) if offset else {}
        response = web.ask(url, headers)
        if offset and (obstacle := self._obstacle(url, response, offset)):
            self.tell(f"{url}: {obstacle}: starting from zero")
            offset = 0
            if response.status_code != requests.codes.ok:
                response.close()
                response = web.ask(url, {})
        with closing(response):
            self._receive(url, response, offset)

    def _offset(self, url: str) -> int:
        """Return how many of the bytes so far may be kept."""
        here, origin = self.part.size, self.part.origin
        if not here:
            return 0
        obstacle = ""
        if origin is None:
            obstacle = "what came so far has a damaged record"
        elif origin.total is not None and here > origin.total:
            obstacle = "more came so far than the file has"
        elif not self.has_digest and origin.url != url:
            obstacle = "what came so far is from another address, and no hash is known"
        elif not self.has_digest and origin.validator is None:
            obstacle = "the server gave no version of the file, and no hash is known"
        elif origin.url != url and origin.total is None:
            obstacle = "what came so far is from another address that did not tell the length"
        if obstacle:
            self.tell(f"{url}: {obstacle}: starting from zero")
        return 0 if obstacle else here

    def _range(self, url: str, offset: int) -> dict[str, str]:
        headers = {"Range": f"bytes={offset}-"}
        origin = self.part.origin
        # A validator means something at its own address only.
        if origin and origin.url == url and origin.validator:
            headers["If-Range"] = origin.validator
        return headers

    def _obstacle(self, url: str, response: requests.Response, offset: int) -> str:
        """Say why the answer to a request for the rest cannot be appended; empty if it can."""
        before = self.part.origin
        assert before is not None
        now = _origin(url, response)
        same_file = before.url != url or before.validator in (None, now.validator)
        if response.status_code == requests.codes.partial:
            whole = web.content_range(response)
            if whole is None or whole[0] != offset:
                return "the server sends another part of the file than the rest"
            if before.total not in (None, whole[1]):
                return f"the file has {whole[1]} bytes now, not {before.total}"
            # With a digest, an answer that names no version may pass: the digest decides.
            unsure = self.has_digest and now.validator is None
            return "" if same_file or unsure else "the file has changed"
        if response.status_code == requests.codes.ok:
            changed = not same_file or before.total not in (None, now.total)
            return "the file has changed" if changed else "the server cannot go on within a file"
        return f"the server has nothing beyond {offset} bytes"

    def _receive(self, url: str, response: requests.Response, offset: int) -> None:
        if response.status_code != (requests.codes.partial if offset else requests.codes.ok):
            raise web.GaveUp(f"HTTP {response.status_code} to a request for the whole file")
        origin = _origin(url, response)
        if offset:
            origin = self._joined(origin)
        total = origin.total
        if total is None and not self.has_digest and not web.is_chunked(response):
            raise web.GaveUp("it tells no length and no hash is known: a cut would go unseen")
        self._require_room(total)
        done = offset
        with self._explaining_full_disk(total):
            self.part.go_on(origin) if offset else self.part.begin(origin)
            with self.part.appending() as file:
                self.tick(done, total)
                for piece in web.pieces(response):
                    done += len(piece)
                    if total is not None and done > total:
                        break
                    _write_all(file.write, piece)
                    self.tick(done, total)
        if total is not None and done > total:
            self.part.discard()
            raise web.GaveUp(f"it sends more than the {total} bytes that it announced")
        # urllib3 2 notices this by itself, urllib3 1 does not.
        if total is not None and done < total:
            raise web.Dropped("the connection dropped")

    def _joined(self, rest: Origin) -> Origin:
        before = self.part.origin
        assert before is not None
        total = before.total if before.total is not None else rest.total
        if before.url == rest.url:
            return replace(before, total=total)
        # Pieces of two addresses are no version of either: only the digest can vouch for them.
        return Origin(rest.url, total=total)

    def _require_room(self, total: int | None) -> None:
        if total is not None and total - self.part.size > self._free():
            raise self._no_room(total)

    @contextmanager
    def _explaining_full_disk(self, total: int | None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise self._no_room(total) from error

    def _no_room(self, total: int | None) -> OSError:
        here = self.part.size
        need = "more room" if total is None else f"{size_text(total - here)} more"
        target = self.part.target
        error = OSError(
            f"no room for {target.name} in {target.parent}: it needs {need}, and "
            f"{size_text(self._free())} are free; make room and run the same command again (the "
            f"{size_text(here)} that came so far stay)"
        )
        error.errno = errno.ENOSPC
        return error

    def _free(self) -> int:
        return shutil.disk_usage(self.part.target.parent).free


def size_text(count: int) -> str:
    """Write a number of bytes for people.

    Example:
        >>> size_text(999), size_text(1_250_000), size_text(5_264_982_680)
        ('999 bytes', '1.2 MB', '5.3 GB')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"


def _origin(url: str, response: requests.Response) -> Origin:
    headers = response.headers
    if response.status_code == requests.codes.partial:
        whole = web.content_range(response)
        total = whole[1] if whole else None
    else:
        total = web.length(response)
    return Origin(url, headers.get("ETag"), headers.get("Last-Modified"), total)


def _write_all(write: Callable[[memoryview], int], piece: bytes) -> None:
    # An unbuffered file may take less than it is given, as on a disk that is nearly full.
    rest = memoryview(piece)
    while rest:
        rest = rest[write(rest) :]
