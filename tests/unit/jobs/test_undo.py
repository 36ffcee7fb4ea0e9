"""The steps that a failed job undoes."""

from __future__ import annotations

import pytest

from mlxops.agent.errors import Failed, MlxopsError, NotReady
from mlxops.agent.jobs.undo import Undo


def test_all_steps_are_undone_newest_first_though_one_fails() -> None:
    undo, order = Undo(), []

    def step(name: str) -> str:
        order.append(name)
        if name == "second":
            raise Failed("no memory")
        return name + " serves again"

    with pytest.raises(NotReady) as raised, undo.guard():
        undo.push(lambda _: step("first"), {"port": 8100})
        undo.push(lambda _: step("second"), {"port": 8101})
        undo.push(lambda _: step("own"))
        raise NotReady("too slow")

    assert order == ["own", "second", "first"]
    assert raised.value.message == (
        "too slow; own serves again; port 8100: first serves again"
        "; port 8101: its state is unknown: no memory"
    )
    assert [row["port"] for row in raised.value.fields["evicted"]] == [8100, 8101]


def test_a_committed_job_is_not_undone() -> None:
    undo = Undo()
    with pytest.raises(MlxopsError) as raised, undo.guard():
        undo.push(lambda _: "undone", {"port": 8100})
        undo.commit()
        raise Failed("later")
    assert raised.value.message == "later; port 8100: unloaded"
    assert undo.evicted == [{"port": 8100, "outcome": "unloaded"}]
