"""The child process that talks to the Hub: started, listened to, and never left behind."""

from __future__ import annotations

import os
import select
import subprocess
from typing import Any, Callable, Dict, Iterator, Mapping, Sequence

from ..errors import Interrupted, LinkLost, MlxopsError, NotDownloadable
from ..wire.bootstrap import read_part
from ..wire.codec import Lines, decode, encode, frame

# Where an environment holds a login's right to the Hub.
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_CHILD, _GUARD = "hub/child.py", "hub/guard.py"
_SHOWN = os.path.join(os.path.dirname(os.path.dirname(str(__spec__.origin))), _CHILD)
# Its text comes on stdin, before the request: there may be no file of it, and the cwd must not be
# on sys.path.
_LOADER = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; p, f = sys.argv[1], sys.stdin.buffer; "
    "m = sys.modules['hub_guard'] = type(sys)('hub_guard'); "
    "exec(compile(f.read(int(f.readline())), 'hub_guard', 'exec'), m.__dict__); "
    "exec(compile(f.read(int(f.readline())), p, 'exec'), {'__name__': '__main__'})"
)
_LOOK_EVERY_S = 0.1
_LEAVES_WITHIN_S = 3.0
_TAIL = 4000


def environment(host: Mapping[str, str], cache_dir: str) -> Dict[str, str]:
    """The host's own environment (HF_ENDPOINT, HF_TOKEN, proxies); a login kept beside the cache
    counts where none is.

    What the host file sets for the runtime, such as HF_HUB_OFFLINE, is meant for servers and is not
    in it."""
    env = dict(host, HF_HUB_DISABLE_TELEMETRY="1", PYTHONUNBUFFERED="1")
    if any(env.get(name) for name in (*TOKENS, "HF_TOKEN_PATH", "HF_HOME")):
        return env
    default = os.path.join(
        env.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "huggingface", "token"
    )
    for place in (
        default,
        os.path.join(os.path.dirname(cache_dir), "token"),
        os.path.join(cache_dir, "token"),
    ):
        if os.path.isfile(place):
            return dict(env, HF_TOKEN_PATH=place)
    return env


def redact_tokens(text: str, env: Mapping[str, str]) -> str:
    """The text with the tokens of the environment blotted out."""
    for name in TOKENS:
        text = text.replace(env.get(name) or "\0", "***")
    return text


class HubProcess:
    """One request to the Hub, as a context: on leaving it the child has ended, whatever happened
    inside."""

    def __init__(self, python: Sequence[str], request: Mapping[str, Any]) -> None:
        cache_dir = str(request["cache_dir"])
        try:
            self._child = subprocess.Popen(
                [*python, "-c", _LOADER, _SHOWN],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd="/",
                env=environment(os.environ, cache_dir),
                start_new_session=True,
            )
        except (OSError, ValueError) as exc:
            raise NotDownloadable(
                "%s cannot be started: %s" % (python[0], exc), "correct hub_python"
            ) from exc
        self._tail = b""
        self._send(request)

    def _send(self, request: Mapping[str, Any]) -> None:
        assert self._child.stdin is not None
        try:
            view = memoryview(
                frame(read_part(_GUARD)) + frame(read_part(_CHILD)) + encode(dict(request))
            )
            while view:
                view = view[self._child.stdin.write(view) :]
        except BrokenPipeError:
            pass  # It died already; its stderr says why.

    def __enter__(self) -> HubProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def end(self) -> None:
        """Closing its stdin is the order to leave: it reaches the Python behind `uv run`, which a
        signal may not."""
        child = self._child
        assert child.stdin and child.stdout and child.stderr
        child.stdin.close()
        try:
            child.wait(_LEAVES_WITHIN_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
        child.stderr.close()

    def records(self, cancelled: Callable[[], bool]) -> Iterator[Dict[str, Any]]:
        """The child's records as they come. Interrupted once `cancelled` says so; LinkLost for a
        line that is none."""
        lines = Lines()
        for chunk in self._chunks(cancelled):
            for line in lines.feed(chunk):
                yield decode(line)

    def _chunks(self, cancelled: Callable[[], bool]) -> Iterator[bytes]:
        assert self._child.stdout and self._child.stderr
        out, err = self._child.stdout.fileno(), self._child.stderr.fileno()
        streams = [out, err]
        while out in streams:
            if cancelled():
                raise Interrupted("the download was cancelled", "the same command resumes it")
            for ready in select.select(streams, [], [], _LOOK_EVERY_S)[0]:
                chunk = os.read(ready, 1 << 16)
                if not chunk:
                    streams.remove(ready)
                elif ready == out:
                    yield chunk
                else:
                    self._tail = (self._tail + chunk)[-_TAIL:]

    def exit_error(self) -> MlxopsError:
        """Why there was no last record, in the child's own words."""
        assert self._child.stderr
        err = self._child.stderr.fileno()
        while select.select([err], [], [], _LOOK_EVERY_S)[0]:
            chunk = os.read(err, 1 << 16)
            if not chunk:
                break
            self._tail = (self._tail + chunk)[-_TAIL:]
        status = self._child.wait()
        said = redact_tokens(self._tail.decode("utf-8", "replace"), os.environ).strip()
        return NotDownloadable(
            "the download process ended with status %d%s" % (status, said and ": " + said[-300:]),
            "run the same command again: it resumes",
            status=status,
            stderr=said,
        )


def request_hub(
    python: Sequence[str],
    request: Mapping[str, Any],
    on_event: Callable[[Dict[str, Any]], None],
    cancelled: Callable[[], bool],
) -> Dict[str, Any]:
    """The last record of one request; events before it go to `on_event`. NotDownloadable when it
    never came."""
    with HubProcess(python, request) as hub:
        try:
            for record in hub.records(cancelled):
                if "event" not in record:
                    return record
                on_event(record)
        except LinkLost as exc:
            raise NotDownloadable(
                "the download process sent nonsense: %s" % exc, "check hub_python"
            ) from exc
        raise hub.exit_error()
