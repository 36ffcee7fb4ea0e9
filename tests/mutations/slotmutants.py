"""Rules of a plan, as mutants."""

from __future__ import annotations

from .mutant import Mutant

JUDGE, PLAN = "agent/slots/judge.py", "agent/slots/plan.py"
INTENT, ORDER = "agent/slots/intent.py", "agent/slots/order.py"
VERDICTS = "tests/unit/slots/test_judge.py::"
STEPS = "tests/unit/slots/test_plan.py::"
MEMORY = "tests/unit/slots/test_order.py::"
WISHES = "tests/unit/slots/test_intent.py::"
RANDOM = "tests/unit/slots/test_random_plans.py::test_a_few_random_hosts"

JUDGED = (
    Mutant(
        "what serves right is started again",
        JUDGE,
        '        return Verdict("same", _both(target.source, there))\n',
        "        pass\n",
        (STEPS + "test_what_serves_right_is_no_change",),
    ),
    Mutant(
        "a server that hangs is left",
        JUDGE,
        '    alive = found.state in ("ready", "starting") and bool(there.evidence.proven)\n',
        "    alive = bool(there.evidence.proven)\n",
        (VERDICTS + "test_a_declared_model",),
    ),
    Mutant(
        "a server that serves right is started again because the registry is lost",
        JUDGE,
        "    if there.holds(target):\n",
        "    if False:\n",
        (VERDICTS + "test_a_declared_model",),
    ),
    Mutant(
        "a port that a job works on is changed",
        JUDGE,
        "    if seen.job is not None:\n",
        "    if False:\n",
        (VERDICTS + "test_a_declared_model",),
    ),
    Mutant(
        "a port that could not be observed is changed",
        JUDGE,
        "    if seen.unknown:\n",
        "    if False:\n",
        (VERDICTS + "test_a_declared_model",),
    ),
    Mutant(
        "prune unloads a server that no entry knows",
        JUDGE,
        "    if server is not None and not (there.is_registered and there.evidence.proven):\n",
        "    if False:\n",
        (STEPS + "test_prune_leaves_servers_that_are_not_of_this_registry",),
    ),
    Mutant(
        "what is declared nowhere is unloaded without prune",
        JUDGE,
        "    if not (options.prune and _may_unload(there)):\n",
        "    if not _may_unload(there):\n",
        (VERDICTS + "test_a_port_that_nobody_wants_is_left",),
    ),
    Mutant(
        "a step is planned although load's checks refuse it",
        PLAN,
        "    if check.error is not None:\n",
        "    if False:\n",
        (VERDICTS + "test_an_error_of_loads_checks_blocks_the_port",),
    ),
    Mutant(
        "a port that was not asked for gets a step",
        PLAN,
        "        for port in options.ports\n",
        "        for port in there\n",
        (STEPS + "test_a_port_that_is_not_asked_for_has_no_row",),
    ),
)

WISHED = (
    Mutant(
        "what is wanted wins over what is declared",
        INTENT,
        "    if options.to == DECLARED or (options.to == BOTH and target.source):\n",
        "    if options.to == DECLARED:\n",
        (STEPS + "test_declared_wins_over_wanted",),
    ),
    Mutant(
        "a model is loaded where it was wanted, although it is declared for another port",
        INTENT,
        "    free = [entry for entry in wanted if entry.name not in places]\n",
        "    free = list(wanted)\n",
        (
            STEPS + "test_a_wanted_model_that_is_declared_for_another_port_is_not_loaded_where_it"
            "_was",
        ),
    ),
    Mutant(
        "a model declared for two ports is loaded on both",
        INTENT,
        "        _require_one_port_each(declared, entries, options.ports)\n",
        "",
        (WISHES + "test_a_model_declared_for_two_ports_is_refused_with_both_keys",),
    ),
    Mutant(
        "of two entries that want a port the first is loaded",
        INTENT,
        "    problem = _two_want_it(free) if len(free) > 1 else None\n",
        "    problem = None\n",
        (WISHES + "test_two_entries_that_want_a_port_are_refused_for_that_port",),
    ),
)

ORDERED = (
    Mutant(
        "a move does not wait for the port that frees the model",
        PLAN,
        "after=self.homes[port] if verdict.verdict in LOADS else ()",
        "after=()",
        (STEPS + "test_a_move_waits_for_the_port_that_frees_the_model", RANDOM),
    ),
    Mutant(
        "a blocked port frees its model",
        "agent/slots/moves.py",
        " if p not in verdicts or not verdicts[p].is_step]",
        " if p not in verdicts]",
        (STEPS + "test_a_blocked_port_blocks_the_whole_chain_behind_it",),
    ),
    Mutant(
        "all ports are unloaded first",
        ORDER,
        "    for count in range(len(candidates) + 1):\n",
        "    for count in range(len(candidates), len(candidates) + 1):\n",
        (STEPS + "test_a_chain_of_moves_runs_from_its_free_end", RANDOM),
    ),
    Mutant(
        "what needs memory does not wait for what frees it",
        ORDER,
        "        if stages.fits([*group, stage], done) and (\n",
        "        if (\n",
        (MEMORY + "test_a_step_that_frees_memory_comes_before_one_that_needs_it",),
    ),
    Mutant(
        "a step begins although what should make room for it has failed",
        ORDER,
        "        if not failed or stages.fits([stage], _without(failed, after, earlier)):\n",
        "        if True:\n",
        (MEMORY + "test_a_step_that_frees_memory_comes_before_one_that_needs_it",),
    ),
    Mutant(
        "the whole sum is not checked",
        PLAN,
        "        return self.short_bytes <= 0 or not grows\n",
        "        return True\n",
        (MEMORY + "test_a_sum_that_does_not_fit_touches_nothing",),
    ),
    Mutant(
        "a model that is too large alone is left out of the sum",
        PLAN,
        ' or verdict.kind == "TooBig"):\n',
        "):\n",
        (MEMORY + "test_a_model_that_is_too_large_alone_counts_in_the_sum",),
    ),
    Mutant(
        "evict unloads what the plan keeps",
        "agent/slots/evictions.py",
        '        and (port not in verdicts or verdicts[port].verdict == "leave")\n',
        "",
        (MEMORY + "test_evict_takes_only_registered_servers_that_the_plan_leaves_alone",),
    ),
    Mutant(
        "evict takes a port that it must not",
        "agent/slots/evictions.py",
        "    return proven and obstacle_of(there) is None\n",
        "    return True\n",
        (MEMORY + "test_evict_takes_only_registered_servers_that_the_plan_leaves_alone",),
    ),
)

PLANNED = (*JUDGED, *WISHED, *ORDERED)
