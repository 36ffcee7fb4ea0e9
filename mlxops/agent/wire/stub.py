"""The first code that runs on the host: starts the cached agent, or requests it from the client.

Sent as text with every call and compiled each time, so it stays small; `unpack` holds what only a
miss needs. It must compile on a Python that is too old, to report that: no `from __future__`.

The cached agent is one file. Its checksum is verified before any of it runs, and all modules are
imported from memory, so later changes on the disk have no effect. If the file is missing, damaged
or not safe to use, the client sends the agent, which then runs even if it cannot be cached.

Each answer is one line after a marker that only this call knows: OK, MISS, OLD version path, FAIL
text. Exit statuses: 70 Python too old, 73 bundle damaged, 74 agent does not load."""

import _imp
import io
import marshal
import os
import signal
import stat
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER

OLDEST = (3, 9)
# Bytecode depends on the Python version.
IMAGE = "agent.%s-%d.%d" % (sys.implementation.name, sys.version_info[0], sys.version_info[1])
CHECKSUM_BYTES = 8


def folder_fault(folder: str, ours: bool) -> str:
    """Why another user could change code below this folder, or ""; OSError if unreadable."""
    seen = os.lstat(folder)
    if not stat.S_ISDIR(seen.st_mode):
        return folder + " is not a folder of its own (a link, or a file)"
    if seen.st_uid != os.geteuid() and (ours or seen.st_uid != 0):
        return "%s belongs to user id %d" % (folder, seen.st_uid)
    if seen.st_mode & 0o022 and (ours or not seen.st_mode & stat.S_ISVTX):
        return "%s can be written by others (mode %o)" % (folder, seen.st_mode & 0o7777)
    return ""


def ancestors(folder: str) -> list:  # type: ignore[type-arg]
    """The parent folders, nearest first."""
    above = os.path.dirname(folder)
    return [] if above == folder else [above, *ancestors(above)]


def first_fault(folders: list) -> str:  # type: ignore[type-arg]
    """The first fault of (folder, must be private) pairs, or ""; missing folders are fine."""
    try:
        for folder, ours in folders:
            if os.path.lexists(folder) and folder_fault(folder, ours):
                return folder_fault(folder, ours)
    except OSError as exc:
        return str(exc)
    return ""


def state_folder(written: str) -> str:
    """The absolute path. Links above it are followed; a link as its last part is refused later."""
    path = os.path.abspath(os.path.expanduser(written))
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def seal(digest: str, modules: dict, payload: bytes) -> bytes:  # type: ignore[type-arg]
    """An image: checksum, agent hash, bytecode magic, bytecode by path, compressed bundle."""
    body = marshal.dumps((digest, MAGIC_NUMBER, modules, payload), 2)
    return _imp.source_hash(0, body) + body


def unseal(image: bytes) -> tuple:  # type: ignore[type-arg]
    """The arguments of `seal`, with the magic; ValueError if the image is damaged."""
    body = memoryview(image)[CHECKSUM_BYTES:]
    if not body or _imp.source_hash(0, body) != image[:CHECKSUM_BYTES]:
        raise ValueError("damaged")
    return marshal.loads(body)  # type: ignore[no-any-return]


class Agent:
    """Imports the agent from memory. `payload`: the compressed bundle. `state`: its state folder;
    `distrust`: why that is unsafe; `unkept`: why the agent was not cached."""

    def __init__(self, digest: str, modules: dict, payload: bytes) -> None:  # type: ignore[type-arg]
        self.digest = digest
        self.modules = modules
        self.payload = payload
        self.state = self.distrust = self.unkept = ""

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        place = name.replace(".", "/")
        for origin, package in ((place + "/__init__.py", True), (place + ".py", False)):
            if origin in self.modules:
                return ModuleSpec(name, self, origin=origin, is_package=package)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: object) -> None:
        """None selects an ordinary module."""

    def exec_module(self, module: object) -> None:
        exec(marshal.loads(self.modules[module.__spec__.origin]), module.__dict__)  # type: ignore[attr-defined]


class StageFailed(Exception):
    """Exit status of the stage, and a text for the user."""


class Call:
    """One call: its input, its output and the agent it requests."""

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
        os.write(
            self.wire,
            ("%s %s\n" % (self.marker, text.replace("\n", " "))).encode(
                "utf-8", "backslashreplace"
            ),
        )

    def agent(self) -> Agent:
        """The cached agent, else the one that the client sends."""
        distrust = first_fault(
            [*((folder, False) for folder in ancestors(self.state)), (self.state, True)]
        )
        unkept = distrust or first_fault([(os.path.dirname(self.root), True), (self.root, True)])
        agent = (None if unkept else self.cached()) or self.fetched(unkept)
        agent.state, agent.distrust = self.state, distrust
        return agent

    def cached(self) -> "Agent | None":
        """The cached agent; None if missing or damaged."""
        try:
            with open(os.path.join(self.root, IMAGE), "rb") as file:
                digest, magic, modules, payload = unseal(file.read())
        except (OSError, ValueError):
            return None
        if (digest, magic) != (self.digest, MAGIC_NUMBER):
            return None
        # contextlib is slow to import.
        try:  # noqa: SIM105
            os.utime(self.root)
        except OSError:
            pass
        return Agent(digest, modules, payload)

    def fetched(self, unkept: str) -> Agent:
        """The agent from the client, cached for the next call unless `unkept` says why not."""
        self.say("MISS")
        unpack = {"__name__": "unpack"}
        exec(self.frame(), unpack)
        payload = self.frame()
        modules = unpack["compile_bundle"](payload, self.digest, StageFailed)  # type: ignore[operator]
        agent = Agent(self.digest, modules, payload)
        keep = unpack["cache_image"]
        agent.unkept = unkept or keep(seal(self.digest, modules, payload), self.root, IMAGE)  # type: ignore[operator]
        return agent

    def start(self) -> object:
        """The agent's entry point."""
        sys.meta_path.insert(0, self.agent())  # type: ignore[arg-type]
        try:
            from agent.main import run  # type: ignore
        except Exception as exc:
            raise StageFailed(
                74, "the agent does not load: %s: %s" % (type(exc).__name__, exc)
            ) from None
        return run


def main(source: io.BufferedReader) -> None:
    """Serve the call on this stdin. Only records go to stdout: children print to stderr."""
    wire = os.dup(1)
    os.dup2(2, 1)
    call = Call(source, wire)
    try:
        if sys.version_info < OLDEST:
            call.say("OLD %d.%d.%d %s" % (*sys.version_info[:3], sys.executable))
            os._exit(70)
        run = call.start()
    except StageFailed as exc:
        call.say("FAIL " + exc.args[1])
        os._exit(exc.args[0])
    # The loader set an alarm in case the request never arrives.
    signal.alarm(0)
    call.say("OK")
    run(call.request, call.source, wire)  # type: ignore


if __name__ == "__main__":
    main(sys.stdin.buffer)  # type: ignore[arg-type]
