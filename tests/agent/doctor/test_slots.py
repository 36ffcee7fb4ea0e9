"""Slots that conflict, and ports whose name changes with every swap."""

from __future__ import annotations

from tests.support.healthy import Healthy, host

__all__ = ["host"]


def test_two_slots_with_one_name_are_a_warning(host: Healthy) -> None:
    for slot in host.site["slots"].values():
        slot["served_name"] = "chat"
    row = host.row("slots", "warning")
    assert "the same served name, chat" in row["seen"] and "[slots.PORT]" in row["mend"]
    assert host.troubles() == [("slots", "warning")]


def test_two_slots_with_one_model_are_a_warning(host: Healthy) -> None:
    for slot in host.site["slots"].values():
        slot["model"] = "tiny/amber"
    assert "declare the same model, tiny/amber" in host.row("slots", "warning")["seen"]


def test_a_model_on_a_port_without_a_slot_is_a_warning(host: Healthy) -> None:
    host.site["slots"].clear()
    assert host.row("slots", "ok")["seen"] == "0 slots without conflicts"
    host.enter("a", wanted=host.port, runtime="mlx_lm.server")
    assert host.row("slots", "ok")
    host.enter("b", wanted=host.port + 1)
    row = host.row("slots", "warning")
    assert (
        row["seen"].startswith(f"port {host.port + 1} has no slot") and " ask for b," in row["seen"]
    )
