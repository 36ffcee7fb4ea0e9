"""A load whose link is cut, in any phase, continues to its end or is undone by a cancel, and is
never half done."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.support.cutlink import CutLink
from tests.support.heldloads import PHASES, HeldLoads, new, old
from tests.support.sshd import Sshd
from tests.support.studio import eventually
from tests.support.survivors import living
from tests.support.watching import refused

pytestmark = [pytest.mark.openssh, pytest.mark.slow]


def kill(loads: HeldLoads, link: CutLink) -> None:
    for client in loads.clients.values():
        client.kill()


CUTS: dict[str, Callable[[HeldLoads, CutLink], None]] = {
    "killed": kill,
    "reset": lambda _, link: link.reset(),
}


@pytest.mark.parametrize("cut", CUTS)
def test_it_goes_on_to_its_end(loads: HeldLoads, link: CutLink, cut: str) -> None:
    CUTS[cut](loads, link)
    assert loads.states() == {phase: f"running {phase}" for phase in PHASES}
    loads.follow(*PHASES)
    loads.told()
    loads.serves(**{phase: new(phase) for phase in PHASES})


@pytest.mark.parametrize("cut", CUTS)
def test_it_is_undone_by_a_cancel(loads: HeldLoads, link: CutLink, cut: str) -> None:
    CUTS[cut](loads, link)
    loads.cancel(*PHASES)
    loads.told()
    loads.serves(**{phase: old(phase) for phase in PHASES})


def reboot(loads: HeldLoads, sshd: Sshd) -> None:
    """Every process on the host is gone at once: connections, agents, servers, downloads. The
    clients are elsewhere."""
    clients = {client.pid for client in loads.clients.values()}
    there = {
        pid for pid, line in living(loads.studio.folder.parent).items() if "sshd" not in line
    } - clients
    # Stopped first, so that none of them sees another one die.
    for signum in (signal.SIGSTOP, signal.SIGKILL):
        for pid in (sshd.pid, *sshd.sessions(), *there):
            with suppress(ProcessLookupError):
                os.kill(pid, signum)
    loads.release_lock()
    sshd.stop()


def test_a_reboot_in_the_middle_leaves_nothing_that_a_command_cannot_mend(
    loads: HeldLoads, near_hub_sshd: Sshd
) -> None:
    studio = loads.studio
    reboot(loads, near_hub_sshd)
    loads.told()
    assert studio.mlxops("status").error["kind"] == "HostUnreachable"

    near_hub_sshd.start()
    assert set(loads.states().values()) == {f"died {phase}" for phase in PHASES}
    died = studio.mlxops("follow", loads.jobs["wait"])
    assert refused(died, 1, "Failed")["message"].endswith("was killed in phase wait")
    assert not any(lock["held"] for lock in studio.must("lock")["locks"])
    # Their assignments are all that is left of the servers.
    eventually(lambda: not [line for line in living(studio.folder).values() if "--port" in line])
    left = studio.assignments()
    assert len(left) == len(set(left.values())) == 4
    rows = {row["port"]: row for row in studio.must("status")["ports"]}
    assert {(rows[port]["state"], rows[port]["drift"]) for port in left.values()} == {
        ("failed", "stale")
    }

    loads.release("download", "wait", "launch")
    again = {phase: ("load", f"tiny/{new(phase)}", loads.port(phase)) for phase in PHASES}
    assert all(answer.result["state"] == "ready" for answer in loads.together(again).values())
    loads.serves(**{phase: new(phase) for phase in PHASES})
