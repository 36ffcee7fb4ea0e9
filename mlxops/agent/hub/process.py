"""Runs the child process that talks to the Hub, and makes sure that it ends."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, Callable, Dict, Iterator, Mapping, Sequence

from ..errors import Interrupted, LinkLost, MlxopsError, NotDownloadable
from ..untrusted import read_bounded
from ..wire.bootstrap import read_part
from ..wire.child import ChildPipes
from ..wire.codec import Lines, decode, encode, frame

# Environment variables with a token for the Hub.
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
# The variable that names a file with one.
TOKEN_PATH = "HF_TOKEN_PATH"
_CHILD, _GUARD = "hub/child.py", "hub/guard.py"
_SHOWN = os.path.join(os.path.dirname(os.path.dirname(str(__spec__.origin))), _CHILD)
# Reads the modules from stdin, before the request: they may not exist as files. Keeps the cwd off
# sys.path.
_LOADER = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; p, f = sys.argv[1], sys.stdin.buffer; "
    "m = sys.modules['hub_guard'] = type(sys)('hub_guard'); "
    "exec(compile(f.read(int(f.readline())), 'hub_guard', 'exec'), m.__dict__); "
    "exec(compile(f.read(int(f.readline())), p, 'exec'), {'__name__': '__main__'})"
)
_POLL_INTERVAL_S = 0.1
_EXIT_TIMEOUT_S = 3.0
_TAIL = 4000
MAX_TOKEN_BYTES = 4096


def environment(host: Mapping[str, str], cache_dir: str) -> Dict[str, str]:
    """The host's login environment (HF_ENDPOINT, HF_TOKEN, proxies), with the token file beside the
    cache if it has none.

    Variables of the host file, such as HF_HUB_OFFLINE, are for servers and not included."""
    env = dict(host, HF_HUB_DISABLE_TELEMETRY="1", PYTHONUNBUFFERED="1")
    if any(env.get(name) for name in (*TOKENS, TOKEN_PATH, "HF_HOME")):
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
            return {**env, TOKEN_PATH: place}
    return env


def redact_tokens(text: str, env: Mapping[str, str]) -> str:
    """The text with the tokens of the environment, and of the file that it names, masked."""
    file = read_bounded(env.get(TOKEN_PATH) or "", MAX_TOKEN_BYTES) or b""
    for token in (*map(env.get, TOKENS), file.decode("utf-8", "replace").strip()):
        text = text.replace(token or "\0", "***")
    return text


class HubProcess:
    """One request to the Hub, as a context manager: the child has ended when it exits."""

    def __init__(self, python: Sequence[str], request: Mapping[str, Any]) -> None:
        cache_dir = str(request["cache_dir"])
        try:
            self._pipes = ChildPipes(
                [*python, "-c", _LOADER, _SHOWN], cwd="/", env=environment(os.environ, cache_dir)
            )
        except (OSError, ValueError) as exc:
            raise NotDownloadable(
                "cannot start %s: %s" % (python[0], exc), "correct hub_python in the host file"
            ) from exc
        text = frame(read_part(_GUARD)) + frame(read_part(_CHILD))
        self._input = text + encode(dict(request))

    def __enter__(self) -> HubProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        # The end of its stdin reaches the Python behind `uv run`, which a signal may not.
        self._pipes.end(_EXIT_TIMEOUT_S)
        self._pipes.close()

    def records(self, cancelled: Callable[[], bool]) -> Iterator[Dict[str, Any]]:
        """Yield the child's records. Interrupted once `cancelled` returns True; LinkLost for an
        invalid line."""

        def check() -> None:
            if cancelled():
                raise Interrupted(
                    "the download was cancelled", "run the same command again to resume"
                )

        # A child that has ended already says why on its stderr.
        with suppress(BrokenPipeError):
            self._pipes.write(self._input, check)
        lines = Lines()
        while True:
            check()
            chunk = self._pipes.read(_POLL_INTERVAL_S)
            if chunk == b"":
                return
            for line in lines.feed(chunk or b""):
                yield decode(line)

    def exit_error(self) -> MlxopsError:
        """The error for a child that ended without a last record, with its stderr."""
        tail = self._pipes.stderr_tail(_POLL_INTERVAL_S)[-_TAIL:]
        status = self._pipes.exit_status()
        stderr = redact_tokens(tail, os.environ).strip()
        return NotDownloadable(
            "the download process ended with status %s%s"
            % (status, stderr and ": " + stderr[-300:]),
            "run the same command again to resume",
            status=status,
            stderr=stderr,
        )


def request_hub(
    python: Sequence[str],
    request: Mapping[str, Any],
    on_event: Callable[[Dict[str, Any]], None],
    cancelled: Callable[[], bool],
) -> Dict[str, Any]:
    """The last record of one request; earlier events go to `on_event`. NotDownloadable if there is
    none."""
    with HubProcess(python, request) as hub:
        try:
            for record in hub.records(cancelled):
                if "event" not in record:
                    return record
                on_event(record)
        except LinkLost as exc:
            raise NotDownloadable(
                "invalid output of the download process: %s" % exc,
                "check hub_python in the host file",
            ) from exc
        raise hub.exit_error()
