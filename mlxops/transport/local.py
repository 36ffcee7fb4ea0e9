"""An agent on this machine: the same loader and bytes as over ssh, through a child process."""

from __future__ import annotations

import os
from collections.abc import Mapping

from .. import bundle
from ..agent.errors import HostUnreachable, LinkLost
from ..agent.wire.child import ChildPipes

EXIT_TIMEOUT_S = 1.0


class Local:
    def open(self, python: str | None) -> LocalLink:
        argv = bundle.local_argv(python)
        try:
            return LocalLink(argv, env=environment(os.environ), cwd=working_folder())
        except OSError as exc:
            hint = "correct python in the host file, or remove it"
            message = f"cannot start {argv[0]}: {exc.strerror}"
            raise HostUnreachable(message, hint, python=argv[0]) from None


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """This environment, without the relative parts of PATH."""
    parts = [part for part in inherited.get("PATH", "").split(os.pathsep) if part.startswith("/")]
    rest = {name: value for name, value in inherited.items() if name != "PATH"}
    return {**rest, "PATH": os.pathsep.join(parts)} if parts else rest


def working_folder() -> str:
    """Where the agent runs: in the home, as after a login."""
    home = os.path.expanduser("~")
    return (
        home if home.startswith("/") and os.access(home, os.X_OK) and os.path.isdir(home) else "/"
    )


class LocalLink(ChildPipes):
    """The agent as a child process."""

    def send(self, payload: bytes) -> None:
        try:
            self.write(payload)
        except OSError as exc:
            message = f"the agent accepts no more input: {exc.strerror}"
            raise LinkLost(message, stderr=self.stderr_tail()) from None

    def receive(self, timeout: float) -> bytes | None:
        return self.read(timeout)

    def exit_status(self, seconds: float | None = EXIT_TIMEOUT_S) -> int | None:
        status = super().exit_status(seconds)
        return status if status is None or status >= 0 else None

    def close(self) -> None:
        """Close its pipes and wait briefly; an agent that still has work to do goes on."""
        super().close()
        self.exit_status()
