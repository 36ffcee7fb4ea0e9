"""The child process that talks to the Hub: started, listened to, and never left behind."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, Callable, Dict, Iterator, Mapping, Sequence

from ..errors import Interrupted, LinkLost, MlxopsError, NotDownloadable
from ..wire.bootstrap import read_part
from ..wire.child import ChildPipes
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
_POLL_INTERVAL_S = 0.1
_EXIT_TIMEOUT_S = 3.0
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
            self._pipes = ChildPipes(
                [*python, "-c", _LOADER, _SHOWN], cwd="/", env=environment(os.environ, cache_dir)
            )
        except (OSError, ValueError) as exc:
            raise NotDownloadable(
                "%s cannot be started: %s" % (python[0], exc), "correct hub_python"
            ) from exc
        text = frame(read_part(_GUARD)) + frame(read_part(_CHILD))
        # A child that has ended already says why on its stderr.
        with suppress(BrokenPipeError):
            self._pipes.write(text + encode(dict(request)))

    def __enter__(self) -> HubProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        # The end of its stdin reaches the Python behind `uv run`, which a signal may not.
        self._pipes.end(_EXIT_TIMEOUT_S)
        self._pipes.close()

    def records(self, cancelled: Callable[[], bool]) -> Iterator[Dict[str, Any]]:
        """The child's records as they come. Interrupted once `cancelled` says so; LinkLost for a
        line that is none."""
        lines = Lines()
        while not cancelled():
            chunk = self._pipes.read(_POLL_INTERVAL_S)
            if chunk == b"":
                return
            for line in lines.feed(chunk or b""):
                yield decode(line)
        raise Interrupted("the download was cancelled", "the same command resumes it")

    def exit_error(self) -> MlxopsError:
        """Why there was no last record, in the child's own words."""
        tail = self._pipes.stderr_tail(_POLL_INTERVAL_S)[-_TAIL:]
        status = self._pipes.exit_status()
        said = redact_tokens(tail, os.environ).strip()
        return NotDownloadable(
            "the download process ended with status %s%s" % (status, said and ": " + said[-300:]),
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
