"""rank: serve another host's agent, for a model that runs on both: check, start, look, stop."""

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
from ..programs.installed import Installed, require_installed
from ..ranks.ring import environment, require_local_address
from ..registry.entries import Entry, coerce
from ..runtimes import table as runtimes
from ..runtimes.launch import launch_of, template_text, write_template_copy
from ..runtimes.table import recognise
from ..servers.launch import PendingServer, launch, log_tail
from ..servers.stop import StopTarget, stop
from ..site import log_path

POLL_INTERVAL_S, EXEC_TIMEOUT_S = 0.1, 1.0


def rank(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    return {"check": _check, "start": _start, "look": _alive, "stop": _stop}[args["do"]](ctx, args)


def _check(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Check that the rank could start here; return the available memory."""
    entry = _entry(args)
    if not hfcache.is_complete(entry.cache_path) or completeness.has_stale_index(entry.cache_path):
        text = "%s is missing or incomplete" % entry.cache_path
        raise Failed(text, "copy the snapshot, with its index, to the same path on that host")
    require_local_address(str(args["at"]))
    there = _installed(ctx, entry)
    runtime = there.runtime
    refused = find_rejections(runtime, entry, there.flags or {}, os.path.isfile)
    if refused:
        text = "%s on that host would refuse %s: %s" % (
            runtime.name,
            entry.name,
            "; ".join(r.reason for r in refused),
        )
        raise Failed(text, "install the same version on all hosts")
    return {"available_bytes": ctx.procs.memory().available_bytes}


def _entry(args: Mapping[str, Any]) -> Entry:
    return coerce(str(args["name"]), args["entry"])


def _installed(ctx: Context, entry: Entry) -> Installed:
    return require_installed(ctx.site, entry.text("runtime"), check=ctx.client.check)


def _argv(ctx: Context, entry: Entry, args: Mapping[str, Any]) -> Tuple[str, ...]:
    there = _installed(ctx, entry)
    # Only rank 0 listens for clients. With its ring port no host takes it for a server of a port.
    write_template_copy(ctx.site.state_dir, there.runtime, entry)
    launch = launch_of(
        entry, _ring_port(args), ctx.site.bind, entry.name, state_dir=ctx.site.state_dir
    )
    return runtimes.argv(
        there.runtime,
        there.command,
        launch,
        there.flags or {},
        template_text(there.runtime, entry),
    )


def _start(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Hold the rank at its gate until the other host has recorded it, then report its end.

    If the link ends before, this process ends, and with it the rank at the gate."""
    name = "%d.rank%d" % (args["port"], args["number"])
    argv = _argv(ctx, _entry(args), args)
    if not ctx.procs.free(_ring_port(args), _address(args)):
        raise Failed("%s is already in use" % args["at"], "find the process that listens there")
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
        raise NotReady(
            "its rank exited with status %d" % status, "see %s.log on that host" % name, log=log
        )


def _alive(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    return {"alive": _recorded(ctx, args) is not None}


def _recorded(ctx: Context, args: Mapping[str, Any]) -> Optional[Process]:
    process = ctx.procs.process(args["pid"])
    same = process is not None and not process.zombie and process.start_time == args["start_time"]
    return process if same else None


def _stop(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Stop the recorded rank, identified by pid, start time and the ring port of its command."""
    # During exec its command line is empty for a moment.
    wait_for(lambda: _is_ours(ctx, args), Deadline(EXEC_TIMEOUT_S))
    process = _recorded(ctx, args)
    if process is None:
        return {"stopped": False}
    if not process_owner.is_own(process):
        text = "pid %d, recorded as a rank of port %d, runs as user %s"
        raise NotStopped(
            text % (process.pid, args["port"], process_owner.user_name(process.uid)),
            "stop it on that host as that user",
            pid=process.pid,
        )
    if not _serves(ctx, process, _ring_port(args)):
        raise NotStopped(
            "pid %d, recorded as a rank of port %d, is another program"
            % (process.pid, args["port"]),
            "check it on that host",
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
    """Whether it is a runtime's command line with the port, or the gate before it."""
    words = process.argv
    behind = words[words.index("mlxops-gate") + 1 :] if "mlxops-gate" in words else words
    call = recognise(behind, ctx.site.runtimes)
    return call is not None and call.port == port
