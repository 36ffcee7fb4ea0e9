"""Safeguards of restart, move and rename, as mutants."""

from __future__ import annotations

from .mutant import Mutant

PREFLIGHT, EVICT = "agent/load/preflight.py", "agent/load/evict.py"
RESTART = "tests/system/load/test_restart.py::"
MOVE = "tests/system/load/test_move.py::"
RENAME = "tests/system/ops/test_rename.py::"

MOVED = (
    Mutant(
        "a restart replaces the server of another model",
        PREFLIGHT,
        "        _require_own_server(port_survey, entry)\n",
        "        pass\n",
        (RESTART + "test_a_server_that_is_not_the_entry_s_is_left_alone",),
    ),
    Mutant(
        "a restart makes a model on trial wanted",
        "agent/ops/load.py",
        "_replace(restart=True, keep=keep)",
        "_replace(restart=True)",
        (RESTART + "test_what_is_wanted_and_planned_elsewhere_does_not_matter",),
    ),
    Mutant(
        "a move stops whatever is on the old port",
        EVICT,
        "    _require_evictable(home, spec, plan.request.rollback)\n",
        "",
        (MOVE + "test_nothing_is_stopped_where_the_old_port_cannot_be_left",),
    ),
    Mutant(
        "rename ignores a load in progress",
        "agent/ops/rename.py",
        "        require_unreserved(ctx, [name, new])\n",
        "",
        (RENAME + "test_not_while_a_load_works_on_it",),
    ),
    Mutant(
        "rename cuts off the clients of a port without a slot",
        "agent/ops/rename.py",
        "        _require_same_served_name(ctx, entry, new)\n",
        "",
        (RENAME + "test_clients_that_ask_for_the_entry_s_name_are_not_cut_off",),
    ),
)
