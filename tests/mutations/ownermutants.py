"""The safeguards about whose a process is, and what a stop leaves behind, as mutants."""

from __future__ import annotations

from .mutant import Mutant

OWNER = "tests/system/test_owner.py::"
RESPAWN = "tests/system/test_respawn.py::"

OWNED = (
    Mutant(
        "another user's process is ours",
        "agent/ports/owner.py",
        "    return process.uid == uid()\n",
        "    return True\n",
        (OWNER + "test_another_users_server_of_our_model_is_foreign_to_every_verb",),
    ),
    Mutant(
        "a recorded command is run whatever the process says", "agent/load/restart.py",
        "    return tuple(argv) if agrees and (direct or argv[: len(words)] == [*words]) else ()\n",
        "    return tuple(argv)\n", (OWNER + "test_a_record_that_another_account_changed_starts_nothing",),
    ),
    Mutant(
        "a server of another program is started again", "agent/load/restart.py",
        " if proven and rest is not None else ()", " if rest is not None else ()",
        (OWNER + "test_a_server_of_another_program_is_not_started_again_by_its_words",),
    ),
    Mutant(
        "nobody looks whether a server comes back", "agent/servers/vacate.py",
        "    return watch.check()\n", "    return None\n",
        (RESPAWN + "test_a_loop_that_takes_its_time_is_told_too",),
    ),
    Mutant(
        "what a server forked away is left", "agent/servers/vacate.py",
        "    bearers = marks.bearers(command.procs, mark, command.procs.processes())\n", "    bearers, mark = (), ''\n",
        (RESPAWN + "test_what_a_server_forked_away_goes_with_it",),
    ),
)  # fmt: skip
