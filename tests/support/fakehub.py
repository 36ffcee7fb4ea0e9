"""A small Hugging Face Hub on loopback that serves the repositories of a cache folder and
misbehaves on request.

It implements what huggingface_hub 1.x and 2.x request: model info with blobs, auth-check, search,
tree, resolve with LFS redirects and ranges. Set HF_ENDPOINT to its `url`."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.hublies import Lies

REPO = r"(?P<repo>[^/]+/[^/]+)"
ROUTES = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^/api/models$", "search"),
        (rf"^/api/models/{REPO}$", "info"),
        (rf"^/api/models/{REPO}/auth-check$", "auth_check"),
        (rf"^/api/models/{REPO}/revision/(?P<rev>[^/]+)$", "info"),
        (rf"^/api/models/{REPO}/tree/(?P<rev>[^/]+)$", "tree"),
        (rf"^/{REPO}/resolve/(?P<rev>[^/]+)/(?P<path>.+)$", "resolve"),
        (r"^/lfs/(?P<sha>[0-9a-f]{64})$", "lfs"),
    )
]
DATE = "2026-01-01T00:00:00.000Z"


@dataclass
class Faults:
    """The faults to inject. `cut_after`: bytes of a large file after which the connection is
    closed, for the next `cuts` requests; `status`: the answer to the next `refusals` requests;
    `rate`: bytes per second of a large file, 0 for no limit."""

    cut_after: int = 0
    cuts: int = 0
    status: int = 503
    refusals: int = 0
    rate: int = 0


@dataclass
class Blob:
    oid: str
    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def lfs(self) -> bool:
        return len(self.oid) == 64


@dataclass
class Seen:
    method: str
    path: str
    range: str | None
    token: str | None


@dataclass
class FakeHub:
    """A context manager that serves `root`. `gated` repositories answer only to `token`, a
    `private` Hub answers nothing without it. `listing` adds search results: {repo_id: fields of
    the Hub's record}; `seen` lists every request; `sent` counts bytes of file bodies;
    `extra_files` are names and sizes that the Hub lists but does not have."""

    root: Path
    faults: Faults = field(default_factory=Faults)
    gated: set[str] = field(default_factory=set)
    token: str = "hf_right"
    private: bool = False
    listing: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    sent: int = 0
    extra_files: dict[str, int] = field(default_factory=dict)
    lies: Lies = field(default_factory=Lies)

    def __enter__(self) -> FakeHub:
        handler = type("BoundAnswer", (Answer,), {"hub": self})
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, counter: str) -> bool:
        """Whether this fault is due once more; counts it."""
        with self._lock:
            due = getattr(self.faults, counter)
            setattr(self.faults, counter, max(0, due - 1))
        return bool(due > 0)

    def commit(self, repo: str, rev: str) -> str | None:
        folder = self.folder(repo)
        ref = folder / "refs" / rev
        sha = ref.read_text().strip() if ref.is_file() else rev
        return sha if (folder / "snapshots" / sha).is_dir() else None

    def knows(self, repo: str) -> bool:
        return self.folder(repo).is_dir()

    def folder(self, repo: str) -> Path:
        """The folder of a repository. Like the real Hub, it accepts a name in any case."""
        exact = self.root / ("models--" + repo.replace("/", "--"))
        found = [
            path for path in self.root.glob("models--*") if path.name.lower() == exact.name.lower()
        ]
        return found[0] if found else exact

    def spelled(self, repo: str) -> str:
        return self.folder(repo).name.removeprefix("models--").replace("--", "/", 1)

    def files(self, repo: str, sha: str) -> dict[str, Blob]:
        snapshot = self.folder(repo) / "snapshots" / sha
        paths = sorted(path for path in snapshot.rglob("*") if path.is_file())
        return {
            path.relative_to(snapshot).as_posix(): Blob(path.resolve().name, path.resolve())
            for path in paths
        }

    def asked_for(self, text: str) -> list[Seen]:
        return [seen for seen in self.seen if text in seen.path]


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def handle(self) -> None:
        with suppress(ConnectionError):  # Some tests are about clients that disconnect early.
            super().handle()

    def do_GET(self) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.seen.append(Seen(self.command, self.path, self.headers.get("Range"), token))
        self.token = token
        if self.hub.take("refusals"):
            return self.reply(self.hub.faults.status, {"error": "injected"})
        # The address of a large file is its own permission.
        is_large_file = self.path.startswith("/lfs/")
        if self.hub.private and token != self.hub.token and not is_large_file:
            return self.reply(401, {"error": "Invalid username or password."})
        for pattern, name in ROUTES:
            if found := pattern.match(urlsplit(self.path).path):
                parts = {key: unquote(value) for key, value in found.groupdict().items()}
                return getattr(self, "on_" + name)(**parts)  # type: ignore[no-any-return]
        return self.reply(404, {"error": "no such endpoint"})

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def reply(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        raw = b"" if body is None else json.dumps(body).encode()
        self.head(status, {"Content-Length": str(len(raw)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(raw)

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def refuse(self, status: int, code: str, message: str) -> None:
        self.reply(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message})

    def find(self, repo: str, rev: str) -> str | None:
        """The commit; None after a refusal. Like the real Hub, it answers 401 to anonymous requests
        for an unknown repository."""
        if not self.hub.knows(repo):
            self.refuse(404 if self.token else 401, "RepoNotFound", "Repository not found")
            return None
        sha = self.hub.commit(repo, rev)
        if sha is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {rev}")
        return sha

    def allowed(self, repo: str) -> bool:
        if repo not in self.hub.gated or self.token == self.hub.token:
            return True
        self.refuse(
            403 if self.token else 401, "GatedRepo", f"Access to model {repo} is restricted"
        )
        return False

    def on_auth_check(self, repo: str) -> None:
        if self.find(repo, "main") and self.allowed(repo):
            self.reply(200, {})

    def on_info(self, repo: str, rev: str = "main") -> None:
        if sha := self.find(repo, rev):
            files = self.hub.files(repo, sha)
            siblings = [_sibling(name, blob) for name, blob in files.items()]
            siblings += [
                {"rfilename": name, "size": size, "blobId": ""}
                for name, size in self.hub.extra_files.items()
            ]
            lies = self.hub.lies
            siblings = [{**row, **lies.listed.get(row["rfilename"], {})} for row in siblings]
            siblings += [
                {"rfilename": f"{n}.json", "size": 9, "blobId": "0" * 40}
                for n in range(lies.siblings)
            ]
            siblings += lies.strange
            sha = lies.sha or sha
            gated = "manual" if repo in self.hub.gated else False
            self.reply(
                200,
                {
                    **_record(self.hub.spelled(repo)),
                    "sha": sha,
                    "gated": gated,
                    "siblings": siblings,
                },
            )

    def on_tree(self, repo: str, rev: str) -> None:
        if (sha := self.find(repo, rev)) and self.allowed(repo):
            self.reply(
                200, [_entry(name, blob) for name, blob in self.hub.files(repo, sha).items()]
            )

    def on_search(self) -> None:
        asked = {key: values[-1] for key, values in parse_qs(urlsplit(self.path).query).items()}
        words = asked.get("search", "").lower().split()
        rows = [{**_record(repo), **fields} for repo, fields in self.hub.listing.items()]
        rows = [row for row in rows if asked.get("filter", "") in (*row["tags"], "")]
        rows = [row for row in rows if all(word in row["id"].lower() for word in words)]
        rows.sort(key=lambda row: row.get(asked.get("sort", ""), 0), reverse=True)
        self.reply(200, rows[: int(asked.get("limit", 100))])

    def on_resolve(self, repo: str, rev: str, path: str) -> None:
        sha = self.find(repo, rev)
        if not sha or not self.allowed(repo):
            return
        blob = self.hub.files(repo, sha).get(path)
        if blob is None:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": sha, "ETag": f'"{blob.oid}"', "Accept-Ranges": "bytes"}
        lies = self.hub.lies
        if path != "config.json" and path in lies.absent:
            return self.reply(
                404, None, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": lies.absent[path]}
            )
        headers |= lies.headers
        if not blob.lfs:
            return self.ranged(blob.path, headers)
        # Another name for the same address: 2.x follows the redirect of a HEAD only within one
        # origin, and the real CDN is a different one.
        headers |= {"X-Linked-Etag": f'"{blob.oid}"', "X-Linked-Size": str(blob.size)}
        where = lies.location or f"http://localhost:{self.hub.port}/lfs/{blob.oid}"
        self.reply(302, None, {**headers, **lies.headers, "Location": where})

    def on_lfs(self, sha: str) -> None:
        blob = next(self.hub.root.glob(f"models--*/blobs/{sha}"), None)
        if blob is None:
            return self.reply(404, {"error": "no such object"})
        self.ranged(blob, {"ETag": f'"{sha}"', "Accept-Ranges": "bytes"})

    def ranged(self, path: Path, headers: dict[str, str]) -> None:
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        start, end = (int(asked[1]), min(int(asked[2] or size) + 1, size)) if asked else (0, size)
        if asked and start >= size:
            return self.reply(416, None, {"Content-Range": f"bytes */{size}"})
        if asked:
            headers = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"}
        more = self.hub.lies.endless if "/lfs/" in self.path else 0
        length = {"Connection": "close"} if more else {"Content-Length": str(end - start)}
        self.head(206 if asked else 200, {**headers, **length})
        if self.command != "HEAD":
            self.send_body(path.read_bytes()[start:end], large="/lfs/" in self.path)
            self.send_more(more)

    def send_more(self, size: int) -> None:
        for _ in range(size >> 20):
            self.wfile.write(bytes(1 << 20))
            self.hub.sent += 1 << 20
        self.close_connection = size > 0

    def send_body(self, body: bytes, large: bool) -> None:
        faults = self.hub.faults
        cut = large and faults.cut_after < len(body) and self.hub.take("cuts")
        for at in range(0, min(faults.cut_after, len(body)) if cut else len(body), 16384):
            chunk = body[at : min(at + 16384, faults.cut_after if cut else len(body))]
            self.wfile.write(chunk)
            self.hub.sent += len(chunk)
            if large and faults.rate:
                time.sleep(len(chunk) / faults.rate)
        if cut:
            self.wfile.flush()
            self.connection.shutdown(2)
            self.close_connection = True


def _record(repo: str) -> dict[str, Any]:
    return {
        "_id": hashlib.sha1(repo.encode()).hexdigest()[:24],
        "id": repo,
        "modelId": repo,
        "private": False,
        "gated": False,
        "disabled": False,
        "tags": ["mlx"],
        "downloads": 0,
        "likes": 0,
        "lastModified": DATE,
        "createdAt": DATE,
    }


def _sibling(name: str, blob: Blob) -> dict[str, Any]:
    lfs = {"lfs": {"sha256": blob.oid, "size": blob.size, "pointerSize": 134}} if blob.lfs else {}
    return {"rfilename": name, "size": blob.size, "blobId": _git_oid(blob), **lfs}


def _entry(name: str, blob: Blob) -> dict[str, Any]:
    lfs = {"lfs": {"oid": blob.oid, "size": blob.size, "pointerSize": 134}} if blob.lfs else {}
    return {"type": "file", "path": name, "size": blob.size, "oid": _git_oid(blob), **lfs}


def _git_oid(blob: Blob) -> str:
    return hashlib.sha1(blob.oid.encode()).hexdigest() if blob.lfs else blob.oid
