"""One published file, fetched from the first of its addresses that gives it, whole and checked."""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pooch

from course_utils.fetching.partial_file import PartialFile
from course_utils.fetching.transfer import Transfer, size_text
from course_utils.fetching.web import GaveUp

Tick = Callable[[int, int | None], None]
Tell = Callable[[str], None]

_DIGEST_LENGTHS = {"sha256": 64, "md5": 32}


def download(
    urls: Sequence[str],
    folder: Path,
    file_name: str,
    *,
    digest: str,
    tick: Tick | None = None,
    tell: Tell | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Fetch a published file into `folder / file_name` and return that path.

    `urls` (http or https) are tried in turn. What has come is kept in `<file_name>.part`, its
    origin in `<file_name>.part.json`: a dropped connection, and a later call, goes on from there.
    Bytes are put together only if the server says that the file is still the same (`ETag`,
    `Last-Modified`) or if `digest` will tell; else the file is fetched from zero. The address that
    the bytes so far are from goes first.

    `digest` is `"sha256:..."`, `"md5:..."`, or empty where none is published: then only the length
    is checked. The file gets its own name when it is whole and has the right hash. So a file of
    that name is used as it is; with a digest its hash is checked before.

    `tick(done, total)` is called with bytes, `total` None if the server does not tell it; `done`
    falls when the file is started from zero. `tell` gets a sentence for each thing that went wrong
    or was started over. `sleep(seconds)` waits between tries. One process at a time may fetch a
    file: locking is left to the caller.

    Raises:
        ValueError: for other addresses, a bad digest or file name, a file with another hash under
            that name, and a part file that something else has written (none of them is touched).
        OSError: if no address gives the file, or if there is no room for it.

    Example:
        >>> download(["ftp://a.org/a.zip"], Path("data"), "a.zip", digest="")
        Traceback (most recent call last):
            ...
        ValueError: cannot fetch 'ftp://a.org/a.zip': want an address that starts with http:// or https://
    """
    _check_request(urls, file_name, digest)
    tick = _ignore if tick is None else tick
    tell = _ignore if tell is None else tell
    target = folder / file_name
    if target.exists():
        _check_existing(target, digest, tell)
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = PartialFile(target)
    if part.is_foreign:
        raise ValueError(
            f"{part.path} is there without its record {part.path.name}.json, so it was not written "
            "by this course: move it or delete it, and try again"
        )
    transfer = Transfer(part, bool(digest), tick, tell, sleep)
    reasons: dict[str, str] = {}
    begun = part.origin.url if part.origin else None
    for url in sorted(dict.fromkeys(urls), key=lambda url: url != begun):
        try:
            _fetch(url, transfer, digest)
            return part.publish()
        except GaveUp as error:
            reasons[url] = str(error)
            tell(f"{url}: {error}")
    raise OSError(_all_failed(part, reasons))


def _fetch(url: str, transfer: Transfer, digest: str) -> None:
    """Leave a part file that is whole and has the right hash."""
    part = transfer.part
    transfer.complete(url)
    wrong = _wrong_hash(part.path, digest)
    if wrong and part.in_pieces:
        transfer.tell(
            f"{url}: with the bytes kept from before, it has the {wrong}: once more from zero"
        )
        part.discard()
        transfer.complete(url)
        wrong = _wrong_hash(part.path, digest)
    if wrong:
        part.discard()
        raise GaveUp(wrong)


def _wrong_hash(path: Path, digest: str) -> str:
    if not digest:
        return ""
    algorithm, _, expected = digest.partition(":")
    found = pooch.file_hash(str(path), algorithm)
    if found == expected.lower():
        return ""
    return f"wrong {algorithm}: expected {expected.lower()}, found {found}"


def _check_existing(target: Path, digest: str, tell: Tell) -> None:
    if not target.is_file():
        raise ValueError(f"{target} is no file: move it away, the download takes its place")
    if wrong := _wrong_hash(target, digest):
        raise ValueError(
            f"{target} is there and has the {wrong}; it is left as it is: move it or delete it, "
            "and try again"
        )
    if not digest:
        tell(f"{target} is there and is used; no hash is published that could check it")


def _check_request(urls: Sequence[str], file_name: str, digest: str) -> None:
    if isinstance(urls, str) or not urls:
        raise ValueError(f"urls must be a sequence of one or more addresses, got {urls!r}")
    for url in urls:
        if urlsplit(url).scheme.lower() not in ("http", "https"):
            raise ValueError(
                f"cannot fetch {url!r}: want an address that starts with http:// or https://"
            )
    if file_name in ("", ".", "..") or re.search(r"[/\\:\0]", file_name):
        raise ValueError(f"file_name must be a bare name such as 'a.zip', got {file_name!r}")
    algorithm, _, value = digest.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm, 0)
    if digest and not (length and re.fullmatch(rf"[0-9a-fA-F]{{{length}}}", value)):
        raise ValueError(
            f"digest must be 'sha256:' and 64 hexadecimal digits, 'md5:' and 32, or empty, "
            f"got {digest!r}"
        )


def _all_failed(part: PartialFile, reasons: dict[str, str]) -> str:
    tried = "".join(f"\n  {url}: {reason}" for url, reason in reasons.items())
    kept = f" (the {size_text(part.size)} that came so far stay)" if part.size else ""
    return (
        f"could not fetch {part.target.name}:{tried}\n"
        f"try again later{kept}, or give the file yourself with --archive FILE"
    )


def _ignore(*_: object) -> None:
    pass
