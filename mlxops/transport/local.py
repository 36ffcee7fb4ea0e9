"""This machine itself: the same loader and the same bytes, through a child process instead of
ssh."""

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
            hint = "correct python in the host file, or leave it out"
            message = f"cannot start {argv[0]}: {exc.strerror}"
            raise HostUnreachable(message, hint, python=argv[0]) from None


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Ours, without the parts of PATH that mean the current folder or one below it."""
    kept = [part for part in ours.get("PATH", "").split(os.pathsep) if part.startswith("/")]
    rest = {name: value for name, value in ours.items() if name != "PATH"}
    return {**rest, "PATH": os.pathsep.join(kept)} if kept else rest


def working_folder() -> str:
    """Where the agent runs: as after a login in the home, not wherever the command was typed."""
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
