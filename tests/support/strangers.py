"""Foreign processes, for tests that prove that mlxops never touches them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = str(Path(__file__).parents[2])
NOBODY = 65534
# Arguments: journal, user or -, manner, address, port. Records every signal that can be caught, and
# continues.
LISTENER = f"""
import os, signal, socket, sys, threading, time
sys.path.insert(0, {HERE!r})
from tests.support import rudeness
journal, user, manner, address, port = sys.argv[1:6]
out = open(journal, "a", buffering=1)
def note(signum, _):
    out.write("%d got signal %d\\n" % (os.getpid(), signum))
untouched = {{signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGCHLD}}
for number in signal.valid_signals() - untouched:
    signal.signal(number, note)
if user != "-":
    os.setgid(int(user)); os.setuid(int(user))
server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((address, int(port)))
server.listen(0 if manner == "deaf" else 50)
def serve(link):
    try:
        link.settimeout(5)
        link.recv(65536)
        rudeness.answer(manner, link.sendall)
    except OSError:
        pass
    link.close()
kept = []
while manner == "deaf" and len(kept) < 5:
    kept.append(socket.socket(server.family))
    kept[-1].setblocking(False)
    kept[-1].connect_ex((address, int(port)))
print("listening", flush=True)
while manner == "deaf":
    time.sleep(1)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


class Strangers:
    """A context manager that checks at its end that every one of them is alive and received no
    signal, then ends them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journal = folder / "signals"
        self._journal.touch(mode=0o666)
        self._journal.chmod(0o666)
        self._begun: list[subprocess.Popen[bytes]] = []

    def run(self, *argv: object, **popen: Any) -> int:
        """Start any program, with a standard input that never ends; its pid."""
        pipes: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.DEVNULL,
        }
        process = subprocess.Popen(list(map(str, argv)), cwd=self._folder, **{**pipes, **popen})
        self._begun.append(process)
        return process.pid

    def listen(
        self, port: int, address: str = "127.0.0.1", manner: str = "closes", user: int | None = None
    ) -> int:
        """A listener with one of the manners of `rudeness`, or `deaf`: its accept queue is full.
        Its pid."""
        words = [self._journal, "-" if user is None else user, manner, address, port]
        pid = self.run(sys.executable, "-IS", "-c", LISTENER, *words)
        said = self._begun[-1].stdout
        assert said is not None and said.readline() == b"listening\n", (
            f"no listener on {address} {port}"
        )
        return pid

    def harmed(self) -> list[str]:
        """What was done to them, one sentence each."""
        gone = [f"{p.args} ended with {p.returncode}" for p in self._begun if p.poll() is not None]
        stopped = [
            f"{p.args} is stopped" for p in self._begun if p.poll() is None and _state(p.pid) == "T"
        ]
        return [*gone, *stopped, *self._journal.read_text().splitlines()]

    def __enter__(self) -> Strangers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        harmed = self.harmed()
        for process in self._begun:
            process.kill()
            process.communicate()
        assert exc is not None or not harmed, harmed


def _state(pid: int) -> str:
    """One letter as in ps, "" if it is gone."""
    done = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True)
    return done.stdout.strip()[:1]


def can_be_others() -> bool:
    return os.getuid() == 0
