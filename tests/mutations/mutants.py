"""Each safeguard, as the text to remove from the code, and the tests that must notice."""

from __future__ import annotations

from .applymutants import APPLIED
from .historymutants import CHRONICLED
from .movemutants import MOVED
from .mutant import Mutant
from .namemutants import NAMED
from .ownermutants import OWNED
from .registrymutants import DURABLE, SHARED
from .slotmutants import PLANNED
from .supervisemutants import SUPERVISED
from .wantedmutants import WANTED

STOP = "tests/agent/servers/test_stop.py::"
PROCS = "tests/agent/procs/test_procs.py::"
READY = "tests/agent/servers/test_ready.py::"
BETWEEN = "tests/agent/servers/test_between_looks.py::"
LAUNCH = "tests/agent/servers/test_launch.py::"
FOLDERS = "tests/unit/wire/test_stub_folders.py::"
EVICT = "tests/system/load/test_evict.py::"
RECORDED = "        record_error = _record("
FULL_DISK = "tests/system/load/test_full_disk.py::"
PLAN = "tests/unit/ports/test_reconcile_plan.py::"

LOOKED_AT = (
    Mutant(
        "no start time before a signal",
        "agent/procs/linux.py",
        "        if not self._same(process):\n            return False\n        try:\n",
        "        try:\n",
        (PROCS + "test_a_signal_reaches_the_process_and_only_that_start_of_it",),
    ),
    Mutant(
        "no start time before a signal without pidfd",
        "agent/procs/linux.py",
        "        if not self._same(process):\n            return False\n        return signals",
        "        return signals",
        (PROCS + "test_without_pidfd_a_signal_is_as_careful",),
    ),
    Mutant(
        "no start time before a signal on a Mac",
        "agent/procs/macos/darwin.py",
        " or now.start_time != process.start_time:",
        ":",
        (PROCS + "test_a_signal_reaches_the_process_and_only_that_start_of_it",),
    ),
    Mutant(
        "a family is known by pids alone",
        "agent/servers/stop.py",
        " and now.start_time == then.start_time",
        "",
        (STOP + "test_a_pid_that_names_another_process_by_now_gets_no_signal",),
    ),
    Mutant(
        "a zombie is alive",
        "agent/servers/stop.py",
        "now is not None and not now.zombie and ",
        "now is not None and ",
        (STOP + "test_a_zombie_is_gone",),
    ),
    Mutant(
        "a recorded process is known by its pid alone",
        "agent/ports/observe.py",
        ' and process.start_time == record.get("start_time")\n',
        "\n",
        ("tests/unit/ports/test_observe.py",),
    ),
    Mutant(
        "what a server left is known by pids alone",
        "agent/ports/observe.py",
        ' and p.start_time == m.get("start_time")\n    ]',
        "\n    ]",
        ("tests/unit/ports/test_observe.py",),
    ),
    Mutant(
        "a failed look finds nothing",
        "agent/ports/observe.py",
        "        listeners = procs.listeners(ports)\n"
        "    except Unobservable as exc:\n        unknown.append(exc.reason)\n",
        "        listeners = procs.listeners(ports)\n"
        "    except Unobservable as exc:\n        listeners = ()\n",
        (
            "tests/system/ops/"
            "test_reconcile.py::test_without_a_tool_nothing_is_cleared_and_it_is_named",
        ),
    ),
    Mutant(
        "what could not be seen is gone",
        "agent/ports/evidence.py",
        " and self.listeners is not None and not self.unknown and ",
        " and ",
        (PLAN + "test_one_sign_of_life_or_doubt_is_enough_to_clear_nothing",),
    ),
    Mutant(
        "a port that is worked on may be cleared",
        "agent/ports/evidence.py",
        " and not self.unknown and self.job is None",
        " and not self.unknown",
        (PLAN + "test_one_sign_of_life_or_doubt_is_enough_to_clear_nothing",),
    ),
    Mutant(
        "the proof is not taken again under the port's lock",
        "agent/ops/reconcile.py",
        "        or not evidence.proven_idle\n",
        "",
        ("tests/system/ops/test_reconcile.py", "tests/system/ports/test_evidence.py"),
    ),
    Mutant(
        "a port is cleared that cannot be bound",
        "agent/ops/reconcile.py",
        "        or not ctx.procs.free(port, ctx.site.bind)\n",
        "",
        ("tests/system/ops/test_reconcile.py",),
    ),
)

