"""The child process that talks to the Hub, under an interpreter with huggingface_hub (0.34 to 2.x).

stdin: one JSON request line, then nothing. End of file ends this process at once, so that a killed
agent leaves no download running. stdout: JSON lines, the last one {"result": …} or {"failed": KIND,
…}. Run as text, never as a script: its own folder on sys.path would shadow the standard library."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Type

MAX_DELAY_S = 30.0
REPORT_INTERVAL_S = 0.2
WORKERS = 4
# Failures that a retry may fix.
TRANSIENT = ("network", "other")
# Request timeout, too many requests.
RETRIED_STATUSES = (408, 429)
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS)
# By class name, as the classes moved between versions.
KINDS = {
    "GatedRepoError": "gated",
    "RepositoryNotFoundError": "unknown",
    "HFValidationError": "unknown",
    "RevisionNotFoundError": "revision",
    "RemoteEntryNotFoundError": "gone",
    "OfflineModeIsEnabled": "offline",
    "TooLarge": "odd",
    "Mismatch": "lie",
    "MissingFile": "gone",
    "UnsupportedProtocol": "lie",
    "InvalidSchema": "lie",
}
NETWORK = {"HfHubHTTPError", "HTTPError", "TransportError", "RequestException", "ConnectionError"}

# The parent sends its text with that of this module.
guard: Any = sys.modules.get("hub_guard")

Request = Dict[str, Any]
OnRetry = Callable[[int, Exception], None]


class Wire:
    """The original stdout of this process, for records only. Everything else prints to stderr."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w", encoding="ascii")
        self._lock = threading.Lock()
        os.dup2(2, 1)

    def emit(self, **record: Any) -> None:
        with self._lock:
            self._stream.write(json.dumps(record) + "\n")
            self._stream.flush()


def exit_with_parent() -> None:
    try:
        sys.stdin.buffer.read()
    finally:
        os._exit(3)


def cause_chain(exc: Optional[BaseException]) -> List[BaseException]:
    """The exception and its causes, innermost last."""
    chain: List[BaseException] = []
    while exc is not None and exc not in chain:
        chain.append(exc)
        exc = exc.__cause__ or exc.__context__
    return chain


