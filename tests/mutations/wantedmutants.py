"""Rules of what a port wants, as mutants."""

from __future__ import annotations

from .mutant import Mutant

ENTRIES = "agent/registry/entries.py"
VALUES = "tests/unit/registry/test_wanted.py::"
LOST = "tests/system/ports/test_lost.py::"
REBOOT = "tests/system/ports/test_reboot.py::"
ENDS = "tests/agent/ports/test_expected.py::"
TRIAL = "tests/system/ports/test_trial.py::"

WANTED = (
    Mutant(
        "reconcile forgets what it clears",
        ENTRIES,
        "        return self.put(*(e.with_fields(port=None, process=None) for e in held))\n",
        "        return self.put(\n"
        "            *(e.with_fields(port=None, process=None, wanted=None) for e in held)\n"
        "        )\n",
        (VALUES + "test_what_is_cleared_still_wants_its_port_and_frees_it",),
    ),
    Mutant(
        "a load that never got ready is wanted",
        ENTRIES,
        "        and not _is_loading(entry)\n",
        "",
        (VALUES + "test_a_load_that_never_got_ready_wants_nothing_either_if_nobody_does",),
    ),
    Mutant(
        "a registry without wanted wants nothing",
        ENTRIES,
        "    return registry.put(*implied)\n",
        "    return registry\n",
        (
            VALUES + "test_an_assignment_of_a_registry_without_wanted_is_wanted_and_the_next_write"
            "_stores_it",
        ),
    ),
    Mutant(
        "two entries are made to want one port",
        ENTRIES,
        "        and not registry.wanting(entry.port)\n",
        "",
        (VALUES + "test_nor_where_another_wants_the_port_or_two_are_assigned_to_it",),
    ),
    Mutant(
        "what is on trial is wanted after all",
        ENTRIES,
        "        and not entry.on_trial\n",
        "",
        (VALUES + "test_but_not_where_something_says_that_it_is_not",),
    ),
    Mutant(
        "a port is wanted by several",
        ENTRIES,
        "        return self.forget(port).put(",
        "        return self.put(",
        (VALUES + "test_one_entry_wants_a_port_and_none_once_it_is_forgotten",),
    ),
    Mutant(
        "no-keep makes the port wanted",
        "agent/servers/start.py",
        "        return registry.want(entry.name, spec.port) if spec.keep else registry\n",
        "        return registry.want(entry.name, spec.port)\n",
        (TRIAL + "test_a_try_out_that_dies_is_forgotten_and_what_was_there_before_is_lost",),
    ),
    Mutant(
        "no-keep leaves no record",
        "agent/servers/start.py",
        '        return {} if self.keep else {"keep": False}\n',
        "        return {}\n",
        (TRIAL + "test_a_try_out_that_dies_is_forgotten_and_what_was_there_before_is_lost",),
    ),
    Mutant(
        "a load makes nothing wanted",
        "agent/servers/start.py",
        "        return registry.want(entry.name, spec.port) if spec.keep else registry\n",
        "        return registry\n",
        (LOST + "test_another_model_on_the_port_takes_it_away_and_one_that_fails_does_not",),
    ),
    Mutant(
        "a rollback makes a try-out wanted",
        "agent/load/restart.py",
        "    return spec._replace(keep=entry.wanted == port)\n",
        "    return spec\n",
        (TRIAL + "test_a_failed_load_puts_a_try_out_back_as_a_try_out",),
    ),
    Mutant(
        "a load of what serves already does not keep it",
        "agent/load/request.py",
        "        return self.already_served and self.request.keep and not alone\n",
        "        return False\n",
        (TRIAL + "test_a_load_keeps_what_serves_already_and_a_try_out_of_it_takes_nothing_away",),
    ),
    Mutant(
        "a reboot is told as a crash",
        "agent/procs/facts.py",
        "            return not str(start_time).startswith(self.token) if form else None\n",
        "            return False if form else None\n",
        (ENDS + "test_a_reboot_is_told_from_a_crash_by_the_boot_or_not_at_all",),
    ),
    Mutant(
        "what was cleared does not say how it ended",
        "agent/ops/reconcile.py",
        "        return now.miss(port, name, gone) if same == entry and same else now\n",
        "        return now.clear(port, name) if same == entry and same else now\n",
        (
            REBOOT
            + "test_three_runs_of_cron_after_a_reboot_keep_what_is_wanted_and_status_tells_the"
            "_reboot",
        ),
    ),
    Mutant(
        "any log is the crashed server's",
        "agent/ports/expected.py",
        "        if begin <= written <= end + ROUNDING_S:\n",
        "        if written:\n",
        (ENDS + "test_a_log_of_before_the_launch_or_after_the_end_is_not_its_own",),
    ),
    Mutant(
        "two that want a port are no drift",
        "agent/ports/evidence.py",
        "if len(self.wanting) > 1 else ()",
        "if len(self.wanting) > 2 else ()",
        ("tests/unit/ports/test_diagnosis.py",),
    ),
    Mutant(
        "a load does not decide between two that want a port",
        "agent/registry/entries.py",
        "        return [e.name for e in self.wanting(port)] == [name]\n",
        "        return name in [e.name for e in self.wanting(port)]\n",
        (VALUES + "test_it_is_known_whether_an_entry_wants_its_port_alone",),
    ),
    Mutant(
        "unload leaves what is lost",
        "agent/ops/unload.py",
        "    return forgotten.forget(port_survey.evidence.port)\n",
        "    return forgotten\n",
        (LOST + "test_unload_of_a_lost_port_forgets_it_and_says_so",),
    ),
)
