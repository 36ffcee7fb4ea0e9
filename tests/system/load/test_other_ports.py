"""A load onto a port that is planned for another model, or that already serves one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.initcopies import InitCopies
from tests.support.studio import Studio, finished
from tests.support.watching import refused


@pytest.fixture
def planned(make_studio: Callable[..., Studio], init_copies: InitCopies) -> Callable[..., Studio]:
    """Makes a Studio of this runtime, with jade planned for the second port."""

    def make(runtime: FakeRuntime) -> Studio:
        studio = make_studio(None, runtime.table())
        init_copies.init(studio)
        studio.must("set", "jade", f"slot={studio.ports[1]}")
        return studio

    return make


def conflict(studio: Studio) -> dict[str, Any]:
    """The error of a load of jade onto the third port."""
    return refused(studio.mlxops("load", "jade", studio.ports[2]), 7, "AssignmentConflict")


def test_another_port_than_planned_is_another_name_for_clients(
    planned: Callable[..., Studio], fake_runtime: FakeRuntime
) -> None:
    studio = planned(fake_runtime)
    _, second, third = studio.ports
    error = conflict(studio)
    assert error["message"] == (
        f"jade is planned for port {second}; on port {third} clients would see it as "
        f"slot-{third}, not as slot-{second}"
    )
    assert error["hint"] == f"mlxops load jade {second}, or add --force"
    text = (studio.hosts_dir / "studio.toml").read_text()
    for port in (second, third):
        text = text.replace(f'"slot-{port}"\n', f'"slot-{port}"\nserved_name = "chat"\n')
    (studio.hosts_dir / "studio.toml").write_text(text)
    assert conflict(studio)["message"] == f"jade is planned for port {second}"


def test_a_runtime_with_a_fixed_name_has_no_other_name_there(
    planned: Callable[..., Studio], light: FakeRuntime
) -> None:
    studio = planned(light)
    assert conflict(studio)["message"] == f"jade is planned for port {studio.ports[1]}"


def test_a_dry_run_says_that_the_load_would_ask_or_needs_replace(near: Studio) -> None:
    port = near.ports[0]
    words = ("load", "jade", port, "--dry-run")
    asks = f"port {port} serves amber: the load would ask first, or needs --replace"
    assert near.must(*words)["warnings"] == [asks]
    assert f"warning: {asks}\n" in finished(near.start(*words)).stderr
    assert near.must(*words, "--replace")["warnings"] == []
    assert near.must("load", "jade", near.ports[1], "--dry-run")["warnings"] == []
    assert near.must("load", "amber", port, "--dry-run")["warnings"] == []
    refused(near.mlxops("load", "jade", port), 7, "PortBusy")