def status_of(exc: BaseException) -> Optional[int]:
    """The HTTP status that the Hub answered with, if it did."""
    status = getattr(getattr(exc, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def kind_of_one(exc: BaseException) -> str:
    """The kind of a failure, "" if unknown. The order matters: a gated repository is also not
    found."""
    names = [cls.__name__ for cls in type(exc).__mro__]
    number = getattr(exc, "errno", None)
    if number in DISK_FULL or "No space left" in str(exc):
        return "disk"
    known = next((KINDS[name] for name in names if name in KINDS), "")
    if known:
        return known
    status = status_of(exc)
    if status in (401, 403):
        return "denied"
    if status is not None and 400 <= status < 500 and status not in RETRIED_STATUSES:
        return "answer"
    if number in NO_ACCESS:
        return "folder"
    return "network" if NETWORK.intersection(names) else ""


def kind_of(exc: BaseException) -> str:
    kinds = [kind for kind in map(kind_of_one, cause_chain(exc)) if kind]
    return next((kind for kind in kinds if kind not in TRANSIENT), kinds[0] if kinds else "other")


def redacted_text(exc: BaseException) -> str:
    """The message of the innermost cause, shortened and without the token."""
    from huggingface_hub import get_token

    chain = cause_chain(exc)
    statuses = [status for status in map(status_of, chain) if status is not None]
    # The texts of HTTP errors are long addresses and advice.
    text = "HTTP status %d" % statuses[-1] if statuses else " ".join(str(chain[-1]).split())
    text = re.sub(r"^\[Errno -?\d+\] ", "", text) or type(chain[-1]).__name__
    return text.replace(get_token() or "\0", "***")[:400]


def retry(
    work: Callable[[], Any],
    request: Request,
    on_retry: OnRetry,
    moved: Callable[[], int] = lambda: 0,
) -> Any:
    """The result of `work`, retried after transient failures, request["tries"] times without
    progress."""
    count, best = 0, moved()
    while True:
        try:
            return work()
        except Exception as exc:
            count, best = (0 if moved() > best else count) + 1, max(best, moved())
            if count >= request["tries"] or kind_of(exc) not in TRANSIENT:
                raise
            on_retry(count, exc)
            time.sleep(min(request["delay_s"] * 2 ** (count - 1), MAX_DELAY_S))


def report_retries(wire: Wire, file: str) -> OnRetry:
    return lambda count, exc: wire.emit(
        event="retry", file=file, tries=count, message=redacted_text(exc)
    )


def describe(request: Request, wire: Wire) -> Dict[str, Any]:
    from huggingface_hub import HfApi, hf_hub_url

    repo_id = request["repo_id"]
    info = retry(lambda: guard.fetch_listing(request), request, report_retries(wire, ""))
    if info.get("gated"):
        retry(
            lambda: HfApi(library_name="mlxops").auth_check(repo_id),
            request,
            report_retries(wire, ""),
        )
    files, text = [guard.listed_file(s) for s in info.get("siblings") or []], ""
    name = "config.json"
    if any(file[0] == name for file in files):
        url = hf_hub_url(repo_id, name, revision=str(info.get("sha")))
        text = retry(
            lambda: guard.fetch_text(url, name, guard.MAX_CONFIG_BYTES),
            request,
            report_retries(wire, name),
        )
    head = {
        "revision": str(info.get("sha")),
        "id": info.get("id"),
        "gated": bool(info.get("gated")),
    }
    return {**head, "files": files, "config": text}


def reach(request: Request, wire: Wire) -> Dict[str, Any]:
    """Make one small request with this host's token: the Hub refuses a wrong one."""
    from huggingface_hub import constants

    url = constants.ENDPOINT + "/api/models?limit=1"
    guard.fetch_text(url, "its list of models", guard.MAX_LISTING_BYTES)
    return {}


class Progress:
    """Bytes per file; reports the sum, at most every REPORT_INTERVAL_S."""

    def __init__(self, sizes: Dict[str, int], wire: Wire) -> None:
        self.sizes, self.wire, self.last = sizes, wire, 0.0
        self.done: Dict[str, int] = dict.fromkeys(sizes, 0)
        self.bars: Dict[str, List[Any]] = {name: [] for name in sizes}

    def moved(self, file: str) -> None:
        # A Xet download has two bars, for bytes received and bytes written.
        furthest = max(bar.n for bar in self.bars[file])
        self.done[file] = int(min(max(furthest, 0), self.sizes[file]))
        self.report(file)

    def begin(self, file: str) -> None:
        self.bars[file] = []
        self.done[file] = 0

    def finish(self, file: str) -> None:
        self.done[file] = self.sizes[file]
        self.report(file, now=True)

    def report(self, file: str, now: bool = False) -> None:
        if now or time.monotonic() - self.last >= REPORT_INTERVAL_S:
            self.last = time.monotonic()
            self.wire.emit(event="progress", done=sum(self.done.values()), file=file)

    def bar_for(self, file: str) -> Type[Any]:
        """A stand-in for the tqdm class. It counts itself, as `n` of tqdm stays 0 without a
        terminal."""
        progress = self

        class Bar:
            def __init__(self, *args: Any, **options: Any) -> None:
                self.n, self.total = options.get("initial") or 0, options.get("total")
                progress.bars[file].append(self)
                progress.moved(file)

            def update(self, n: Optional[float] = 1) -> None:
                self.n += n or 0
                progress.moved(file)

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *exc: object) -> None:
                pass

            def __getattr__(self, name: str) -> Callable[..., None]:
                return lambda *args, **options: None

        return Bar


def repo_in_cache(request: Request) -> str:
    return os.path.join(
        str(request["cache_dir"]), "models--" + request["repo_id"].replace("/", "--")
    )


def size_in_cache(request: Request, file: str) -> Optional[int]:
    try:
        return os.path.getsize(
            os.path.join(repo_in_cache(request), "snapshots", request["revision"], file)
        )
    except OSError:
        return None


def fetch(request: Request, progress: Progress, guarded: Any, file: str) -> None:
    import inspect

    from huggingface_hub import hf_hub_download

    present = size_in_cache(request, file)
    if present == progress.sizes[file] and file not in request.get("spoiled", ()):
        return progress.finish(file)
    blob = request.get("blobs", {}).get(file, "")
    guarded.expect(guard.Expected(file, progress.sizes[file], blob, request["revision"]))
    # Without it, a truncated file that is already linked would be kept.
    options = {
        "revision": request["revision"],
        "cache_dir": request["cache_dir"],
        "library_name": "mlxops",
        "force_download": present is not None,
    }
    if "tqdm_class" in inspect.signature(hf_hub_download).parameters:
        options["tqdm_class"] = progress.bar_for(file)
    progress.begin(file)
    try:
        path: str = hf_hub_download(request["repo_id"], file, **options)
    except Exception as exc:
        if kind_of(exc) == "lie":
            guard.remove_partial(os.path.join(repo_in_cache(request), "blobs"), blob)
        raise
    if os.path.getsize(path) != progress.sizes[file]:
        raise OSError(
            "%s has %d bytes instead of %d" % (file, os.path.getsize(path), progress.sizes[file])
        )
    progress.finish(file)


def download(request: Request, wire: Wire) -> Dict[str, Any]:
    from concurrent.futures import ThreadPoolExecutor, as_completed

    progress = Progress(dict(request["files"]), wire)
    room = guard.DiskReserve(request["cache_dir"], request.get("spare_bytes", 0))
    guarded = guard.Guard(room)
    guarded.install()
    blobs = os.path.join(repo_in_cache(request), "blobs")
    guard.watch(room, blobs, max(progress.sizes.values(), default=0), lambda exc: fail(wire, exc))

    def one(file: str) -> None:
        def work() -> None:
            fetch(request, progress, guarded, file)

        retry(work, request, report_retries(wire, file), lambda: progress.done[file])

    # Files that exist come first, so that the first report is right.
    files = sorted(progress.sizes, key=lambda file: size_in_cache(request, file) is None)
    pool = ThreadPoolExecutor(WORKERS)
    for job in as_completed([pool.submit(one, file) for file in files]):
        job.result()
    return {}


def fail(wire: Wire, exc: Exception) -> None:
    wire.emit(failed=kind_of(exc), message=redacted_text(exc))
    os._exit(0)


def main() -> None:
    wire = Wire()
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=exit_with_parent, daemon=True).start()
    os.nice(10)
    try:
        do = {"describe": describe, "download": download, "reach": reach}[request["do"]]
        wire.emit(result=do(request, wire))
    except Exception as exc:
        fail(wire, exc)
    os._exit(0)


if __name__ == "__main__":
    main()
