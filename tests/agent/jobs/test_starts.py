"""The journal of starts: what a power cut, a full disk and a stranger's bytes do to it.

Runs on Python 3.9 too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlxops.agent.errors import MlxopsError
from mlxops.agent.jobs import starts as module
from mlxops.agent.jobs.backoff import FAILED, READY, REFUSED
from mlxops.agent.jobs.starts import (
    FILE,
    MAX_STARTS_PER_PORT,
    NOT_STARTED,
    Journal,
    Record,
    read_starts,
    starts_of,
    supervision_of,
    this_moment,
)
from mlxops.agent.procs import local_procs
from tests.support.launching import environment

PORT = 8100


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


class Witness:
    """This machine, with `on_sync` called for each file that is written to the disk itself."""

    def __init__(self, on_sync: Callable[[int], None]) -> None:
        self._real, self.sync = local_procs(), on_sync

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def begun(folder: str, port: int = PORT, entry: str = "amber", procs: Any = None) -> str:
    with Journal(procs or local_procs(), folder) as journal:
        return journal.begin(port, entry)


def ended(folder: str, start: str, outcome: str, reason: str = "") -> None:
    with Journal(local_procs(), folder) as journal:
        journal.end(start, outcome, reason)


def outcomes(folder: str, port: int = PORT, entry: str = "amber") -> list[str | None]:
    return [start.outcome for start in starts_of(read_starts(folder), port, entry)]


def lines(folder: str) -> list[str]:
    return Path(folder, FILE).read_text().splitlines()


def test_a_start_is_on_record_before_it_begins_and_then_with_its_end(folder: str):
    start = begun(folder)
    (record,) = read_starts(folder)
    assert (record.port, record.entry, record.start.outcome) == (PORT, "amber", None)
    assert record.pid == os.getpid() and record.start.moment.boot == this_moment(local_procs()).boot
    ended(folder, start, FAILED, "too slow" * 100)
    assert outcomes(folder) == [FAILED] and len(lines(folder)) == 1
    assert Path(folder, FILE).stat().st_mode & 0o777 == 0o600


def test_it_is_on_the_disk_itself_the_file_before_its_name_and_then_the_folder(folder: str):
    synced = []

    def on_sync(fd: int) -> None:
        place = os.readlink(f"/proc/self/fd/{fd}") if os.path.isdir("/proc/self/fd") else ""
        synced.append((place, os.path.exists(os.path.join(folder, FILE))))

    begun(folder, procs=Witness(on_sync))
    assert [named for _, named in synced] == [False, True]
    if synced[0][0]:
        assert synced[0][0].startswith(os.path.join(folder, FILE)) and synced[1][0] == folder


@pytest.mark.parametrize(
    "torn", ['{"id": "f00", "port": 81', "", "\0\0\0", "[]", '{"id": 7}', "\udcff"]
)
def test_a_damaged_line_is_ignored_and_the_others_count(folder: str, torn: str):
    begun(folder)
    with open(os.path.join(folder, FILE), "ab") as file:
        file.write(torn.encode("utf-8", "surrogateescape"))
    assert outcomes(folder) == [None]
    begun(folder)
    assert outcomes(folder) == [None, None] and len(lines(folder)) == 2


@pytest.mark.parametrize(
    "field",
    [
        {"at": "soon"},
        {"at": 10**400},
        {"up_s": None},
        {"boot": 5},
        {"port": True},
        {"pid": "1"},
        {"entry": None},
    ],
)
def test_a_line_with_other_types_is_ignored(folder: str, field: dict[str, Any]):
    begun(folder)
    line = {**json.loads(lines(folder)[0]), **field}
    Path(folder, FILE).write_text(json.dumps(line) + "\n")
    assert read_starts(folder) == ()


def test_a_disk_without_space_leaves_what_was_there_and_no_draft(folder: str):
    begun(folder)
    before = lines(folder)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(MlxopsError) as raised:
        begun(folder, procs=Witness(full))
    assert raised.value.kind == "NotEnoughDisk" and FILE in raised.value.message
    assert lines(folder) == before
    assert sorted(os.listdir(folder)) == [FILE, FILE + ".lock"]


@pytest.mark.parametrize("obstacle", [os.mkdir, os.mkfifo])
def test_what_cannot_be_read_is_an_error_and_holds_nothing(
    folder: str, obstacle: Callable[[str], None]
):
    obstacle(os.path.join(folder, FILE))
    with pytest.raises(MlxopsError), Journal(local_procs(), folder):
        pass
    assert supervision_of(local_procs(), folder, PORT, "amber") == NOT_STARTED
    # The lock is free again.
    getattr(os, "rmdir" if obstacle is os.mkdir else "unlink")(os.path.join(folder, FILE))
    assert begun(folder)


def test_a_state_folder_that_is_none_is_an_error(folder: str):
    with pytest.raises((MlxopsError, OSError)):
        begun(os.path.join(os.devnull, "mlxops"))
    assert supervision_of(local_procs(), os.devnull, PORT, "amber") == NOT_STARTED


def test_the_starts_of_a_port_and_of_a_model_count_and_a_person_forgets_both(folder: str):
    for port, entry in ((PORT, "amber"), (PORT, "jade"), (8101, "amber"), (8102, "topaz")):
        ended(folder, begun(folder, port, entry), FAILED)
    assert len(outcomes(folder)) == 3 and len(outcomes(folder, 8103, "topaz")) == 1
    with Journal(local_procs(), folder) as journal:
        journal.forget(PORT, "amber")
    assert [record.entry for record in read_starts(folder)] == ["topaz"]


def test_nothing_to_forget_writes_nothing(folder: str):
    with Journal(local_procs(), folder) as journal:
        journal.forget(PORT, "amber")
    assert not os.path.exists(os.path.join(folder, FILE))


def test_one_port_that_never_gets_ready_does_not_displace_what_holds_another(folder: str):
    for _ in range(5):
        ended(folder, begun(folder), FAILED)
    for _ in range(3 * MAX_STARTS_PER_PORT):
        begun(folder, 8101, "jade")
    assert supervision_of(local_procs(), folder, PORT, "amber").held
    assert len(lines(folder)) == 5 + MAX_STARTS_PER_PORT


def test_it_says_what_is_known_of_a_server_that_is_gone(folder: str):
    def told() -> Any:
        return supervision_of(local_procs(), folder, PORT, "amber")

    assert told() == NOT_STARTED
    ended(folder, begun(folder), READY)
    assert told() == NOT_STARTED
    ended(folder, begun(folder), REFUSED, "too large")
    assert told() == (False, "its last start failed: too large")
    for _ in range(4):
        ended(folder, begun(folder), FAILED, "too slow")
    assert told().held and told().reason.endswith(
        "last too slow; it is not started again by itself"
    )


def earlier_boot(record: Record) -> Record:
    moment = record.start.moment._replace(boot="an earlier boot")
    return record._replace(start=record.start._replace(moment=moment))


def test_two_outages_hold_it_also_after_further_reboots(folder: str):
    for _ in range(2):
        begun(folder)
        with Journal(local_procs(), folder) as journal:
            journal.replace(tuple(map(earlier_boot, journal.records)))
    told = supervision_of(local_procs(), folder, PORT, "amber")
    assert told.held and told.reason.startswith("the machine went down 2 times within an hour")


def test_the_boot_is_the_same_for_all_processes_and_unknown_without_the_first_one():
    program = (
        "from mlxops.agent.jobs.starts import this_moment\n"
        "from mlxops.agent.procs import local_procs\n"
        "print(this_moment(local_procs()).boot)"
    )
    argv = [sys.executable, "-c", program]
    other = subprocess.run(argv, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    assert other.stdout.strip() == this_moment(local_procs()).boot

    class Hidden:
        def process(self, pid: int) -> None:
            return None

    with pytest.raises(module.Unobservable):
        this_moment(Hidden())  # type: ignore[arg-type]


# Two of these at once: each adds its own starts.
WRITER = """
import sys
from mlxops.agent.jobs.starts import Journal
from mlxops.agent.procs import local_procs
for _ in range(8):
    with Journal(local_procs(), sys.argv[1]) as journal:
        journal.begin(int(sys.argv[2]), "amber")
"""


def test_two_agents_lose_no_start_of_each_other(folder: str):
    argv = [sys.executable, "-c", WRITER, folder]
    writers = [subprocess.Popen([*argv, port], env=environment()) for port in ("8100", "8101")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert sorted(record.port for record in read_starts(folder)) == [8100] * 8 + [8101] * 8


def test_a_writer_that_is_killed_leaves_the_journal_usable(folder: str):
    begun(folder)
    holding = (
        "import sys, time\n"
        "from mlxops.agent.jobs.starts import Journal\n"
        "from mlxops.agent.procs import local_procs\n"
        "with Journal(local_procs(), sys.argv[1]):\n"
        "    print(flush=True)\n"
        "    time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", holding, folder]
    with subprocess.Popen(argv, env=environment(), stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        holder.send_signal(signal.SIGKILL)
    begun(folder)
    assert outcomes(folder) == [None, None]