LIVES = (
    Mutant(
        "the port may be taken after a stop",
        "agent/servers/stop.py",
        "        if not free and not self._procs.free(port, bind):\n",
        "        if False:\n",
        (STOP + "test_a_port_that_somebody_else_holds_is_not_stopped",),
    ),
    Mutant(
        "one address is enough for a free port",
        "agent/procs/binding.py",
        "    return dict.fromkeys((*EVERYWHERE, *_resolved(bind, port)))\n",
        "    return dict.fromkeys(_resolved(bind, port))\n",
        (PROCS + "test_a_port_held_on_any_address_is_not_free",),
    ),
    Mutant(
        "a server may be left after a stop",
        "agent/servers/stop.py",
        "        if survivors:\n",
        "        if False:\n",
        ("tests/agent/servers/test_stop.py", "tests/agent/servers/test_between_looks.py"),
    ),
    Mutant(
        "a look that failed saw nothing",
        "agent/servers/stop.py",
        "            return condition()\n        except Unobservable:\n            return False\n",
        "            return condition()\n        except Unobservable:\n            return True\n",
        (BETWEEN + "test_looks_that_fail_after_the_signal_neither_end_a_stop_nor_pass_for_proof",),
    ),
    Mutant(
        "children born while we wait are forgotten",
        "agent/servers/stop.py",
        "            self._known.update(\n"
        "                {p.pid: p for p in tree(process_owner.own_processes(table), "
        "process.pid)[1:]}\n"
        "            )\n",
        "            pass\n",
        (STOP + "test_a_child_born_after_the_look_is_ended_as_well",),
    ),
    Mutant(
        "the first signal goes to the whole family",
        "agent/servers/stop.py",
        "        self.signal([p for p in living if p.pid in targets] or living, signum)\n",
        "        self.signal(living, signum)\n",
        ("tests/agent/servers/test_stop.py",),
    ),
    Mutant(
        "a foreign listener is ours to work on",
        "agent/ports/survey.py",
        "    _refuse_foreign(evidence)\n",
        "",
        (
            "tests/system/test_field_cases.py::test_unload_is_no_success_while_a_foreign_process_holds_the_port",
        ),
    ),
    Mutant(
        "a load does not look again once the port is its own",
        "agent/ops/load.py",
        "            plan = plan_load(ctx, plan.request, own_lock=True)\n",
        "",
        ("tests/system/jobs/test_race.py",),
    ),
    Mutant(
        "no gate",
        "agent/servers/launch.py",
        '\'read -r go && [ "$go" = go ] && exec "$@" </dev/null\'',
        "'exec \"$@\" </dev/null'",
        (LAUNCH + "test_at_the_gate_it_waits_while_another_starts_and_serves",),
    ),
    Mutant(
        "a server starts before it is on record",
        "agent/servers/start.py",
        RECORDED,
        "        pending.release()\n" + RECORDED,
        ("tests/agent/servers/test_start.py",),
    ),
    Mutant(
        "a load takes no room on the disk",
        "agent/ops/load.py",
        "    disk.reserve(plan.request.port, LOAD_EDITS, servers=2)\n",
        "",
        (FULL_DISK + "test_no_room_is_told_before_anything_is_stopped",),
    ),
    Mutant(
        "a rollback depends on a note",
        "agent/servers/start.py",
        "        if not back:\n            raise\n",
        "        raise\n",
        (FULL_DISK + "test_what_could_not_be_noted_serves_and_is_noted_by_the_next_command",),
    ),
    Mutant(
        "a rank is known by its pid alone",
        "agent/ops/rank.py",
        ' and process.start_time == args["start_time"]\n',
        "\n",
        ("tests/agent/ops/test_rank.py",),
    ),
    Mutant(
        "a recorded rank is stopped whatever it runs",
        "agent/ops/rank.py",
        "    return call is not None and call.port == port\n",
        "    return True\n",
        ("tests/agent/ops/test_rank.py",),
    ),
    Mutant(
        "a host that says nothing is waited for all the same",
        "agent/ranks/peers.py",
        "        self._pipes.kill()\n        self.close()\n",
        "        self.close()\n",
        ("tests/agent/ranks/test_peers.py::test_who_does_not_answer_is_left_at_once",),
    ),
    Mutant(
        "a rank that lives elsewhere counts as gone",
        "agent/ranks/other_hosts.py",
        "not self.malformed and all(state.alive is False for state in self.states)\n",
        "True\n",
        ("tests/unit/ranks/test_ranks.py",),
    ),
    Mutant(
        "any listener will do at the start",
        "agent/servers/ready.py",
        "    _check_owner(procs, start)\n    until(lambda: _healthy(start))\n",
        "    until(lambda: _healthy(start))\n",
        (READY + "test_a_port_that_another_process_holds_is_never_ready",),
    ),
    Mutant(
        "any listener will do at the end",
        "agent/servers/ready.py",
        "    proof = _shown_by(procs, start, chat)\n    _check_owner(procs, start)\n",
        "    proof = _shown_by(procs, start, chat)\n",
        (BETWEEN + "test_a_listener_that_changes_hands_after_the_chat_is_not_ready",),
    ),
    Mutant(
        "whoever answers is the one that was started",
        "agent/servers/ready.py",
        "        if fault.check == IDENTITY and names_count:\n",
        "        if False:\n",
        (READY + "test_an_answer_in_another_name_is_not_ready",),
    ),
)

