"""Cron starts what has crashed again, and knows when to stop."""

from __future__ import annotations

from tests.support.intent import kill
from tests.support.powercut import quiet, wanted
from tests.support.studio import Answer, Studio


def restart(studio: Studio, *more: object) -> Answer:
    """`reconcile -q --restart`, as cron runs it."""
    return quiet(studio, "--restart", *map(str, more))


def test_a_crashed_server_is_started_again_and_cron_says_so_once(near: Studio) -> None:
    port = near.ports[0]
    kill(near)
    first = restart(near)
    assert (first.exit, first.stderr) == (0, ""), first
    freed, started = first.stdout.splitlines()
    assert freed.startswith(f"freed {port} (amber)") and "next" not in freed
    assert started.startswith(f"started amber on {port}: ready after")
    assert near.ask(port) == "I am tiny/amber" and wanted(near) == {"amber": port}
    again = restart(near)
    assert (again.exit, again.stdout, again.stderr) == (0, "", "")
