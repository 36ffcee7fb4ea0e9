"""A server is recorded before it does anything. Runs on Python 3.9 too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxops.agent.errors import AssignmentConflict
from mlxops.agent.jobs.begin import begin
from mlxops.agent.jobs.disk_space import disk_reservation
from mlxops.agent.registry.entries import REQUIRED, Entry
from mlxops.agent.servers.start import ServerSpec, StartOptions, start_server
from mlxops.agent.servers.startup_time import StartupEstimate
from tests.support.faltering import Faltering
from tests.support.launching import NAME, Launcher, context, nothing


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    made = Launcher(tmp_path, "mlx-openai-server")
    yield made
    made.end()


def test_a_server_that_cannot_be_put_on_record_never_starts(launcher: Launcher, tmp_path: Path):
    """Its model was just loaded on another port: it ends at its gate, and nothing must be
    stopped."""
    entry = Entry(NAME, {**REQUIRED, "cache_path": str(launcher.model)})
    service = ServerSpec(launcher.port, entry, launcher.runtime, launcher.argv, NAME, NAME)
    procs = Faltering(lambda: False)
    with (
        context(launcher, tmp_path, procs) as loading,
        begin(loading, launcher.port, "load") as job,
    ):
        taken = loading.store.edit(
            "load", lambda now: now.put(entry.with_fields(port=launcher.port + 1))
        )
        with pytest.raises(AssignmentConflict):
            start_server(
                loading,
                job,
                service,
                StartOptions(StartupEstimate(None, 20), nothing, disk_reservation(loading)),
            )
        assert loading.store.read() == taken
    assert procs.sent == []
    assert launcher.fake.journal() == []
