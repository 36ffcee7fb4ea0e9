"""How soon a dead link is noticed where packets really get lost: client, router and host in three
network namespaces.

python -m tests.bench.blackhole

Linux, as root; nothing outside the namespaces is touched. The router stops forwarding, which tells
nobody anything. Seconds from that moment, and what was to be seen there."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from mlxops import transport
from mlxops.agent.errors import MlxopsError
from mlxops.demo.loopback import Login
from mlxops.demo.tinymodel import model_files
from mlxops.transport.connect import QuickSocket, tune_socket
from tests.support.clientside import frame, host_for
from tests.support.fakeruntime import FakeRuntime
from tests.support.fakeserver import CHAT
from tests.support.heldloads import agents
from tests.support.sshd import Sshd
from tests.support.studio import Studio, eventually, finished
from tests.support.watching import job

CLIENT, CLIENTS_ROUTER, HOSTS_ROUTER, HOST = "10.77.1.2", "10.77.1.1", "10.77.2.1", "10.77.2.2"
FORWARD = "/proc/sys/net/ipv4/ip_forward"
INSIDE = "--inside"


def ip(words: str, pid: int | None = None) -> None:
    """The ip command, here or in the network namespace of a process."""
    there = ["nsenter", "-t", str(pid), "-n"] if pid else []
    subprocess.run([*there, "ip", *words.split()], check=True)


class Network:
    """This process is the client; the router and the host are two more namespaces, gone with their
    process."""

    def __init__(self, host: subprocess.Popen[str]) -> None:
        # A shell that writes what it is told into the router's own switch.
        orders = f"while read -r word; do echo $word > {FORWARD}; echo done; done"
        self._router = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", orders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.forward(False)
        router = self._router.pid
        ip("link set lo up")
        ip(f"link add c0 type veth peer name r0 netns {router}")
        ip(f"link add r1 netns {router} type veth peer name h0 netns {host.pid}")
        for pid, name, address in (
            (None, "c0", CLIENT),
            (router, "r0", CLIENTS_ROUTER),
            (router, "r1", HOSTS_ROUTER),
            (host.pid, "h0", HOST),
        ):
            ip(f"addr add {address}/24 dev {name}", pid)
            ip(f"link set {name} up", pid)
        ip("link set lo up", host.pid)
        ip(f"route add default via {CLIENTS_ROUTER}")
        ip(f"route add default via {HOSTS_ROUTER}", host.pid)
        self.forward(True)

    def forward(self, on: bool) -> None:
        assert self._router.stdin and self._router.stdout
        self._router.stdin.write(f"{int(on)}\n")
        self._router.stdin.flush()
        self._router.stdout.readline()

    @contextmanager
    def dark(self) -> Iterator[float]:
        """Inside, nothing comes through; the moment it began."""
        self.forward(False)
        try:
            yield time.monotonic()
        finally:
            self.forward(True)

    def close(self) -> None:
        for stream in (self._router.stdin, self._router.stdout):
            assert stream
            stream.close()
        self._router.wait()


def be_the_host(folder: Path) -> None:
    """An sshd, and a port that takes everything; runs in the host's namespace until stdin ends."""
    sys.stdin.readline()
    server = Sshd(folder)
    with server.config.open("a") as config:
        config.write(f"ListenAddress {HOST}:{server.port}\n")
    with socket.create_server((HOST, 0)) as sink, server:
        threading.Thread(target=swallow, args=(sink,), daemon=True).start()
        print(server.port, sink.getsockname()[1], flush=True)
        sys.stdin.read()


def swallow(sink: socket.socket) -> None:
    kept = []
    while True:
        kept.append(sink.accept()[0])
        threading.Thread(
            target=lambda taken=kept[-1]: iter(lambda: taken.recv(1 << 16), b""), daemon=True
        ).start()


def seconds_until_fault(since: float, work: Callable[[], object]) -> str:
    try:
        while True:
            work()
    except (OSError, MlxopsError) as exc:
        return f"{time.monotonic() - since:5.1f} s  {type(exc).__name__}: {exc}"


def a_tuned_socket(network: Network, sink: int) -> None:
    """What the kernel alone does, by the options that every connection of ours has."""
    for words, work in (
        ("idle", lambda s: s.recv(1)),
        ("sending", lambda s: (s.send(b"x"), time.sleep(0.5))),
    ):
        with QuickSocket() as sock:
            tune_socket(sock)
            sock.connect((HOST, sink))
            sock.send(b"x")
            time.sleep(1)
            with network.dark() as since:
                print(
                    f"the kernel alone, {words:24}",
                    seconds_until_fault(since, lambda s=sock, w=work: w(s)),
                    flush=True,
                )


