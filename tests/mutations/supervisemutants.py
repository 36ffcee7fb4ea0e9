"""Rules of starts without a person, as mutants."""

from __future__ import annotations

from .mutant import Mutant

STARTS, BACKOFF = "agent/jobs/starts.py", "agent/jobs/backoff.py"
SUPERVISE = "agent/slots/supervise.py"
JOURNAL = "tests/agent/jobs/test_starts.py::"
PURE = "tests/unit/jobs/test_backoff.py::"
ARGUMENTS = "tests/unit/wire/test_arguments.py::"
SYSTEM = "tests/system/slots/test_supervise.py::"
FAULTS = "tests/system/slots/test_supervise_faults.py::"

SUPERVISED = (
    Mutant(
        "the journal is written after the start",
        SUPERVISE,
        "            start = journal.begin(row.port, row.entry)\n",
        '            start = "f00"\n',
        (FAULTS + "test_a_model_that_takes_the_machine_down_twice_is_left_to_a_person",),
    ),
    Mutant(
        "the journal is not on the disk itself",
        STARTS,
        "            file.flush()\n            self._procs.sync(fd)\n",
        "            file.flush()\n",
        (JOURNAL + "test_it_is_on_the_disk_itself_the_file_before_its_name_and_then_the_folder",),
    ),
    Mutant(
        "what cannot be recorded is started",
        SUPERVISE,
        "    except UNSURE as exc:\n        return _failed(row, exc)\n",
        '    except UNSURE:\n        start = "f00"\n',
        (FAULTS + "test_a_start_that_the_disk_has_no_room_to_record_does_not_begin",),
    ),
    Mutant(
        "a journal that cannot be read is empty",
        STARTS,
        "    if content is None and os.path.lexists(path):\n",
        "    if content is None and not path:\n",
        (JOURNAL + "test_what_cannot_be_read_is_an_error_and_holds_nothing",),
    ),
    Mutant(
        "two agents write the journal at once",
        STARTS,
        "        self._lock.take(LOCK_TIMEOUT_S)\n",
        "",
        (JOURNAL + "test_two_agents_lose_no_start_of_each_other",),
    ),
    Mutant(
        "one port displaces another one's starts",
        STARTS,
        "        counts[record.port] = counts.get(record.port, 0) + 1\n",
        "        counts[record.port] = len(kept) + 1\n",
        (JOURNAL + "test_one_port_that_never_gets_ready_does_not_displace_what_holds_another",),
    ),
    Mutant(
        "it is never held",
        BACKOFF,
        "    if _within_window(failed, MAX_STARTS):\n",
        "    if not starts:\n",
        (PURE + "test_five_starts_in_vain_within_an_hour_hold_it_for_good",),
    ),
    Mutant(
        "a refusal counts as a failed start",
        BACKOFF,
        "    failed = [start for start in starts if start.outcome != REFUSED]\n",
        "    failed = list(starts)\n",
        (PURE + "test_refusals_of_loads_checks_end_at_a_quarter_of_an_hour_and_hold_nothing",),
    ),
    Mutant(
        "a machine that goes down is no matter",
        BACKOFF,
        "    if _within_window(outages, MAX_OUTAGES):\n",
        "    if not starts:\n",
        (PURE + "test_two_outages_in_the_middle_of_a_start_within_an_hour_hold_it",),
    ),
    Mutant(
        "the clock is believed",
        BACKOFF,
        "    if then.boot == now.boot:\n        return max(0.0, now.up_s - then.up_s)\n",
        "",
        (PURE + "test_a_clock_that_jumps_changes_nothing",),
    ),
    Mutant(
        "there is no pause",
        BACKOFF,
        "    return Decision(wait_s, ",
        "    return Decision(0.0, ",
        (PURE + "test_the_pauses_grow_with_the_starts_of_the_last_hour",),
    ),
    Mutant(
        "what was unloaded is started",
        "agent/load/preflight.py",
        "    if request.if_wanted and entry.wanted != request.port:\n",
        "    if request.if_wanted and not request.port:\n",
        (FAULTS + "test_a_model_that_was_unloaded_meanwhile_is_not_started",),
    ),
    Mutant(
        "what the host file gives to another model is started",
        SUPERVISE,
        "    if target.entry is None or target.entry.name != target.wanted:\n",
        "    if target.wanted is None:\n",
        (SYSTEM + "test_a_port_that_the_host_file_gives_to_another_model_is_left",),
    ),
    Mutant(
        "a load by a person forgets nothing",
        "agent/ops/load.py",
        "            if not start_id:\n",
        "            if start_id is True:\n",
        (SYSTEM + "test_what_crashes_again_and_again_waits_longer_and_is_held_after_five_starts",),
    ),
    Mutant(
        "a start under way is settled",
        SUPERVISE,
        "    if start.outcome is None and not _is_under_way(ctx, record):\n",
        "    if start.outcome is None:\n",
        (FAULTS + "test_a_start_that_outlives_cron_is_let_be_and_counted_later",),
    ),
    Mutant(
        "what became of a start is not looked up",
        SUPERVISE,
        '        if job is not None and job.state != "died":\n',
        '        if job is not None and job.state == "never":\n',
        (FAULTS + "test_a_start_that_outlives_cron_is_let_be_and_counted_later",),
    ),
    Mutant(
        "a dry run starts",
        SUPERVISE,
        "        done = _decided(ctx, due) if dry else _started(ctx, due, _settle(ctx))\n",
        "        done = _started(ctx, due, _settle(ctx))\n",
        (SYSTEM + "test_without_the_option_and_in_a_dry_run_nothing_is_started",),
    ),
    Mutant(
        "two crons start at once",
        SUPERVISE,
        "            row = _with_decision(row, journal.records, this_moment(ctx.procs))\n",
        "",
        (FAULTS + "test_two_crons_at_once_start_one_server",),
    ),
    Mutant(
        "a restricted key starts servers",
        "agent/wire/arguments.py",
        '    if args.get("restart") and "load" not in verbs:\n',
        '    if args.get("restart") and not verbs:\n',
        (ARGUMENTS + "test_a_restricted_key_starts_no_server_through_reconcile",),
    ),
)
