"""Plans and their execution on a Studio, without the command line."""

from __future__ import annotations

import threading
from typing import Any

from mlxops import session
from mlxops.agent.errors import Interrupted
from mlxops.agent.wire import codec
from mlxops.agent.wire.child_agent import NEVER, LocalAgent
from mlxops.hosts import files as hosts
from tests.support.asking import ask
from tests.support.studio import Studio


def by_port(result: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {row["port"]: row for row in result["rows"]}


def verdicts(result: dict[str, Any]) -> list[str]:
    return [row["verdict"] for row in result["rows"]]


def plan(studio: Studio, **args: Any) -> dict[str, Any]:
    return ask(studio, "plan", **args)


def apply(studio: Studio, **args: Any) -> dict[str, Any]:
    return ask(studio, "apply", **args)


def applied_with_events(studio: Studio, **args: Any) -> list[dict[str, Any]]:
    """The events of an apply that must succeed."""
    events: list[dict[str, Any]] = []
    host = hosts.find_host("studio", str(studio.hosts_dir))
    result = session.call(host, "apply", args, events.append)
    assert all(row["ok"] for row in result["rows"]), result
    return events


class Applying(LocalAgent):
    """An apply that a test watches, cancels, leaves or kills. Its agent hears from its client also
    while the test does something else, which may take longer than the agent waits."""

    def __init__(self, studio: Studio, **args: Any) -> None:
        site = hosts.find_host("studio", str(studio.hosts_dir)).site
        who = {"user": "ann", "from": "mini"}
        super().__init__({"verb": "apply", "args": args, "site": site, "who": who})
        self._left = threading.Event()
        self._pings = threading.Thread(target=self._ping)
        self._pings.start()

    def _ping(self) -> None:
        while not self._left.wait(codec.PING_INTERVAL_S):
            self.send(codec.PING)

    def kill(self) -> None:
        """As `kill -9` on the host."""
        self._fall_silent()
        self._pipes.kill()

    def leave(self) -> None:
        """As a lost link."""
        self._fall_silent()
        self._pipes.close()

    def _fall_silent(self) -> None:
        self._left.set()
        self._pings.join()

    def close(self) -> None:
        """Wait for the end of what goes on without its client."""
        self.leave()
        assert self._pipes.exit_status(60) is not None

    def outcome(self) -> dict[str, Any]:
        """The result, or the fields of Interrupted."""
        try:
            result: dict[str, Any] = self.result(NEVER)
        except Interrupted as exc:
            return {**exc.fields, "interrupted": exc.message}
        return result
