"""The part of Amazon's S3 that Composer uses, over a dictionary, on a port of its own."""

from __future__ import annotations

import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class ObjectStore(ThreadingHTTPServer):
    """Serves `objects` by bucket and key; `environment` leads boto3 here."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.objects: dict[str, bytes] = {}
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "name",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            # Else the client sends its checksum after the object, in pieces.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client that was killed leaves its connection."""


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ObjectStore  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.objects[self._key()] = body
        self._answer(200, b"", {"ETag": _tag(body)})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self._list(self._key().split("/")[0], query.get("prefix", [""])[0])
            return
        body = self.server.objects.get(self._key())
        if body is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", {})
        elif wanted := self.headers.get("Range"):
            first, last = wanted.removeprefix("bytes=").split("-")
            part = body[int(first) : int(last or len(body)) + 1]
            place = f"bytes {first}-{int(first) + len(part) - 1}/{len(body)}"
            self._answer(206, part, {"Content-Range": place, "ETag": _tag(body)})
        else:
            self._answer(200, body, {"ETag": _tag(body)})

    def _list(self, bucket: str, prefix: str) -> None:
        keys = sorted(key for key in self.server.objects if key.startswith(f"{bucket}/{prefix}"))
        found = "".join(
            f"<Contents><Key>{escape(key.partition('/')[2])}</Key></Contents>" for key in keys
        )
        answer = f"<ListBucketResult><KeyCount>{len(keys)}</KeyCount>{found}</ListBucketResult>"
        self._answer(200, answer.encode(), {"Content-Type": "application/xml"})

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def _tag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'
