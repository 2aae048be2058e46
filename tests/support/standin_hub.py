"""A stand-in for the Hugging Face hub on the loopback address: enough of its interface for the real clients.

Repositories are dicts of files by revision; a fault is put in front of the answers for a path and used up one by one.
"""

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".bin", ".model", ".msgpack", ".h5")


@dataclass
class Repository:
    """Files of each commit, and what branches and tags stand for."""

    commits: dict[str, dict[str, bytes]]
    refs: dict[str, str]
    gated: bool = False  # for everybody without the token
    digests: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)  # sha1, sha256 of each file


@dataclass
class Fault:
    """What happens instead of a good answer."""

    kind: str  # status, cut, stall, garbage
    status: int = 0
    seconds: float = 0.0
    after: int = 0  # bytes of the body that still come before a cut or a stall


@dataclass
class StandinHub:
    """`with StandinHub() as hub:` serves until the end of the block."""

    token: str = "hf_standin"
    repositories: dict[str, Repository] = field(default_factory=dict)
    plain: dict[str, bytes] = field(default_factory=dict)  # path -> body, of no repository
    faults: dict[str, list[Fault]] = field(default_factory=dict)  # part of a path -> what comes first
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range

    def __enter__(self) -> "StandinHub":
        hub = self

        class Handler(_Handler):
            standin = hub

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, name: str, files: dict[str, bytes], refs: tuple[str, ...] = ("main",), gated: bool = False) -> str:
        """A commit with these files, to which the refs are moved; `name` is like "datasets/org/name"."""
        digests = {path: (hashlib.sha1(body).hexdigest(), hashlib.sha256(body).hexdigest())
                   for path, body in files.items()}  # fmt: skip
        content = json.dumps({path: sha1 for path, (sha1, _) in digests.items()}, sort_keys=True)
        commit = hashlib.sha1(content.encode()).hexdigest()
        repository = self.repositories.setdefault(name, Repository({}, {}, gated))
        repository.commits[commit], repository.digests[commit] = files, digests
        repository.refs.update(dict.fromkeys(refs, commit))
        return commit

    def break_next(self, part: str, *faults: Fault) -> None:
        self.faults.setdefault(part, []).extend(faults)

    def fault_for(self, path: str) -> Fault | None:
        for part, waiting in self.faults.items():
            if part in path and waiting:
                return waiting.pop(0)
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    standin: StandinHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        split = urlsplit(self.path)
        path, query = unquote(split.path).lstrip("/"), parse_qs(split.query)
        self.standin.asked.append((self.command, path, self.headers.get("Range", "")))
        fault = self.standin.fault_for(f"{self.command} {path}")
        if fault and fault.kind == "status":
            self._send(fault.status, b"{}", {"Retry-After": "0"})
        elif path in self.standin.plain:
            self._send_file(self.standin.plain[path], {}, fault)
        elif match := re.fullmatch(
            r"api/(datasets|models)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?", path
        ):
            kind, name, what, revision, folder = match.groups()
            self._answer_api(f"{kind}/{name}", what or "revision", revision or "main", folder or "", query, body)
        elif match := re.fullmatch(r"(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.*)", path):
            kind, name, revision, file = match.groups()
            found = self._find(f"{kind or 'models/'}{name}", revision)
            if found and file in found[1]:
                sha1, sha256 = self._digests(f"{kind or 'models/'}{name}", found[0])[file]
                headers = {"X-Repo-Commit": found[0], "ETag": f'"{sha1}"'}
                if file.endswith(LARGE):  # kept by the hub's large file storage, known by its sha256
                    headers["X-Linked-ETag"] = f'"{sha256}"'
                    headers["X-Linked-Size"] = str(len(found[1][file]))
                self._send_file(found[1][file], headers, fault)
            elif found:
                self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": found[0]})
        else:
            self._send(404, b"{}", {})

    def _find(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit and its files; None, and answered, if there are none."""
        repository = self.standin.repositories.get(name)
        if repository is None:
            self._send(401, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        elif repository.gated and self.headers.get("Authorization") != f"Bearer {self.standin.token}":
            self._send(
                401,
                b'{"error": "gated"}',
                {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to it is restricted"},
            )
        else:
            commit = repository.refs.get(revision, revision)
            if commit in repository.commits:
                return commit, repository.commits[commit]
            self._send(404, b'{"error": "Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
        return None

    def _digests(self, name: str, commit: str) -> dict[str, tuple[str, str]]:
        return self.standin.repositories[name].digests[commit]

    def _answer_api(
        self, name: str, what: str, revision: str, folder: str, query: dict[str, list[str]], body: bytes
    ) -> None:
        found = self._find(name, revision)
        if not found:
            return
        commit, files = found
        value: Any
        if what == "revision":
            names = [{"rfilename": path} for path in sorted(files)]
            value = {"id": name.split("/", 1)[1], "sha": commit, "siblings": names, "tags": [], "downloads": 0,
                     "lastModified": "2026-01-01T00:00:00.000Z", "private": False, "gated": False}  # fmt: skip
        elif what == "tree":
            recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
            value = _tree(files, self._digests(name, commit), folder, recursive)
            if folder and not value:
                self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
                return
        else:
            asked = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
            every = {entry["path"]: entry for entry in _tree(files, self._digests(name, commit), "", True)}
            value = [every[path] for path in asked if path in every]
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send_file(self, body: bytes, headers: dict[str, str], fault: Fault | None) -> None:
        start, end, status = 0, len(body), 200
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, status = int(match[1]), 206
            end = min(int(match[2]) + 1, end) if match[2] else end
            if start >= len(body):
                self._send(416, b"", {})
                return
            headers = headers | {"Content-Range": f"bytes {start}-{end - 1}/{len(body)}"}
        part = body[start:end]
        if fault and fault.kind == "garbage":
            part = bytes(len(part))
        self._send(status, part, headers | {"Accept-Ranges": "bytes"}, fault)

    def _send(self, status: int, body: bytes, headers: dict[str, str], fault: Fault | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.kind in ("cut", "stall"):
            self.wfile.write(body[: fault.after])
            self.wfile.flush()
            time.sleep(fault.seconds)
            self.close_connection = True
            return
        self.wfile.write(body)


def _tree(
    files: dict[str, bytes], digests: dict[str, tuple[str, str]], folder: str, recursive: bool
) -> list[dict[str, Any]]:
    prefix = f"{folder}/" if folder else ""
    entries: dict[str, dict[str, Any]] = {}
    for path, body in sorted(files.items()):
        if not path.startswith(prefix):
            continue
        parts = path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts)):
            above = prefix + "/".join(parts[:depth])
            if recursive or depth == 1:
                entries[above] = {
                    "type": "directory",
                    "path": above,
                    "oid": hashlib.sha1(above.encode()).hexdigest(),
                    "size": 0,
                }
        if recursive or len(parts) == 1:
            entries[path] = {"type": "file", "path": path, "oid": digests[path][0], "size": len(body)}
    return list(entries.values())
