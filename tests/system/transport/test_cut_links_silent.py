"""A black-holed link, with the real timings: both sides notice within 20 s; loads go on, reads
end."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest

from mlxops.agent.wire.codec import SILENCE_TIMEOUT_S
from tests.support.cutlink import CutLink
from tests.support.heldloads import HeldLoads, agents, new, old
from tests.support.studio import finished
from tests.support.watching import refused

pytestmark = [pytest.mark.openssh, pytest.mark.slow]
# What a loaded machine may add to the limit itself.
SLACK_S = 5.0


def seconds_until(true: Callable[[], bool], since: float) -> float:
    while not true():
        assert time.monotonic() - since < SILENCE_TIMEOUT_S + SLACK_S, "not noticed in time"
        time.sleep(0.02)
    return time.monotonic() - since


def test_a_black_holed_link_is_noticed_on_both_sides(loads: HeldLoads, link: CutLink) -> None:
    studio = loads.studio
    watching = ("logs", loads.port("wait"), "-f"), ("follow", loads.jobs["wait"])
    reads = [studio.start("--json", *words) for words in watching]
    seconds_until(lambda: link.carried == 6 and len(agents(studio)) == 6, time.monotonic())
    working = {int(name.rsplit("-", 1)[1]) for name in loads.jobs.values()}
    reading = agents(studio) - working
    link.black_hole()
    cut = time.monotonic()

    # Who comes anew need not wait for anybody to notice.
    loads.cancel("stop", "launch")
    loads.follow("download")
    assert loads.states()["wait"] == "running wait"
    clients = [*loads.clients.values(), *reads]
    assert all(client.poll() is None for client in clients)

    print(
        "seconds until the agents of the reads ended:",
        seconds_until(lambda: not reading & agents(studio), cut),
    )
    print("seconds until the clients ended:", seconds_until(lambda: all(map(gone, clients)), cut))
    loads.told()
    for read, words in zip(reads, ("jobs", f"jobs --follow {loads.jobs['wait']}"), strict=True):
        assert f"`mlxops {words}`" in refused(finished(read), 3, "LinkLost")["hint"]
    loads.follow("wait")
    loads.serves(download=new("download"), wait=new("wait"), stop=old("stop"), launch=old("launch"))


def gone(process: subprocess.Popen[str]) -> bool:
    return process.poll() is not None
