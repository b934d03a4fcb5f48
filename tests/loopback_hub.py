"""A real HTTP server on loopback that speaks the Hub's API in front of a folder of Hub-layout models.

The real ``huggingface_hub`` client runs against it (HF_ENDPOINT). ``python -m tests.loopback_hub ROOT`` serves a folder
by hand; in tests it is a context manager, can gate repositories, serve large files from another origin as the Hub's CDN
does, and fail on purpose.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

import yaml

#: Larger files, and all with a weight's suffix, are LFS files: the Hub knows their SHA-256.
LFS_BYTES = 1 << 20
LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".onnx_data", ".ckpt", ".th", ".tar")


class FaultKind(StrEnum):
    """What goes wrong with a response."""

    UNAVAILABLE = "503"
    TOO_MANY = "429, with Retry-After: 0"
    RESET = "connection reset"
    CUT_BODY = "the header promises all, half the body comes"
    SHORT_BODY = "half the body, and a Content-Length that says so"
    IGNORED_RANGE = "200 and the whole file"
    WRONG_OFFSET = "206 with bytes one further, and a Content-Range that says so"
    WRONG_SIZE = "206, and a Content-Range with another size of the file"
    WRONG_BYTES = "the right length, other content"
    SILENCE = "no answer"


@dataclass
class Fault:
    """``kind`` happens to ``times`` requests whose ``origin METHOD /path`` matches, after ``after`` of them."""

    kind: FaultKind
    pattern: str = "GET .*/resolve/"
    times: int = 1
    after: int = 0

    def applies(self, line: str) -> bool:
        """Count this request; whether it is one that fails."""
        if not re.search(self.pattern, line):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass(frozen=True)
class Request:
    """One request that came in; names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    origin: str  # hub | cdn


@dataclass(frozen=True)
class RepoFile:
    """One file of a repository."""

    path: str
    location: Path
    size: int
    sha256: str
    blob_id: str

    @property
    def is_lfs(self) -> bool:
        """Whether the Hub would store it with LFS."""
        return self.size >= LFS_BYTES or self.path.lower().endswith(LFS_SUFFIXES)

    @property
    def etag(self) -> str:
        """As the Hub's: SHA-256 of LFS files, git's blob id of others."""
        return self.sha256 if self.is_lfs else self.blob_id

    def sibling(self, blobs: bool) -> dict[str, Any]:
        """Its entry in ``siblings``."""
        if not blobs:
            return {"rfilename": self.path}
        entry: dict[str, Any] = {"rfilename": self.path, "size": self.size, "blobId": self.blob_id}
        if self.is_lfs:
            entry["lfs"] = {"sha256": self.sha256, "size": self.size, "pointerSize": 134}
        return entry


@dataclass(frozen=True)
class Repo:
    """One repository at its only commit."""

    id: str
    sha: str
    files: dict[str, RepoFile]
    card: dict[str, Any]
    config: dict[str, Any]

    @property
    def tags(self) -> list[str]:
        """The card's tags and those the Hub makes of the rest."""
        tags = list(self.card.get("tags") or [])
        tags += [str(self.card[key]) for key in ("library_name", "pipeline_tag") if self.card.get(key)]
        return tags + [f"dataset:{name}" for name in self.card.get("datasets") or []]

    def info(self, *, blobs: bool, gated: bool) -> dict[str, Any]:
        """The API's answer."""
        known = {key: self.config[key] for key in ("architectures", "model_type") if key in self.config}
        digest = int(self.sha[:6], 16)
        return {
            "_id": self.sha[:24],
            "id": self.id,
            "modelId": self.id,
            "author": self.id.partition("/")[0],
            "sha": self.sha,
            "private": False,
            "gated": "manual" if gated else False,
            "disabled": False,
            "lastModified": "2026-11-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "downloads": digest % 1000,
            "likes": digest % 100,
            "tags": self.tags,
            "pipeline_tag": self.card.get("pipeline_tag"),
            "library_name": self.card.get("library_name"),
            "cardData": self.card,
            "config": known,
            "siblings": [file.sibling(blobs) for file in self.files.values()],
        }