TRUSTED = (
    Mutant(
        "another user's agent is run",
        "agent/wire/stub.py",
        "    if seen.st_uid != os.geteuid() and (ours or seen.st_uid != 0):\n",
        "    if False:\n",
        (FOLDERS + "test_another_user_s_folder_is_refused",),
    ),
    Mutant(
        "an agent is run that others can write",
        "agent/wire/stub.py",
        "    if seen.st_mode & 0o022 and (ours or not seen.st_mode & stat.S_ISVTX):\n",
        "    if False:\n",
        (FOLDERS + "test_a_folder_others_can_write_is_refused",),
    ),
    Mutant(
        "a damaged agent is run",
        "agent/wire/stub.py",
        "    if not body or _imp.source_hash(0, body) != image[:CHECKSUM_BYTES]:\n",
        "    if not body:\n",
        ("tests/unit/wire/test_stub_image.py::test_a_damaged_agent_is_fetched_again",),
    ),
    Mutant(
        "a bundle is not checked against its hash",
        "agent/wire/unpack.py",
        "    if hashlib.sha256(text).hexdigest() != digest:\n",
        "    if False:\n",
        ("tests/unit/test_bundle.py",),
    ),
    Mutant(
        "an unknown host key is let in",
        "transport/ssh.py",
        '        if worst.status != "revoked" and any(verdict.status == "known" for verdict in '
        "verdicts):\n",
        '        if worst.status != "revoked" and any(v.status in ("known", '
        '"unknown") for v in verdicts):\n',
        (
            "tests/system/transport/test_refusals.py::"
            "test_unknown_host_key_names_the_fingerprint_and_the_command_that_trusts_it",
        ),
    ),
    Mutant(
        "a changed host key is let in",
        "transport/knownhosts.py",
        '        if key.blob == blob:\n            return HostKeyStatus("known", key)\n',
        '        if key.type:\n            return HostKeyStatus("known", key)\n',
        ("tests/unit/transport/test_knownhosts.py::test_verdicts",),
    ),
    Mutant(
        "a restricted key may run any verb",
        "agent/restricted/grant.py",
        "    if verb not in grant.verbs:\n",
        "    if False:\n",
        ("tests/system/restricted/test_authorize.py",),
    ),
)

ROOM = (
    Mutant(
        "a load under way will take nothing",
        "agent/memory/fit.py",
        " - sum(size for there, size in self.reserved.items() if there != port)\n",
        "\n",
        (EVICT + "test_two_loads_that_would_fill_the_same_room",),
    ),
    Mutant(
        "what was evicted stays gone",
        "agent/load/evict.py",
        "return restart_previous(ctx, evicted.job, disk, evicted.spec)",
        'return "gone"',
        (EVICT + "test_a_load_that_fails_or_is_cancelled_gives_the_room_back",),
    ),
)

MUTANTS = (
    *DURABLE,
    *SHARED,
    *LOOKED_AT,
    *LIVES,
    *TRUSTED,
    *ROOM,
    *OWNED,
    *WANTED,
    *MOVED,
    *SUPERVISED,
    *PLANNED,
    *APPLIED,
    *CHRONICLED,
    *NAMED,
)
