"""Asking a web server for a file, or for the rest of one; what can go wrong, in plain words."""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from http import HTTPStatus

import requests
from urllib3.exceptions import HTTPError

TIMEOUT = (20, 60)
"""Seconds: to connect, and between two pieces of an answer."""
CHUNK = 1 << 16
_FOR_NOW = (408, 425, 429, 500, 502, 503, 504)
_NO_RANGE = 416


class GaveUp(Exception):
    """This address does not give the file."""


class Unreachable(GaveUp):
    """There is no way to the server: for good, unless there was one a moment ago."""


class Dropped(Exception):
    """It may go better in a moment."""


def ask(url: str, headers: Mapping[str, str]) -> requests.Response:
    """Return an answer that has a file or a part of one (200, 206), or 416; to be closed.

    Redirects are followed. Raises `Dropped`, `Unreachable` or `GaveUp` with the reason.
    """
    try:
        response = requests.get(
            url,
            # A range of a compressed answer would be no range of the file.
            headers={"Accept-Encoding": "identity", **headers},
            stream=True,
            timeout=TIMEOUT,
        )
    except requests.RequestException as error:
        raise _failure(error) from error
    try:
        _require_file(response, url)
    except BaseException:
        response.close()
        raise
    return response


def pieces(response: requests.Response) -> Iterator[bytes]:
    """Yield the bytes of an answer as they were sent; raise `Dropped` when they stop coming."""
    # Some servers label a .tar.gz as a compressed .tar: the file is what is sent, never unpacked.
    # requests' own iter_content would unpack it, and lose the last bytes before a drop.
    try:
        yield from response.raw.stream(CHUNK, decode_content=False)
    except HTTPError as error:
        raise Dropped(_silence(error) or "the connection dropped") from error


def version(response: requests.Response) -> str | None:
    """Return what an `If-Range` may hold to ask for more of the same file, if there is something.

    A weak ETag (`W/"..."`) does not promise equal bytes (RFC 9110, section 13.1.5).
    """
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def length(response: requests.Response) -> int | None:
    """Return how many bytes the whole file has; None if the server does not say."""
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        return content_range(response)[1]
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """Return the first byte and the length of the whole file that a 206 tells, if it does."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    return (int(found[1]), int(found[2])) if found else (None, None)


def is_chunked(response: requests.Response) -> bool:
    """Return whether the answer marks its own end, so that a dropped connection is noticed."""
    return "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def _require_file(response: requests.Response, url: str) -> None:
    code = response.status_code
    status = f"HTTP {code} {response.reason}"
    if code in _FOR_NOW:
        raise Dropped(status)
    if code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, _NO_RANGE):
        raise GaveUp(status)
    # Log-in pages, dead links and the portals of hotels answer so. A file that was half here must
    # not be thrown away for one of them.
    kind = response.headers.get("Content-Type", "").lower()
    if code != _NO_RANGE and kind.startswith("text/html") and not url.endswith((".html", ".htm")):
        raise GaveUp("a web page came instead of the file")


def _failure(error: requests.RequestException) -> Exception:
    # requests and urllib3 wrap what happened; what they wrapped says whether to try again.
    cause = _system_error(error)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Unreachable(f"no connection within {TIMEOUT[0]} s")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return GaveUp(f"its certificate is not trusted ({cause.verify_message})")
    if isinstance(cause, socket.gaierror):
        return Unreachable(f"its name could not be looked up ({cause.strerror})")
    if silence := _silence(error):
        return Dropped(silence)
    if isinstance(cause, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
        return Dropped("the connection dropped")
    if isinstance(error, requests.exceptions.ConnectionError):
        return Unreachable(f"no connection ({(cause and cause.strerror) or error})")
    return GaveUp(str(error))


def _silence(error: Exception) -> str:
    cause = _system_error(error)
    # A time-out of the system has a number; ours has none.
    is_ours = isinstance(cause, TimeoutError) and cause.errno is None
    return f"nothing came for {TIMEOUT[1]} s" if is_ours else ""


def _system_error(error: BaseException | None) -> OSError | None:
    while error is not None:
        if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
            return error
        error = error.__cause__ or error.__context__
    return None