def read_repo(repo_id: str, folder: Path) -> Repo:
    """A folder as a repository; the commit hash is a function of all its content."""
    files = {}
    for location in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = location.read_bytes()
        path = location.relative_to(folder).as_posix()
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        files[path] = RepoFile(path, location, len(content), hashlib.sha256(content).hexdigest(), blob)
    sha = hashlib.sha1("\n".join(f"{f.path} {f.blob_id}" for f in files.values()).encode()).hexdigest()
    card: Any = None
    if "README.md" in files and (text := files["README.md"].location.read_text("utf-8")).startswith("---\n"):
        card = yaml.safe_load(text.split("---\n")[1])
    config: Any = None
    if "config.json" in files:
        config = json.loads(files["config.json"].location.read_text("utf-8"))
    return Repo(repo_id, sha, files, card if isinstance(card, dict) else {}, config if isinstance(config, dict) else {})


@dataclass
class LoopbackHub:
    """The server. Repositories are the folders ``root/owner/name``, or ``root/name`` as ``<owner>/name``.

    Attributes:
        root: the folder; read again at every request, so that tests may change it.
        owner: of folders one level deep.
        gated: ids that only ``token`` may download.
        private: ids that only ``token`` sees.
        token: the one accepted; None: no request is authenticated.
        cdn: serve LFS files from another origin, by redirect.
        page_size: items of a page of a listing.
        faults: see ``Fault``; added to at any time.
        requests: everything that came in.
        bytes_sent: of the bodies that went out.
    """

    root: Path
    owner: str = "samples"
    gated: frozenset[str] = frozenset()
    private: frozenset[str] = frozenset()
    token: str | None = None
    cdn: bool = False
    page_size: int = 1000
    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    bytes_sent: int = 0

    def __post_init__(self) -> None:
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._repos: dict[tuple[str, float], Repo] = {}
        self.endpoint = self.cdn_endpoint = ""

    def __enter__(self) -> LoopbackHub:
        self.endpoint = self._serve("hub", self.port)
        self.cdn_endpoint = self._serve("cdn", 0)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _serve(self, origin: str, port: int) -> str:
        handler = type("Handler", (_Handler,), {"hub": self, "origin": origin})
        server = _Server(("127.0.0.1", port), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    def repo(self, repo_id: str) -> Repo | None:
        """The repository of this id, None if there is none."""
        owner, _, name = repo_id.partition("/")
        folders = [self.root / owner / name] + ([self.root / name] if owner == self.owner else [])
        for folder in folders:
            if name and folder.is_dir() and any(path.is_file() for path in folder.iterdir()):
                newest = max(path.stat().st_mtime for path in folder.rglob("*"))
                with self._lock:
                    if (repo_id, newest) not in self._repos:
                        self._repos[repo_id, newest] = read_repo(repo_id, folder)
                    return self._repos[repo_id, newest]
        return None

    def repos(self) -> Iterable[Repo]:
        """All repositories, by id."""
        for folder in sorted(path for path in self.root.iterdir() if path.is_dir()):
            if any(path.is_file() for path in folder.iterdir()):
                ids = [f"{self.owner}/{folder.name}"]
            else:
                ids = [f"{folder.name}/{path.name}" for path in sorted(folder.iterdir()) if path.is_dir()]
            for each in ids:
                found = self.repo(each)
                if found is not None and each not in self.private:
                    yield found

    def fault_of(self, line: str) -> FaultKind | None:
        """The fault that happens to this request."""
        with self._lock:
            return next((fault.kind for fault in self.faults if fault.applies(line)), None)

    def count_sent(self, size: int) -> None:
        """A body of this many bytes went out."""
        with self._lock:
            self.bytes_sent += size

    def sent(self, pattern: str, origin: str | None = None) -> list[Request]:
        """Requests whose ``METHOD /path`` the pattern matches."""
        found = [each for each in list(self.requests) if re.search(pattern, f"{each.method} {each.path}")]
        return [each for each in found if origin in (None, each.origin)]


def hub_environment(server: LoopbackHub, home: Path) -> dict[str, str]:
    """What a process needs in its environment to take ``server`` for the Hub (subprocesses, Ray's ``env_vars``).

    ``home`` becomes HF_HOME: the user's cache and token are not touched.
    """
    return {
        "HF_ENDPOINT": server.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that leaves early is what some tests provoke; anything else is a defect of this server.
        import sys

        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    origin: str
    protocol_version = "HTTP/1.1"
    fault: FaultKind | None = None

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: tests read ``LoopbackHub.requests``."""

    def do_HEAD(self) -> None:
        self._handle()

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.requests.append(Request(self.command, self.path, headers, self.origin))
        # A redirect to the CDN is not the response that faults are about.
        self.fault = self.hub.fault_of(f"{self.origin} {self.command} {self.path}")
        if self.fault is FaultKind.UNAVAILABLE:
            return self._error(503, "", "Service Unavailable")
        if self.fault is FaultKind.TOO_MANY:
            return self._error(429, "", "Too Many Requests", {"Retry-After": "0"})
        if self.fault is FaultKind.RESET:
            return self._reset()
        if self.fault is FaultKind.SILENCE:
            time.sleep(30)
            return self._reset()
        split = urlsplit(self.path)
        path, query = split.path, parse_qs(split.query)
        if self.origin == "cdn":
            return self._cdn(path)
        if path == "/api/models":
            return self._list(query)
        if match := re.fullmatch(
            r"/api/models/([^/]+/[^/]+)(?:/(revision|tree|paths-info|auth-check)(?:/(.+))?)?", path
        ):
            return self._api(match[1], match[2], match[3], query)
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(match[1], unquote(match[2]), unquote(match[3]))
        return self._error(404, "", "no such route")

    def _list(self, query: dict[str, list[str]]) -> None:
        repos = [repo for repo in self.hub.repos() if _matches(repo, query)]
        gated = self.hub.gated
        if sort := query.get("sort"):
            repos.sort(key=lambda repo: repo.info(blobs=False, gated=False).get(sort[0], 0), reverse=True)
        limit = int(query.get("limit", ["1000"])[0])
        start = int(query.get("cursor", ["0"])[0])
        stop = start + min(limit, self.hub.page_size)
        headers = {}
        if stop < len(repos):
            link = urlencode({**query, "cursor": [str(stop)]}, doseq=True)
            headers["Link"] = f'<{self.hub.endpoint}/api/models?{link}>; rel="next"'
        self._json([repo.info(blobs=False, gated=repo.id in gated) for repo in repos[start:stop]], headers)

    def _api(self, repo_id: str, verb: str | None, rest: str | None, query: dict[str, list[str]]) -> None:
        repo = self._repo(repo_id)
        if repo is None:
            return None
        if verb == "auth-check":
            return self._json({}) if self._may_download(repo_id) else self._gated()
        revision, _, below = (rest or "main").partition("/")
        if not self._known_revision(repo, unquote(revision)):
            return None
        if verb == "tree":
            prefix = f"{below}/" if below else ""
            return self._json([_tree_entry(f) for f in repo.files.values() if f.path.startswith(prefix)])
        if verb == "paths-info":
            wanted = parse_qs(self.body.decode()).get("paths", []) or json.loads(self.body or b"{}").get("paths", [])
            return self._json([_tree_entry(repo.files[path]) for path in wanted if path in repo.files])
        return self._json(repo.info(blobs="blobs" in query, gated=repo_id in self.hub.gated))

    def _repo(self, repo_id: str) -> Repo | None:
        repo = self.hub.repo(repo_id)
        if repo is None or (repo_id in self.hub.private and not self._authenticated()):
            # The Hub does not tell missing from private to those it does not know.
            self._error(404 if self._authenticated() else 401, "RepoNotFound", "Repository not found")
            return None
        return repo

    def _known_revision(self, repo: Repo, revision: str) -> bool:
        if revision in ("main", repo.sha):
            return True
        self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return False

    def _resolve(self, repo_id: str, revision: str, path: str) -> None:
        repo = self._repo(repo_id)
        if repo is None:
            return None
        if not self._may_download(repo_id):
            return self._gated()
        if not self._known_revision(repo, revision):
            return None
        file = repo.files.get(path)
        if file is None:
            return self._error(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": repo.sha, "ETag": f'"{file.etag}"'}
        if file.is_lfs:
            headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.etag}"'}
            if self.hub.cdn:
                location = f"{self.hub.cdn_endpoint}/{quote(repo_id)}/{quote(path)}"
                return self._send(302, b"", headers | {"Location": location})
        return self._file(file, headers)

    def _cdn(self, path: str) -> None:
        owner, name, inner = unquote(path).lstrip("/").split("/", 2)
        repo = self.hub.repo(f"{owner}/{name}")
        if repo is None or inner not in repo.files:
            return self._error(403, "", "AccessDenied")
        return self._file(repo.files[inner], {"ETag": f'"{repo.files[inner].sha256}"'})

    def _file(self, file: RepoFile, headers: dict[str, str]) -> None:
        headers = headers | {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if match is None or match[0] == "bytes=-" or self.fault is FaultKind.IGNORED_RANGE:
            return self._send(200, self._content(file, 0, file.size), headers)
        start = int(match[1]) if match[1] else max(0, file.size - int(match[2]))
        stop = min(int(match[2]) + 1 if match[1] and match[2] else file.size, file.size)
        if start >= file.size:
            return self._send(416, b"", headers | {"Content-Range": f"bytes */{file.size}"})
        if self.fault is FaultKind.WRONG_OFFSET:
            start, stop = start + 1, stop + 1
        size = file.size + (self.fault is FaultKind.WRONG_SIZE)
        headers |= {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        return self._send(206, self._content(file, start, stop), headers)

    def _content(self, file: RepoFile, start: int, stop: int) -> bytes:
        with file.location.open("rb") as opened:
            opened.seek(start)
            content = opened.read(stop - start)
        return bytes(byte ^ 0xFF for byte in content) if self.fault is FaultKind.WRONG_BYTES else content

    def _authenticated(self) -> bool:
        return self.hub.token is not None and self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def _may_download(self, repo_id: str) -> bool:
        return repo_id not in self.hub.gated or self._authenticated()

    def _gated(self) -> None:
        self._error(403 if self.headers.get("Authorization") else 401, "GatedRepo", "Access to model is restricted.")

    def _json(self, content: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content, default=str).encode()
        self._send(200, body, {"Content-Type": "application/json", **(headers or {})})

    def _error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        found = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}
        self._send(status, json.dumps({"error": message}).encode(), found | {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        length = len(body)
        cuts = status in (200, 206) and self.fault in (FaultKind.SHORT_BODY, FaultKind.CUT_BODY)
        if cuts:
            body = body[: length // 2]
        if self.fault is FaultKind.SHORT_BODY:
            length = len(body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.hub.count_sent(len(body))
        if self.fault is FaultKind.CUT_BODY:
            self.wfile.flush()
            self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


def _tree_entry(file: RepoFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": file.blob_id, "size": file.size, "path": file.path}
    if file.is_lfs:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
    return entry


def _matches(repo: Repo, query: dict[str, list[str]]) -> bool:
    author, task = repo.id.partition("/")[0], repo.card.get("pipeline_tag")
    return (
        set(query.get("filter", [])) <= set(repo.tags)
        and query.get("author", [author]) == [author]
        and query.get("pipeline_tag", [task]) == [task]
        and all(text in repo.id for text in query.get("search", []))
    )


def main() -> None:
    """Serve a folder until interrupted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("root", type=Path, help="folder of Hub-layout models: root/name or root/owner/name")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--owner", default="samples", help="owner of folders one level deep")
    parser.add_argument("--cdn", action="store_true", help="serve weights from another origin, by redirect")
    given = parser.parse_args()
    with LoopbackHub(given.root, owner=given.owner, port=given.port, cdn=given.cdn) as server:
        print(f"HF_ENDPOINT={server.endpoint}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
