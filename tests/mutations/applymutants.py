"""Rules of plan and apply, as mutants."""

from __future__ import annotations

from .mutant import Mutant

CONDUCT = "agent/slots/conduct.py"
STEPS = "agent/slots/steps.py"
APPLY_OP = "agent/ops/apply.py"
BEGIN = "tests/unit/slots/test_conduct.py::"
REQUESTS = "tests/unit/slots/test_steps.py::"
APPLY = "tests/system/slots/test_apply.py::"
REFUSES = "tests/system/slots/test_apply_refuses.py::"
EARLY = "tests/system/slots/test_apply_ends_early.py::"
MOVES = "tests/system/slots/test_moves.py::"

APPLIED = (
    Mutant(
        "a server that is right already is started again",
        "agent/load/preflight.py",
        'fault == "" and (request.by_plan or not request.replace)',
        'fault == "" and not request.replace',
        (APPLY + "test_a_step_that_finds_its_model_there_already_leaves_it",),
    ),
    Mutant(
        "a step does not wait for those before it",
        CONDUCT,
        "self._running.intersection((*step.after, step.port)) or ",
        "",
        (BEGIN + "test_a_step_waits_for_those_it_comes_after",),
    ),
    Mutant(
        "a step begins although what it waits for failed",
        CONDUCT,
        "        failed = [port for port in step.after if self._has_failed(port)]\n",
        "        failed: List[int] = []\n",
        (BEGIN + "test_a_failure_stops_only_what_depends_on_it",),
    ),
    Mutant(
        "all steps begin at once",
        CONDUCT,
        " or len(self._running) >= self._jobs:",
        ":",
        (BEGIN + "test_at_most_so_many_at_a_time_and_in_order",),
    ),
    Mutant(
        "steps begin after a cancel",
        CONDUCT,
        "        while waiting:\n            step = waiting.popleft()\n",
        "        for step in ():\n",
        (BEGIN + "test_after_a_cancel_nothing_begins",),
    ),
    Mutant(
        "a cancel does not reach the steps that run",
        CONDUCT,
        "        for agent in list(self._agents):\n            agent.cancel()\n",
        "",
        (BEGIN + "test_after_a_cancel_nothing_begins",),
    ),
    Mutant(
        "memory is counted without what the old server uses",
        STEPS,
        "max(need, self.used.get(port, 0))",
        "need",
        (REQUESTS + "test_a_swap_counts_as_the_larger_of_its_servers_until_it_has_ended",),
    ),
    Mutant(
        "an unload of a plan stops any server",
        STEPS,
        '        "pids": _pids(row),\n',
        '        "pids": None,\n',
        (REQUESTS + "test_a_pruned_port_is_unloaded_for_good_and_only_the_planned_server",),
    ),
    Mutant(
        "a load of a plan stops any server",
        STEPS,
        '**load_arguments(registry, row), "pids": pids, ',
        "**load_arguments(registry, row), ",
        (
            "tests/system/slots/test_stale_plan.py::test_a_server_that_came_after_the_plan_is_not_stopped",
        ),
    ),
    Mutant(
        "the servers that the user was asked about do not matter",
        "agent/ops/apply.py",
        "if pids is not None and row.pid not in pids",
        "if pids is not None and row.pid is None",
        (
            "tests/system/slots/test_stale_plan.py"
            "::test_a_server_that_the_user_was_not_asked_about_is_not_stopped",
        ),
    ),
    Mutant(
        "the pids of an unload do not matter",
        "agent/wire/arguments.py",
        '        "pids": values.pids,\n        "keep_wanted": values.flag,\n',
        '        "pids": lambda value: None,\n        "keep_wanted": values.flag,\n',
        (APPLY + "test_a_step_stops_no_other_server_than_the_planned_one",),
    ),
    Mutant(
        "a step may download what the plan does not",
        STEPS,
        '{"download": True} if row.download_bytes else {"ask_above_bytes": 0}',
        '{"download": True}',
        (REQUESTS + "test_only_what_the_plan_downloads_may_be_downloaded",),
    ),
    Mutant(
        "an emptied port forgets what it wants",
        "agent/ops/unload.py",
        "    if keep_wanted:\n        return emptied\n",
        "",
        (MOVES + "test_a_cycle_that_is_cancelled_ends_as_it_began",),
    ),
    Mutant(
        "an emptied port stays empty",
        APPLY_OP,
        "    return restore_emptied(ctx, prepared.plan, outcomes, times)\n",
        "    return outcomes\n",
        (MOVES + "test_a_cycle_that_is_cancelled_ends_as_it_began",),
    ),
    Mutant(
        "a plan that does not fit as a whole is begun",
        APPLY_OP,
        "        _require_whole(ctx, prepared)\n",
        "",
        (REFUSES + "test_a_plan_that_does_not_fit_as_a_whole_touches_nothing",),
    ),
    Mutant(
        "downloads that do not fit together are begun",
        APPLY_OP,
        "    full = disk_error(ctx, plan)\n",
        "    full = None\n",
        (
            "tests/system/slots/test_apply_disk.py::"
            "test_nothing_is_downloaded_if_the_disk_has_no_space_for_all",
        ),
    ),
    Mutant(
        "a plan is begun before its downloads are agreed to",
        APPLY_OP,
        '        _require_consent(plan, args.get("ask_above_bytes"))\n',
        "",
        (REFUSES + "test_large_downloads_are_asked_about_before_anything_is_done",),
    ),
    Mutant(
        "steps are begun without the checks of all of them",
        "agent/slots/prepare.py",
        "    checks = check_loads(ctx, registry, draft)\n",
        "    checks = {}\n",
        (REFUSES + "test_a_plan_that_does_not_fit_as_a_whole_touches_nothing",),
    ),
    Mutant(
        "a model that moves is refused where it goes",
        "agent/slots/sizes.py",
        "        now = registry.put(mover.with_fields(port=None, process=None))\n",
        "        now = registry\n",
        (MOVES + "test_two_ports_exchange_their_models",),
    ),
    Mutant(
        "a slot binds a plan",
        "agent/load/preflight.py",
        "request.force or request.by_plan or request.restart",
        "request.force or request.restart",
        (APPLY + "test_the_slots_of_entries_do_not_bind_a_plan",),
    ),
    Mutant(
        "apply ends with its client",
        "agent/main.py",
        '    "unload-all",\n    "apply",\n',
        '    "unload-all",\n',
        (EARLY + "test_a_client_that_is_lost_changes_nothing",),
    ),
)
