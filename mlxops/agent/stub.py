"""What runs first on the host: finds the cached agent and starts it, or asks for it.

Sent as text with every command and compiled there each time, so it stays small and knows nothing it needs only on a
miss (that is `unpack`). It must still compile on an interpreter that is too old, to say so: no `from __future__`.

Every answer is one line behind the marker that only this call knows: OK, MISS, OLD version path, FAIL text.
Exit statuses of the stages: 70 too old, 71 folder refused, 72 cannot be written, 73 bundle damaged, 74 agent damaged.
"""

import io
import os
import signal
import stat
import sys

OLDEST = (3, 9)


def fault(folder: str, ours: bool) -> str:
    """Why code below this folder could be another user's, or nothing. OSError when it cannot be looked at."""
    seen = os.lstat(folder)
    if not stat.S_ISDIR(seen.st_mode):
        return folder + " is not a folder of its own (a link, or a file)"
    if seen.st_uid != os.geteuid() and (ours or seen.st_uid != 0):
        return "%s belongs to user id %d" % (folder, seen.st_uid)
    if seen.st_mode & 0o022 and (ours or not seen.st_mode & stat.S_ISVTX):
        return "%s can be written by others (mode %o)" % (folder, seen.st_mode & 0o7777)
    return ""


def ancestors(folder: str) -> list:  # type: ignore[type-arg]
    """The folders above, nearest first."""
    above = os.path.dirname(folder)
    return [] if above == folder else [above, *ancestors(above)]


def refusal(state: str, root: str) -> str:
    """Why the cached agent must not be trusted, or nothing. FileNotFoundError when there is none."""
    for folder in ancestors(state):
        if os.path.lexists(folder) and fault(folder, False):
            return fault(folder, False)
    for folder in (state, os.path.dirname(root), root):
        if fault(folder, True):
            return fault(folder, True)
    return ""


def state_folder(written: str) -> str:
    """The folder meant, with the links above it followed but not itself: a link there is refused later."""
    path = os.path.abspath(os.path.expanduser(written))
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


class Refused(Exception):
    """Exit status of the stage, and a text for the person at the other end."""


class Call:
    """One command: where the answers go, and the agent it wants."""

    def __init__(self, source: io.BufferedReader, wire: int) -> None:
        self.source = source
        self.wire = wire
        head = self.source.readline().decode("utf-8").rstrip("\n")
        self.marker, self.digest, written = head.split(" ", 2)
        self.request = self.frame()
        self.state = state_folder(written)
        self.root = os.path.join(self.state, "agent", self.digest)

    def frame(self) -> bytes:
        return self.source.read(int(self.source.readline()))

    def say(self, text: str) -> None:
        os.write(self.wire, ("%s %s\n" % (self.marker, text.replace("\n", " "))).encode("utf-8", "backslashreplace"))

    def cached(self) -> bool:
        """Whether the agent is here and to be trusted; Refused when something hostile is in its place."""
        try:
            why = refusal(self.state, self.root)
        except FileNotFoundError:
            return False
        except OSError as exc:
            why = str(exc)
        if why:
            raise Refused(71, "will not run code from there: " + why)
        return True

    def fetch(self) -> None:
        """Take the agent from the client and put it in its place."""
        self.say("MISS")
        unpack = {"__name__": "unpack"}
        exec(self.frame(), unpack)
        unpack["install"](self.frame(), self.root, Refused)  # type: ignore[operator]
        if not self.cached():
            raise Refused(72, self.root + " vanished while it was written")

    def start(self) -> object:
        """The agent's entry point; it is fetched first when it is not here or does not load."""
        if not self.cached():
            self.fetch()
        sys.path.insert(0, self.root)
        try:
            return self.load()
        except Exception:
            # A power cut can leave whole files empty behind a durable rename.
            for name in [name for name in sys.modules if name.split(".")[0] == "agent"]:
                del sys.modules[name]
            self.fetch()
        try:
            return self.load()
        except Exception as exc:
            raise Refused(74, "the agent does not load: %s: %s" % (type(exc).__name__, exc)) from None

    def load(self) -> object:
        from agent.main import run  # type: ignore

        os.utime(self.root)
        return run


def main(source: io.BufferedReader) -> None:
    """Serve the call on this stdin. What children print to stdout goes to stderr: stdout is the wire."""
    wire = os.dup(1)
    os.dup2(2, 1)
    call = Call(source, wire)
    try:
        if sys.version_info < OLDEST:
            call.say("OLD %d.%d.%d %s" % (*sys.version_info[:3], sys.executable))
            os._exit(70)
        run = call.start()
    except Refused as exc:
        call.say("FAIL " + exc.args[1])
        os._exit(exc.args[0])
    # Set by the loader, for the case that the rest never comes. It is all here.
    signal.alarm(0)
    call.say("OK")
    run(call.request, call.source, wire)  # type: ignore


if __name__ == "__main__":
    main(sys.stdin.buffer)  # type: ignore[arg-type]
