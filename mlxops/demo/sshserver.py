"""A temporary SSH server on loopback, run as a program of its own, without root. Needs asyncssh.

It runs a command as sshd does: under the account's shell with -c, in a session of its own, with a
minimal environment. The three streams are pipes, end of input is passed on, and the exit status or
signal is reported when every process has closed stdout and stderr. If a client vanishes, its
command continues with closed pipes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

BARE_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
LOOPBACK = "127.0.0.1"
CHUNK = 1 << 16

Process = asyncssh.SSHServerProcess[bytes]


@dataclass(frozen=True)
class Account:
    """The account of every login: this user, with a home, a shell and extra environment."""

    home: Path
    shell: str
    extra: dict[str, str] = field(default_factory=dict)

    def argv(self, command: str | None) -> list[str]:
        return [self.shell, "-l"] if command is None else [self.shell, "-c", command]

    def env(self) -> dict[str, str]:
        user = getpass.getuser()
        bare = {
            "HOME": str(self.home),
            "USER": user,
            "LOGNAME": user,
            "SHELL": self.shell,
            "PATH": BARE_PATH,
        }
        return {**bare, **self.extra}


class Server(asyncssh.SSHServer):
    """Accepts this user with the one key."""

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return False


async def run(process: Process, account: Account) -> None:
    """One session: start the command, connect its pipes to the channel, report how it ended."""
    child, outputs = await _spawn(process, account)
    input_copy = asyncio.create_task(_copy_input(process, child))
    await asyncio.gather(
        _copy_output(outputs[0], process.stdout), _copy_output(outputs[1], process.stderr)
    )
    status = await child.wait()
    input_copy.cancel()
    with contextlib.suppress(OSError, asyncssh.Error):
        if status < 0:
            process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
        else:
            process.exit(status)


async def _spawn(
    process: Process, account: Account
) -> tuple[asyncio.subprocess.Process, tuple[int, int]]:
    """Start the command; return the child and the read ends of its stdout and stderr."""
    (our_out, child_out), (our_err, child_err) = os.pipe(), os.pipe()
    try:
        child = await asyncio.create_subprocess_exec(
            *account.argv(process.command),
            stdin=asyncio.subprocess.PIPE,
            stdout=child_out,
            stderr=child_err,
            cwd=account.home,
            env=account.env(),
            start_new_session=True,
        )
    finally:
        os.close(child_out)
        os.close(child_err)
    return child, (our_out, our_err)


async def _copy_input(process: Process, child: asyncio.subprocess.Process) -> None:
    """Copy input until the client ends it or vanishes, or the child stops reading."""
    assert child.stdin is not None
    with contextlib.suppress(OSError, asyncssh.Error), contextlib.closing(child.stdin):
        while chunk := await _read_chunk(process, child):
            child.stdin.write(chunk)
            await child.stdin.drain()


async def _read_chunk(process: Process, child: asyncio.subprocess.Process) -> bytes:
    while True:
        try:
            return await process.stdin.read(CHUNK)
        except asyncssh.SignalReceived as received:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.Signals[f"SIG{received.signal}"])


async def _copy_output(fd: int, sink: asyncssh.SSHWriter[bytes]) -> None:
    """Copy output. If the client vanishes, the pipe is closed, and the child gets EPIPE."""
    source = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(source), os.fdopen(fd, "rb")
    )
    with contextlib.suppress(OSError, asyncssh.Error), contextlib.closing(pipe):
        while chunk := await source.read(CHUNK):
            sink.write(chunk)
            await sink.drain()


async def listen(folder: Path, account: Account) -> asyncssh.SSHAcceptor:
    """Listen on a free port. Write client_key (private) and known_hosts into `folder`."""
    host_key, client_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    _write_private(folder / "client_key", client_key.export_private_key())
    acceptor = await asyncssh.listen(
        LOOPBACK,
        0,
        server_factory=Server,
        server_host_keys=[host_key],
        authorized_client_keys=asyncssh.import_authorized_keys(
            client_key.export_public_key().decode()
        ),
        process_factory=lambda process: run(process, account),
        encoding=None,
        line_editor=False,
        agent_forwarding=False,
        gss_host=None,
    )
    public = host_key.export_public_key().decode()
    (folder / "known_hosts").write_text(f"[{LOOPBACK}]:{acceptor.get_port()} {public}")
    return acceptor


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


async def serve(folder: Path, account: Account) -> None:
    """Listen, print the port, and serve until stdin ends, that is, until the parent is gone."""
    acceptor = await listen(folder, account)
    print(acceptor.get_port(), flush=True)
    stdin_ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stdin_ended.set)
    await stdin_ended.wait()
    acceptor.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="temporary SSH server on loopback")
    parser.add_argument("folder", type=Path, help="folder for client_key and known_hosts")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--shell", default="/bin/sh")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    extra = dict(pair.split("=", 1) for pair in args.env)
    asyncio.run(serve(args.folder, Account(args.home, args.shell, extra)))


if __name__ == "__main__":
    main()
