"""Safeguards about the owner of a process and about what a stop leaves behind, as mutants."""

from __future__ import annotations

from .mutant import Mutant

OWNER = "tests/system/ports/test_process_owner.py::"
RESPAWN = "tests/system/servers/test_respawn.py::"

OWNED = (
    Mutant(
        "another user's process is ours",
        "agent/ports/process_owner.py",
        "    return process.uid == uid()\n",
        "    return True\n",
        (OWNER + "test_another_users_server_of_our_model_is_foreign_to_every_verb",),
    ),
    Mutant(
        "a recorded command is run whatever the process says",
        "agent/load/restart.py",
        "    return (*command, *extra) if agrees and proven and extra is not None else ()\n",
        "    return tuple(argv)\n",
        (OWNER + "test_a_record_that_another_account_changed_starts_nothing",),
    ),
    Mutant(
        "a server of another program is started again",
        "agent/load/restart.py",
        " if _runs_host_program(server, command) and extra is not None else ()",
        " if extra is not None else ()",
        (OWNER + "test_a_server_of_another_program_is_not_started_again_by_its_words",),
    ),
    Mutant(
        "a rollback runs the program that a record names",
        "agent/load/restart.py",
        "    return (*command, *extra) if agrees and proven",
        "    return tuple(argv) if agrees and proven",
        (OWNER + "test_a_link_that_is_changed_after_the_check_starts_nothing",),
    ),
    Mutant(
        "what others may have written is run",
        "agent/load/restart.py",
        " if not others_write(ctx.site.registry) else ()",
        "",
        (OWNER + "test_of_a_shared_registry_only_the_entry_says_how_a_server_comes_back",),
    ),
    Mutant(
        "a script counts from this process's folder",
        "agent/procs/shellscript.py",
        "        yield os.path.join(folder, word)\n",
        "        yield word\n",
        (RESPAWN + "test_a_loop_in_a_script_with_a_relative_name_is_told",),
    ),
    Mutant(
        "nobody looks whether a server comes back",
        "agent/servers/vacate.py",
        "    return watch.check()\n",
        "    return None\n",
        (RESPAWN + "test_a_loop_that_takes_its_time_is_told_too",),
    ),
    Mutant(
        "what a server forked away is left",
        "agent/servers/vacate.py",
        "    bearers = marks.marked_processes(ctx.procs, mark, ctx.procs.processes())\n",
        "    bearers, mark = (), ''\n",
        (RESPAWN + "test_what_a_server_forked_away_goes_with_it",),
    ),
)
