"""rank: what another host's agent asks of this one for a model that runs on both: check, start,
look, stop."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, Mapping, Optional, Tuple

from ..clock import Deadline, wait_for
from ..context import Context
from ..errors import Failed, NotReady, NotStopped
from ..models import cache as hfcache
from ..models import completeness
from ..models.rejections import find_rejections
from ..ports import process_owner
from ..procs import Process, tree
from ..programs import find as programs
from ..ranks.ring import environment, require_local_address
from ..registry.entries import Entry, coerce
from ..runtimes import table as runtimes
from ..runtimes.launch import launch_of, template_text
from ..runtimes.table import HelpFlags, Runtime, recognise
from ..servers.launch import PendingServer, launch, log_tail
from ..servers.stop import StopTarget, stop
from ..site import log_path

POLL_INTERVAL_S, EXEC_TIMEOUT_S = 0.1, 1.0


def rank(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    return {"check": _check, "start": _start, "look": _look, "stop": _stop}[args["do"]](ctx, args)


def _check(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Whether it could start here, and the memory there is."""
    entry = _entry(args)
    if not hfcache.is_complete(entry.cache_path) or completeness.has_stale_index(entry.cache_path):
        text = "%s is not there, or not whole" % entry.cache_path
        raise Failed(text, "copy the snapshot there, with its index, to the same path")
    require_local_address(str(args["at"]))
    runtime, _, flags = _program(ctx, entry)
    refused = find_rejections(runtime, entry, flags, os.path.isfile)
    if refused:
        said = "%s there would refuse %s: %s" % (
            runtime.name,
            entry.name,
            "; ".join(r.reason for r in refused),
        )
        raise Failed(said, "bring the hosts to the same version")
    return {"available_bytes": ctx.procs.memory().available_bytes}


def _entry(args: Mapping[str, Any]) -> Entry:
    return coerce(str(args["name"]), args["entry"])


def _program(ctx: Context, entry: Entry) -> Tuple[Runtime, Tuple[str, ...], HelpFlags]:
    runtime = ctx.site.runtime_named(entry.text("runtime"))
    words = programs.require_command(ctx.site, runtime)
    return (
        runtime,
        words,
        programs.help_flags(runtime, words, ctx.site.state_dir, check=ctx.client.check),
    )


def _argv(ctx: Context, entry: Entry, args: Mapping[str, Any]) -> Tuple[str, ...]:
    runtime, words, flags = _program(ctx, entry)
    # Only rank 0 listens for clients: by its port of the ring no host takes another for a server of
    # one of its ports.
    launch = launch_of(entry, _ring_port(args), ctx.site.bind, entry.name)
    return runtimes.argv(runtime, words, launch, flags, template_text(runtime, entry))


def _start(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Hold it at the gate until it is on record there; then tell of its end, as long as anybody
    listens.

    When the link ends before, this process ends, and what waits at the gate with it."""
    name = "%d.rank%d" % (args["port"], args["number"])
    argv = _argv(ctx, _entry(args), args)
    if not ctx.procs.free(_ring_port(args), _address(args)):
        raise Failed("cannot listen on %s: it is taken" % args["at"], "see who listens there")
    env = environment(ctx.site.state_dir, name, args["number"], args["ring"])
    gated = launch(ctx.procs, argv, {**ctx.site.server_env, **env}, ctx.site.state_dir, name)
    ctx.client.emit("gated", pid=gated.process.pid, start_time=gated.process.start_time)
    while not ctx.client.start_allowed.wait(POLL_INTERVAL_S):
        _check_alive(ctx, gated, name)
    gated.release()
    while True:
        _check_alive(ctx, gated, name)
        time.sleep(POLL_INTERVAL_S)


def _address(args: Mapping[str, Any]) -> str:
    return str(args["at"]).rpartition(":")[0]


def _ring_port(args: Mapping[str, Any]) -> int:
    return int(str(args["at"]).rpartition(":")[2])


def _check_alive(ctx: Context, gated: PendingServer, name: str) -> None:
    status = gated.exited()
    if status is not None:
        log = list(log_tail(log_path(ctx.site.state_dir, name)))
        raise NotReady("its rank ended with status %d" % status, "see %s.log there" % name, log=log)


def _look(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    return {"alive": _recorded(ctx, args) is not None}


def _recorded(ctx: Context, args: Mapping[str, Any]) -> Optional[Process]:
    process = ctx.procs.process(args["pid"])
    same = process is not None and not process.zombie and process.start_time == args["start_time"]
    return process if same else None


def _stop(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """End the recorded rank, proven by pid, start time and its command line with its port of the
    ring."""
    # In the moment in which it becomes the server, its command line is empty.
    wait_for(lambda: _is_ours(ctx, args), Deadline(EXEC_TIMEOUT_S))
    process = _recorded(ctx, args)
    if process is None:
        return {"stopped": False}
    if not process_owner.is_own(process):
        text = "pid %d, recorded as a rank of port %d, runs as user %s"
        raise NotStopped(
            text % (process.pid, args["port"], process_owner.user_name(process.uid)),
            "stop it there as that user",
            pid=process.pid,
        )
    if not _serves(ctx, process, _ring_port(args)):
        raise NotStopped(
            "pid %d, recorded as a rank of port %d, runs something else"
            % (process.pid, args["port"]),
            "look at it there",
            pid=process.pid,
        )
    family = tree(process_owner.own_processes(ctx.procs.processes()), process.pid)
    prey = StopTarget(_ring_port(args), _address(args), (process,), family)
    stop(
        ctx.procs,
        prey,
        args["grace_s"],
        lambda text: ctx.client.emit("phase", message=text),
    )
    return {"stopped": True}


def _is_ours(ctx: Context, args: Mapping[str, Any]) -> bool:
    process = _recorded(ctx, args)
    return process is None or _serves(ctx, process, _ring_port(args))


def _serves(ctx: Context, process: Process, port: int) -> bool:
    """A runtime's command line with the port; or still the gate, whose words end with it."""
    words = process.argv
    behind = words[words.index("mlxops-gate") + 1 :] if "mlxops-gate" in words else words
    call = recognise(behind, ctx.site.runtimes)
    return call is not None and call.port == port
