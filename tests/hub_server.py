"""A server on the loopback address that speaks what huggingface_hub asks of the Hub for files."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

# /org/name/resolve/revision/file
ASKED = re.compile(r"/(?P<repository>.+)/resolve/(?P<revision>[^/]+)/(?P<file>[^/]+)")


class Hub:
    """Repositories by name, in each the files of each revision; what was asked for, in order."""

    def __init__(self, repositories: dict[str, dict[str, dict[str, bytes]]]) -> None:
        self.repositories = repositories
        self.refused: dict[str, tuple[int, str]] = {}  # repository: status and code of the error
        self.asked: list[tuple[str, str]] = []
        self.url = ""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return the status, the headers and the content of a file."""
        found = ASKED.fullmatch(path.partition("?")[0])
        if found is None:
            return 404, {}, b""
        name, revision = found["repository"], unquote(found["revision"])
        if name in self.refused:
            status, code = self.refused[name]
            return status, {"X-Error-Code": code}, b""
        if name not in self.repositories:
            return 401, {"X-Error-Code": "RepoNotFound"}, b""
        files = self.repositories[name].get(revision)
        if files is None:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        commit = {"X-Repo-Commit": hashlib.sha1(f"{name} {revision}".encode()).hexdigest()}
        if found["file"] not in files:
            return 404, {"X-Error-Code": "EntryNotFound", **commit}, b""
        content = files[found["file"]]
        etag = hashlib.sha256(content).hexdigest()
        linked = {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{etag}"'}
        return 200, {"ETag": f'"{etag}"', **linked, **commit}, content


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve repositories on a free port until the block ends; ``hub.url`` is where."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self) -> None:
            status, headers, content = hub.answer(self.path)
            hub.asked.append((self.command, self.path.rpartition("/")[2]))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_GET = do_HEAD = reply  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        hub.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
