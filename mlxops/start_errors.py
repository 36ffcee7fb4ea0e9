"""Why the agent did not start on a host: its interpreter, its login, its state folder. Nothing was
done there then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .agent.errors import Failed, HostUnreachable, LinkLost, MlxopsError

if TYPE_CHECKING:
    from .hosts.files import Host
    from .transport import Link

NOT_STARTABLE = (126, 127)
# How Python 2, and Python 3 before 3.4, refuse the flag -I.
NO_ISOLATION = "Unknown option: -I"
MAX_QUOTE = 200


def stub_error(host: Host, word: str, text: str) -> MlxopsError:
    """The stub's own words: OLD with version and path, or FAIL with a reason."""
    if word == "OLD":
        version, _, path = text.partition(" ")
        message = f"{path} on {host.name} is Python {version}; the agent needs 3.9 or later"
        return Failed(message, _newer(host), version=version, python=path)
    if "does not load" in text:
        return Failed(f"{host.name}: {text}", f"if that Python is damaged, {_newer(host)}")
    return Failed(f"{host.name}: {text}", "run it again; if that does not help, mlxops doctor")


def ended_error(host: Host, link: Link, printed: bytes) -> MlxopsError:
    """The link ended before the agent began. `printed`: what came on stdout instead of an
    answer."""
    status, said = link.exit_status(), link.stderr_tail()
    facts = {"exit_status": status, "stderr": said}
    python = host.python or "python3"
    if NO_ISOLATION in said:
        message = (
            f"{python} on {host.name} is Python 2, or 3 before 3.4; the agent needs 3.9 or later"
        )
        return Failed(message, _newer(host), python=python, **facts)
    last = key_line(said) or key_line(printed.decode("utf-8", "replace"))
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
    """The host is connected and does not come to the point."""
    last = key_line(printed.decode("utf-8", "replace"))
    message = f"{host.name} {what}" + (f"; the last it printed was: {last}" if last else "")
    return LinkLost(message, _examine(host))


def key_line(text: str) -> str:
    """The line that says most: the last that names an error, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line or "error" in line]
    return (errors or lines or [""])[-1][:MAX_QUOTE]


def _newer(host: Host) -> str:
    return f'name a newer one: python = "/path/to/python3" under [studio] in {host.path}'


def _examine(host: Host) -> str:
    """How a person sees what the login and the interpreter do."""
    command = f"{host.python or 'python3'} -c pass"
    if host.transport == "ssh":
        command = f"ssh {host.ssh.host} {command}"
    return f"nothing was done on the host; see whether this works: {command}; or {_other(host)}"


def _other(host: Host) -> str:
    return f"name another Python: python under [studio] in {host.path}"
