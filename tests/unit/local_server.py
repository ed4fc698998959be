"""A web server on this machine that can misbehave, for tests of downloads.

with LocalServer({"a.zip": b"..."}) as server:
    fetch(server.url("a.zip"))
assert server.requests[0].headers["Range"] == "bytes=100-"
"""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass(frozen=True)
class Request:
    """A request that the server got."""

    path: str
    headers: Message
    """By any spelling of their names; None for what was not sent."""


@dataclass
class LocalServer:
    """Serves files on 127.0.0.1, and follows what its attributes say at each request."""

    files: Mapping[str, bytes] | Path
    """The files by name, or the folder that they lie in."""
    ranges: bool = True  # whether `Range` and `If-Range` are followed
    if_range: bool = True  # whether `If-Range` is looked at
    etag: bool = True
    weak_etag: bool = False
    last_modified: bool = True
    modified: float = 1.7e9  # of all files, in seconds since 1970
    drop_after: int | None = None  # bytes of the body after which the connection is closed
    drops: int = 0  # how many requests from now on are dropped so
    stalls: bool = False  # a dropped connection stays open, silent, until the client closes
    statuses: dict[str, int] = field(default_factory=dict)  # errors, by file name; "*" for all
    bad_answers: int | None = None  # how many requests from now on get those; None: all
    redirects: dict[str, str] = field(default_factory=dict)  # where to, by file name
    declared_length: int | None = None  # what `Content-Length` says, not the truth
    chunked: bool = False  # send the body in chunks and tell no length
    tells_length: bool = True
    extra_headers: dict[str, str] = field(default_factory=dict)
    before: Callable[[Request], None] | None = None
    """Called with each request, before it is answered: the place to change a file."""
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> "LocalServer":
        server = self

        class Handler(_Handler):
            settings = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/{name}"

    def read(self, name: str) -> bytes | None:
        if isinstance(self.files, Path):
            path = self.files / name
            return path.read_bytes() if path.is_file() else None
        return self.files.get(name)

    @property
    def asked_ranges(self) -> list[str | None]:
        """What `Range` said, of each request."""
        return [request.headers["Range"] for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    settings: LocalServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        settings = self.settings
        request = Request(unquote(self.path.lstrip("/")), self.headers)
        settings.requests.append(request)
        if settings.before:
            settings.before(request)
        self.close_connection = True
        name = request.path
        if name in settings.redirects:
            return self._answer(302, {"Location": settings.redirects[name], "Content-Length": "0"})
        status = settings.statuses.get(name, settings.statuses.get("*"))
        if status is not None and settings.bad_answers != 0:
            if settings.bad_answers is not None:
                settings.bad_answers -= 1
            return self._answer(status, {"Content-Length": "0"})
        content = settings.read(name)
        if content is None:
            return self._answer(404, {"Content-Length": "0"})
        self._send(content)

    def _send(self, content: bytes) -> None:
        settings = self.settings
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        if settings.etag:
            headers["ETag"] = f"W/{etag}" if settings.weak_etag else etag
        if settings.last_modified:
            headers["Last-Modified"] = formatdate(settings.modified, usegmt=True)
        status, body = 200, content
        if (start := self._wanted_start(headers)) is not None:
            if start >= len(content):
                return self._answer(
                    416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"}
                )
            status, body = 206, content[start:]
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if settings.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif settings.tells_length:
            headers["Content-Length"] = str(
                len(body) if settings.declared_length is None else settings.declared_length
            )
        self._answer(status, headers | settings.extra_headers)
        drop = settings.drops > 0 and settings.drop_after is not None
        if drop:
            settings.drops -= 1
            body = body[: settings.drop_after]
        try:
            self._send_body(body, whole=not drop)
            if drop and settings.stalls:
                self.connection.recv(1)
        except OSError:
            pass  # the client has gone

    def _wanted_start(self, headers: Mapping[str, str]) -> int | None:
        """The first byte that is asked for, or None where the whole file is the right answer."""
        asked, condition = self.headers["Range"], self.headers["If-Range"]
        if not self.settings.ranges or not asked:
            return None
        known = (headers.get("ETag"), headers.get("Last-Modified"))
        if condition and self.settings.if_range and condition not in known:
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def _send_body(self, body: bytes, whole: bool) -> None:
        if not self.settings.chunked:
            self.wfile.write(body)
            return
        for start in range(0, len(body), 10_000):
            piece = body[start : start + 10_000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if whole:
            self.wfile.write(b"0\r\n\r\n")

    def _answer(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass
