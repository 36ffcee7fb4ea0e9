"""Errors of an agent that did not start: its interpreter, the login or the state folder. Nothing
was done on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .agent.errors import Failed, HostUnreachable, LinkLost, MlxopsError

if TYPE_CHECKING:
    from .hosts.files import Host
    from .transport import Link

NOT_STARTABLE = (126, 127)
# The message of Python 2, and of Python 3 before 3.4, for the flag -I.
NO_ISOLATION = "Unknown option: -I"
MAX_QUOTE = 200


def stub_error(host: Host, word: str, text: str) -> MlxopsError:
    """The error for the stub's answer: OLD with version and path, or FAIL with a reason."""
    if word == "OLD":
        version, _, path = text.partition(" ")
        message = f"{path} on {host.name} is Python {version}; the agent needs 3.9 or later"
        return Failed(message, _newer(host), version=version, python=path)
    if "does not load" in text:
        return Failed(f"{host.name}: {text}", f"if that Python is damaged, {_newer(host)}")
    return Failed(f"{host.name}: {text}", "run it again; if it fails again: mlxops doctor")


def ended_error(host: Host, link: Link, printed: bytes) -> MlxopsError:
    """The error for a link that ended before the agent started. `printed`: its stdout so far."""
    status, stderr = link.exit_status(), link.stderr_tail()
    facts = {"exit_status": status, "stderr": stderr}
    python = host.python or "python3"
    if NO_ISOLATION in stderr:
        message = (
            f"{python} on {host.name} is Python 2, or 3 before 3.4; the agent needs 3.9 or later"
        )
        return Failed(message, _newer(host), python=python, **facts)
    last = key_line(stderr) or key_line(printed.decode("utf-8", "replace"))
    if status in NOT_STARTABLE:
        hint = f"install it, or correct python under [studio] in {host.path}"
        return HostUnreachable(
            f"{python} cannot be started on {host.name}: {last}".rstrip(": "), hint, **facts
        )
    if status is None:
        message = f"the link to {host.name} broke before the agent started: {last}"
        return LinkLost(message.rstrip(": "), "nothing was done on the host; run it again", **facts)
    message = f"{python} on {host.name} ended without an answer (exit status {status}): {last}"
    return LinkLost(message.rstrip(": "), _examine(host), **facts)


def silence_error(host: Host, what: str, printed: bytes) -> LinkLost:
    """The error for a host that is connected and does not start the agent."""
    last = key_line(printed.decode("utf-8", "replace"))
    message = f"{host.name} {what}" + (f"; its last output was: {last}" if last else "")
    return LinkLost(message, _examine(host))


def key_line(text: str) -> str:
    """The most informative line: the last one with an error, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line or "error" in line]
    return (errors or lines or [""])[-1][:MAX_QUOTE]


def _newer(host: Host) -> str:
    return f'set a newer one: python = "/path/to/python3" under [studio] in {host.path}'


def _examine(host: Host) -> str:
    """A command that shows what the login and the interpreter do."""
    command = f"{host.python or 'python3'} -c pass"
    if host.transport == "ssh":
        command = f"ssh {host.ssh.host} {command}"
    return f"nothing was done on the host; check that this works: {command}; or {_other(host)}"


def _other(host: Host) -> str:
    return f"set another Python: python under [studio] in {host.path}"
