"""Find a runtime's program on this host, and get its help."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
from typing import Callable, List, Mapping, Optional, Sequence, Tuple

from ..clock import Deadline
from ..errors import Failed
from ..procs.signals import end_session
from ..runtimes.table import Runtime
from ..site import Site
from ..untrusted import read_bounded
from .environment import shebang, site_packages

# An ssh login has PATH=/usr/bin:/bin:/usr/sbin:/sbin, without these.
# install.sh of vllm-metal installs vllm in the last one.
USUAL_FOLDERS = (
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "~/.local/bin",
    "/opt/mlx-launch/.venv/bin",
    "~/.venv-vllm-metal/bin",
)
UV_PROJECT = "/opt/mlx-launch"
UV_HAS = ("mlx-openai-server", "mlx_lm.server")
HELP_TIMEOUT_S = 90.0
POLL_INTERVAL_S = 0.1
# One per version of a runtime, per command line with args, and per model.
MAX_SAVED_ANSWERS = 240
MAX_ANSWER_BYTES = 4 << 20
COMMAND_VARIABLE = "MLX_LAUNCH_CMD"


def search_path() -> str:
    folders = [
        *os.environ.get("PATH", "").split(os.pathsep),
        *map(os.path.expanduser, USUAL_FOLDERS),
    ]
    return os.pathsep.join(dict.fromkeys(f for f in folders if os.path.isabs(f)))


def require_command(
    site: Site, runtime: Runtime, environ: Mapping[str, str] = os.environ
) -> Tuple[str, ...]:
    """The words that start the runtime, before its flags; Failed, with what was tried, if it is not
    installed."""
    command, tried = find_command(site, runtime, environ)
    if command:
        return command
    raise Failed(
        "%s was not found on %s (tried %s)"
        % (runtime.name, site.name, ", ".join(dict.fromkeys(tried))),
        "install it there, or set `command` under [%s] in the host file" % _table(site, runtime),
        runtime=runtime.name,
    )


def find_command(
    site: Site, runtime: Runtime, environ: Mapping[str, str] = os.environ
) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """The words that start the runtime, () if it is not installed, and the programs that were
    tried.

    Failed if the command in the environment cannot be split into words."""
    tried: List[str] = []
    for words in _candidates(site, runtime, environ):
        program = shutil.which(os.path.expanduser(words[0]), path=search_path())
        if program:
            return (program, *words[1:]), ()
        tried.append(words[0])
    return (), tuple(tried)


def _table(site: Site, runtime: Runtime) -> str:
    """The table of the host file that configures the runtime."""
    return "runtime" if runtime.name == site.runtime else 'runtimes."%s"' % runtime.name


def _candidates(site: Site, runtime: Runtime, environ: Mapping[str, str]) -> List[Tuple[str, ...]]:
    own = runtime.name == site.runtime
    if own and environ.get(COMMAND_VARIABLE, "").strip():
        return [_words(environ[COMMAND_VARIABLE])]
    if own and site.command:
        return [site.command]
    if runtime.name in site.commands:
        return [site.commands[runtime.name]]
    uv = (
        [("uv",), ("/opt/homebrew/bin/uv",)]
        if runtime.name in UV_HAS and os.path.isdir(UV_PROJECT)
        else []
    )
    return [*runtime.forms, *((*u, "run", "--project", UV_PROJECT, *runtime.forms[0]) for u in uv)]


def _words(command: str) -> Tuple[str, ...]:
    try:
        return tuple(shlex.split(command))
    except ValueError:
        text = "unbalanced quote in %s: %s" % (COMMAND_VARIABLE, command)
        raise Failed(
            text, "correct %s in the login environment of the host" % COMMAND_VARIABLE
        ) from None


def help_text(
    runtime: Runtime,
    words: Sequence[str],
    state_dir: str,
    say: Callable[[str], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
    fresh: bool = False,
) -> str:
    """The help of the program, cached until its file changes, as running it takes seconds.

    `check` is called while it runs, and may raise to cancel. `fresh`: run it even if the help is
    cached, to see that it starts."""
    command = [*words, *runtime.help]
    path = answer_path(state_dir, fingerprint(command))
    text = None if fresh else read_answer(path)
    if text is None:
        name = os.path.basename(words[0])
        say(("checking that %s starts" if fresh else "reading the options of %s") % name)
        text = _run_help(command, check)
        save_answer(path, text)
    return text


def answer_path(state_dir: str, key: str) -> str:
    """The file that caches an answer of a program."""
    return os.path.join(state_dir, "help", key + ".txt")


def fingerprint(words: Sequence[str]) -> str:
    parts = list(words)
    for path in [
        words[0],
        os.path.realpath(words[0]),
        *shebang(words[0])[:1],
        os.path.join(UV_PROJECT, "uv.lock"),
    ]:
        try:
            was = os.stat(path)
            parts += [path, str(was.st_mtime_ns), str(was.st_size)]
        except OSError:
            parts += [path, "gone"]
    # All packages of its environment, by name and version: without one it may not start.
    for folder in site_packages(words):
        parts += sorted(name for name in os.listdir(folder) if name != "__pycache__")
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _run_help(words: Sequence[str], check: Callable[[], None]) -> str:
    try:
        status, output = run_program(words, check)
    except (OSError, subprocess.TimeoutExpired) as exc:
        python = "".join(shebang(words[0])[:1])
        if os.path.isabs(python) and not os.access(python, os.X_OK):
            text = "%s cannot start: its interpreter %s is missing or not executable" % (
                words[0],
                python,
            )
            raise Failed(text, "reinstall the runtime on the host", path=python) from exc
        raise Failed(
            "`%s` failed: %s" % (shlex.join(words), exc), "run it on the host to see why"
        ) from exc
    text = output.decode("utf-8", "replace")
    if status != 0 or "--port" not in text:
        raise Failed(
            "`%s` does not show the help of a model server (status %d%s)"
            % (shlex.join(words), status, _last(text)),
            "run it on the host to see why",
            output=text[-2000:],
        )
    return text


def run_program(
    words: Sequence[str], check: Callable[[], None], timeout_s: float = HELP_TIMEOUT_S
) -> Tuple[int, bytes]:
    """Run a program: its exit status, and its stdout and stderr together. It gets its own session,
    so that a cancel ends its children too."""
    deadline = Deadline(timeout_s)
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "200"},
        start_new_session=True,
    ) as child:
        try:
            while True:
                check()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    output, _ = child.communicate(timeout=min(POLL_INTERVAL_S, deadline.left()))
                    return child.returncode, output
                if deadline.passed:
                    raise subprocess.TimeoutExpired(list(words), timeout_s)
        finally:
            if child.poll() is None:
                end_session(child.pid)


def _last(text: str) -> str:
    """The last line of output, such as the name of a missing module."""
    lines = text.strip().splitlines()
    return ": " + lines[-1][-200:] if lines else ""


def read_answer(path: str) -> Optional[str]:
    raw = read_bounded(path, MAX_ANSWER_BYTES)
    return None if raw is None else raw.decode("utf-8", "replace")


def save_answer(path: str, text: str) -> None:
    # A name of its own: another check may save the same answer at this moment.
    draft = "%s.%s.tmp" % (path, os.urandom(6).hex())
    # The cache only saves time.
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        try:
            with open(draft, "w", encoding="utf-8") as f:
                f.write(text)
            os.replace(draft, path)
        finally:
            # On a full disk it would stay.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
        for old in surplus_answers(os.path.dirname(path)):
            os.unlink(old)


def surplus_answers(folder: str) -> List[str]:
    """The cached answers other than the newest `MAX_SAVED_ANSWERS`."""
    answers = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".txt")]
    return sorted(answers, key=os.path.getmtime)[:-MAX_SAVED_ANSWERS]
