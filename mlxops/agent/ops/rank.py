"""rank: what another host's agent asks of this one for a model that runs on both: check, start, look, stop."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, Mapping, Optional, Tuple

from ..clock import Deadline, wait_for
from ..context import Command
from ..errors import Failed, NotReady, NotStopped
from ..models import cache as hfcache
from ..models import wholeness
from ..models.refusals import refusals
from ..ports import owner
from ..procs import Process, tree
from ..programs import find as programs
from ..ranks.ring import environment, need_address
from ..registry.entries import Entry, coerce
from ..runtimes import table as runtimes
from ..runtimes.launch import launch_of, template_text
from ..runtimes.table import Offered, Runtime, recognise
from ..servers.launch import Gated, start, tail
from ..servers.stop import Quarry, stop
from ..site import log_path

LOOK_EVERY_S, LOOK_AGAIN_S = 0.1, 1.0


def rank(command: Command, args: Mapping[str, Any]) -> Dict[str, Any]:
    return {"check": _check, "start": _start, "look": _look, "stop": _stop}[args["do"]](command, args)


def _check(command: Command, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Whether it could start here, and the memory there is."""
    entry = _entry(args)
    if not hfcache.whole(entry.cache_path) or wholeness.stale_index(entry.cache_path):
        text = "%s is not there, or not whole" % entry.cache_path
        raise Failed(text, "copy the snapshot there, with its index, to the same path")
    need_address(str(args["at"]))
    runtime, _, flags = _program(command, entry)
    refused = refusals(runtime, entry, flags, os.path.isfile)
    if refused:
        said = "%s there would refuse %s: %s" % (runtime.name, entry.name, "; ".join(r.reason for r in refused))
        raise Failed(said, "bring the hosts to the same version")
    return {"available_bytes": command.procs.memory().available_bytes}


def _entry(args: Mapping[str, Any]) -> Entry:
    return coerce(str(args["name"]), args["entry"])


def _program(command: Command, entry: Entry) -> Tuple[Runtime, Tuple[str, ...], Offered]:
    runtime = command.site.runtime_named(entry.text("runtime"))
    words = programs.command(command.site, runtime)
    return runtime, words, programs.help_flags(runtime, words, command.site.state_dir, check=command.client.check)


def _argv(command: Command, entry: Entry, args: Mapping[str, Any]) -> Tuple[str, ...]:
    runtime, words, flags = _program(command, entry)
    # Only rank 0 listens for clients: by its port of the ring no host takes another for a server of one of its ports.
    launch = launch_of(entry, _ring_port(args), command.site.bind, entry.name)
    return runtimes.argv(runtime, words, launch, flags, template_text(runtime, entry))


def _start(command: Command, args: Mapping[str, Any]) -> Dict[str, Any]:
    """Hold it at the gate until it is on record there; then tell of its end, as long as anybody listens.

    When the link ends before, this process ends, and what waits at the gate with it.
    """
    name = "%d.rank%d" % (args["port"], args["number"])
    argv = _argv(command, _entry(args), args)
    if not command.procs.free(_ring_port(args), _address(args)):
        raise Failed("cannot listen on %s: it is taken" % args["at"], "see who listens there")
    env = environment(command.site.state_dir, name, args["number"], args["ring"])
    gated = start(command.procs, argv, {**command.site.server_env, **env}, command.site.state_dir, name)
    command.client.emit("gated", pid=gated.process.pid, start_time=gated.process.start_time)
    while not command.client.told_to_go.wait(LOOK_EVERY_S):
        _check_alive(command, gated, name)
    gated.release()
    while True:
        _check_alive(command, gated, name)
        time.sleep(LOOK_EVERY_S)


def _address(args: Mapping[str, Any]) -> str:
    return str(args["at"]).rpartition(":")[0]


def _ring_port(args: Mapping[str, Any]) -> int:
    return int(str(args["at"]).rpartition(":")[2])


def _check_alive(command: Command, gated: Gated, name: str) -> None:
    status = gated.exited()
    if status is not None:
        log = list(tail(log_path(command.site.state_dir, name)))
        raise NotReady("its rank ended with status %d" % status, "see %s.log there" % name, log=log)


def _look(command: Command, args: Mapping[str, Any]) -> Dict[str, Any]:
    return {"alive": _recorded(command, args) is not None}


def _recorded(command: Command, args: Mapping[str, Any]) -> Optional[Process]:
    process = command.procs.process(args["pid"])
    same = process is not None and not process.zombie and process.start_time == args["start_time"]
    return process if same else None


def _stop(command: Command, args: Mapping[str, Any]) -> Dict[str, Any]:
    """End the recorded rank, proven by pid, start time and its command line with its port of the ring."""
    # In the moment in which it becomes the server, its command line is empty.
    wait_for(lambda: _is_ours(command, args), Deadline(LOOK_AGAIN_S))
    process = _recorded(command, args)
    if process is None:
        return {"stopped": False}
    if not owner.is_own(process):
        text = "pid %d, recorded as a rank of port %d, runs as user %s"
        raise NotStopped(
            text % (process.pid, args["port"], owner.user(process.uid)), "stop it there as that user", pid=process.pid
        )
    if not _serves(command, process, _ring_port(args)):
        raise NotStopped(
            "pid %d, recorded as a rank of port %d, runs something else" % (process.pid, args["port"]),
            "look at it there",
            pid=process.pid,
        )
    family = tree(owner.own(command.procs.processes()), process.pid)
    prey = Quarry(_ring_port(args), _address(args), (process,), family)
    stop(command.procs, prey, args["grace_s"], lambda text: command.client.emit("phase", message=text))
    return {"stopped": True}


def _is_ours(command: Command, args: Mapping[str, Any]) -> bool:
    process = _recorded(command, args)
    return process is None or _serves(command, process, _ring_port(args))


def _serves(command: Command, process: Process, port: int) -> bool:
    """A runtime's command line with the port; or still the gate, whose words end with it."""
    words = process.argv
    behind = words[words.index("mlxops-gate") + 1 :] if "mlxops-gate" in words else words
    call = recognise(behind, command.site.runtimes)
    return call is not None and call.port == port