def a_connection(network: Network, login: Login, folder: Path) -> None:
    """Opening, and sending more than any buffer holds."""
    way = {
        "user": login.user,
        "port": login.port,
        "identity_file": login.identity_file,
        "known_hosts_file": login.known_hosts_file,
        "host": login.host,
    }
    host = host_for(None, folder / "elsewhere")
    host = replace(host, transport="ssh", ssh=replace(host.ssh, **way))
    opening = transport.open_for(host)
    opening._pending.result()  # type: ignore[attr-defined]
    with network.dark() as since:
        print(
            f"{'opening a connection':42}",
            seconds_until_fault(since, lambda: opening.open(None)),
            flush=True,
        )
    link = transport.open_for(host).open(None)
    link.send(frame(b"while f.read(1<<16): pass"))
    link.send(bytes(1 << 20))
    with network.dark() as since:
        print(
            f"{'sending a lot':42}",
            seconds_until_fault(since, lambda: link.send(bytes(1 << 20))),
            flush=True,
        )
    link.close()


def whole_commands(network: Network, login: Login, folder: Path) -> None:
    """A read and a load that waits, both as a person starts them; then the load is found again."""
    runtime = FakeRuntime(folder / "bin")
    studio = Studio(
        folder / "studio", login, {"name": "mlx-openai-server", "command": runtime.command}
    )
    for name in ("amber", "jade"):
        studio.add(f"tiny/{name}", model_files([name]))
    studio.must("init")
    studio.must("load", "amber", studio.ports[0])
    runtime.behaves("tiny--jade", hang=[CHAT])
    clients = {
        "load, in wait": studio.start("--json", "load", "jade", studio.ports[1]),
        "logs -f": studio.start("--json", "logs", studio.ports[0], "-f"),
    }
    held = job(studio, studio.ports[1], "wait")
    eventually(lambda: len(agents(studio)) == 2)
    reading = agents(studio) - {held["pid"]}
    with network.dark() as since:
        watch(
            {
                **{f"{name}: the client": ended(client) for name, client in clients.items()},
                "logs -f: the agent": lambda: not reading & agents(studio),
            },
            since,
        )
    assert agents(studio) == {held["pid"]}, "the load did not go on"
    for client in clients.values():
        print(" ", finished(client).error["hint"])
    runtime.behaves("tiny--jade")
    print("followed after that:", studio.must("follow", held["job"])["state"], flush=True)
    studio.must("unload-all")


def ended(client: subprocess.Popen[str]) -> Callable[[], bool]:
    return lambda: client.poll() is not None


def watch(ends: dict[str, Callable[[], bool]], since: float) -> None:
    """Print when each comes true."""
    left = dict(ends)
    while left:
        for name in [name for name, over in left.items() if over()]:
            print(f"{name:42} {time.monotonic() - since:5.1f} s", flush=True)
            del left[name]
        time.sleep(0.05)


def measure(folder: Path) -> None:
    argv = [
        "unshare",
        "--net",
        sys.executable,
        "-m",
        "tests.bench.blackhole",
        "--host",
        str(folder / "sshd"),
    ]
    pipe = subprocess.PIPE
    with ExitStack() as ends:
        # Ctrl-C reaches this process alone, which then ends the host and the router.
        host = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        ends.callback(host.communicate)
        assert host.stdin and host.stdout
        network = Network(host)
        ends.callback(network.close)
        host.stdin.write("begin\n")
        host.stdin.flush()
        port, sink = map(int, host.stdout.readline().split())
        known = folder / "sshd" / "known_hosts"
        known.write_text(known.read_text().replace("127.0.0.1", HOST))
        login = Login(HOST, port, "root", str(folder / "sshd" / "client_key"), str(known))
        a_tuned_socket(network, sink)
        a_connection(network, login, folder)
        whole_commands(network, login, folder)


def parsed() -> argparse.Namespace:
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.blackhole", description=__doc__, formatter_class=text
    )
    parser.add_argument("--host", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(INSIDE, dest="inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if options.host:
        return be_the_host(options.host)
    if sys.platform != "linux" or os.geteuid() != 0:
        sys.exit("cannot run here: network namespaces need Linux and root")
    if not options.inside:
        os.execvp(
            "unshare", ["unshare", "--net", sys.executable, "-m", "tests.bench.blackhole", INSIDE]
        )
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        measure(Path(folder))


if __name__ == "__main__":
    main()
