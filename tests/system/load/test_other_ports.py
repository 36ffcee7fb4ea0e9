"""A load onto another port than the one planned for the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.fakeruntime import FakeRuntime
from tests.support.initcopies import InitCopies
from tests.support.studio import Studio
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
