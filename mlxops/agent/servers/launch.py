"""Launch a server: detached, in its own session, and not before it is on record."""

from __future__ import annotations

import os
import subprocess
from typing import Any, BinaryIO, Dict, Mapping, NamedTuple, Optional, Sequence

from ..clock import now
from ..errors import Failed, MlxopsError, write_error
from ..hub.process import TOKEN_PATH, TOKENS
from ..logs import tail as logtail
from ..logs.size import truncate_if_large
from ..procs import Process, Procs
from ..programs.find import search_path
from ..runtimes.secrets import masked
from ..site import log_path, run_folder
from . import marks

# Waits for one line, then becomes the server under the same pid; without the line it exits.
GATE = 'read -r go && [ "$go" = go ] && exec "$@" </dev/null'
LOG_TAIL_LINES = 20
OFFLINE = "HF_HUB_OFFLINE"
# Where Hugging Face's libraries look for models (huggingface_hub/constants.py).
CACHE_VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")


class PendingServer:
    """A server that waits at the gate: its pid is known, but it has not started."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        gate: int,
        process: Process,
        argv: Sequence[str],
        mark: str = "",
    ) -> None:
        self._child = child
        self._gate = gate
        self.process = process
        self.argv = tuple(argv)
        self.mark = mark

    def record(self, who: Mapping[str, Any]) -> Dict[str, Any]:
        """What the registry keeps of it."""
        return {
            "pid": self.process.pid,
            "start_time": self.process.start_time,
            "argv": masked(self.argv),
            "launched_at": now(),
            "launched_by": "%s@%s" % (who.get("who", "?"), who.get("from", "?")),
        }

    def release(self) -> None:
        """Let it start."""
        try:
            os.write(self._gate, b"go\n")
        except OSError:
            # It died at the gate; exited() reports it.
            return
        finally:
            self._close()

    def abort(self) -> None:
        """End it if it is still at the gate."""
        if self._gate >= 0:
            self._close()
            self._child.wait()

    def _close(self) -> None:
        os.close(self._gate)
        self._gate = -1

    def exited(self) -> Optional[int]:
        """Its exit status; None while it is running."""
        return self._child.poll()


class ServerFiles(NamedTuple):
    """A server's working directory and open log. `log_error`: why its output is not logged, "" if
    it is."""

    folder: str
    log: BinaryIO
    log_error: str = ""


def prepare_files(state_dir: str, name: object, spare_file: Optional[str] = None) -> ServerFiles:
    """Prepare the files of a port or a name; the old log is kept as `.1`. `spare_file`: a file with
    reserved space that becomes the log."""
    log, folder = log_path(state_dir, name), run_folder(state_dir, name)
    for made in (os.path.dirname(log), os.path.dirname(folder), folder):
        os.makedirs(made, mode=0o700, exist_ok=True)
    if os.path.exists(log):
        os.replace(log, log + ".1")
        truncate_if_large(log + ".1")
    if spare_file:
        os.replace(spare_file, log)
    return ServerFiles(folder, open(log, "ab"))


def prepare_files_or_discard(
    state_dir: str, name: object, spare: Optional[str] = None
) -> ServerFiles:
    """Like prepare_files; if that fails, discard the output: a server without a log still
    serves."""
    try:
        return prepare_files(state_dir, name, spare)
    except OSError as exc:
        folder = run_folder(state_dir, name)
        return ServerFiles(
            folder if os.access(folder, os.X_OK) else os.sep, open(os.devnull, "ab"), str(exc)
        )


def launch(
    procs: Procs, argv: Sequence[str], env: Mapping[str, str], state_dir: str, name: object
) -> PendingServer:
    """Launch a server that waits at the gate, with the files of its port or name."""
    try:
        where = prepare_files(state_dir, name)
    except OSError as exc:
        raise launch_error(exc, state_dir, name) from exc
    return launch_in(procs, argv, env, where)


def launch_error(exc: OSError, state_dir: str, name: object) -> MlxopsError:
    error = write_error(exc, str(exc.filename or log_path(state_dir, name)))
    return type(error)("cannot start the server: %s" % error.message, error.hint, **error.fields)


def launch_in(
    procs: Procs, argv: Sequence[str], env: Mapping[str, str], where: ServerFiles
) -> PendingServer:
    """Launch a server that waits at the gate; closes its log in this process."""
    inner, gate = os.pipe()
    env = {**_environment(env), marks.VARIABLE: marks.new_mark()}
    try:
        with where.log as out:
            child = subprocess.Popen(
                ["/bin/sh", "-c", GATE, "mlxops-gate", *argv],
                stdin=inner,
                stdout=out,
                stderr=out,
                cwd=where.folder,
                start_new_session=True,
                env=env,
            )
    except (OSError, ValueError) as exc:  # ValueError: a NUL in a word
        os.close(gate)
        raise Failed(
            "cannot start the server: %s" % exc, "check %s on the host" % where.folder
        ) from exc
    finally:
        os.close(inner)
    try:
        return PendingServer(child, gate, _require_process(procs, child), argv, env[marks.VARIABLE])
    except BaseException:
        # No other code knows it: end it here.
        os.close(gate)
        child.wait()
        raise


def _require_process(procs: Procs, child: subprocess.Popen[bytes]) -> Process:
    process = procs.process(child.pid)
    if process is None:
        raise Failed("the server process %d ended immediately" % child.pid)
    return process


def _environment(extra: Mapping[str, str]) -> Dict[str, str]:
    """The environment of a server: this login's without its session and tokens, plus the host
    file's. A server downloads nothing, whatever model a client or an option names, unless the host
    file sets HF_HUB_OFFLINE."""
    # A server reads its model from disk and needs no token for the Hub.
    environment = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith("SSH_") and k not in (*TOKENS, TOKEN_PATH)
    }
    if any(name in extra for name in CACHE_VARIABLES):
        # The login's cache settings would overrule the host file's HF_HOME.
        environment = {k: v for k, v in environment.items() if k not in CACHE_VARIABLES}
    return {**environment, "PATH": search_path(), "PYTHONUNBUFFERED": "1", OFFLINE: "1", **extra}


def log_tail(path: str, lines: int = LOG_TAIL_LINES) -> Sequence[str]:
    """The last lines of a log, [] if there is none."""
    return logtail.tail(path, lines)
