"""A port's lock that is a link or a folder makes that port unknown, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.asking import ask, refusal, rows
from tests.support.studio import Studio


def link(place: Path) -> None:
    place.symlink_to(place.with_name("elsewhere"))


@pytest.mark.parametrize("make", [link, Path.mkdir])
def test_only_its_own_port_is_unknown(one: Studio, make: Callable[[Path], None]) -> None:
    spoilt, other, _ = one.ports
    place = Path(f"{one.registry_path}.{spoilt}.lock")
    make(place)
    assert ask(one, "load", model="amber", port=other)["state"] == "ready"

    found = rows(one)
    assert [found[port]["state"] for port in one.ports] == ["unknown", "ready", "free"]
    assert f"the lock {place} is a " in found[spoilt]["reason"]
    assert found[spoilt]["drift"] is None
    drift = ask(one, "reconcile")["drift"]
    assert [(row["port"], row["drift"]) for row in drift] == [(spoilt, "unknown")]
    assert [job["state"] for job in ask(one, "jobs")["jobs"]] == ["done"]
    assert not any(lock["held"] for lock in ask(one, "lock")["locks"])
    assert refusal(one, "load", model="jade", port=spoilt).kind == "EvidenceUnknown"
    assert refusal(one, "unload", port=spoilt).kind == "EvidenceUnknown"
    ended = {row["port"]: row["ok"] for row in ask(one, "unload-all")["ports"]}
    assert (ended[spoilt], ended[other]) == (False, True)
    assert one.assignments() == {}

    findings = {row["check"]: row for row in ask(one, "doctor")["checks"]}
    assert str(place) in findings["port locks"]["seen"]
    assert findings["port locks"]["mend"].startswith(f"on the host: mv {place} ")
    place.rename(place.with_name("old"))
    assert [rows(one)[port]["state"] for port in one.ports] == ["free"] * 3
