"""Start, watch and stop the other hosts' ranks of a model, together with the one on this host.

They are started like by mlx.launch (MLX_RANK, MLX_HOSTFILE), but each is recorded first:
docs/distributed.md."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..background import BackgroundCall
from ..clock import Deadline
from ..context import Context
from ..errors import (
    Failed,
    Interrupted,
    NotEnoughMemory,
    NotStopped,
    to_mlxops_error,
)
from ..models import cache, completeness
from ..models.files import INDEX
from ..registry.entries import Entry
from ..runtimes.table import Runtime
from ..site import run_folder
from .peers import PendingReply, RemoteAgent, ask_all
from .ranks import (
    Check,
    Rank,
    hostfile,
    hosts,
    require_able_runtime,
    ring_addresses,
    shard_count,
)

CHECK_TIMEOUT_S, GATE_TIMEOUT_S, STOP_TIMEOUT_S = 120.0, 60.0, 60.0
# After Ctrl-C, silent hosts are only waited for this long.
CANCEL_WAIT_S = 1.5
HEADROOM = 1.1


def gate_ranks(
    ctx: Context, entry: Entry, port: int, check: Check, stack: contextlib.ExitStack
) -> List[Tuple[Rank, RemoteAgent]]:
    """All ranks but the one here, each waiting at its gate until `stack` is closed. `check` is
    called meanwhile, and may raise."""
    addresses, calls = ring_addresses(entry, port), []
    for number, host in _others(entry):
        args = {
            "do": "start",
            "number": number,
            "ring": list(addresses),
            **_description(entry, port, addresses[number]),
        }
        calls.append((number, stack.enter_context(RemoteAgent(ctx.site, host, args))))
    waiting = [(number, call, BackgroundCall(partial(_gated, call))) for number, call in calls]
    gated = [(number, call, pending.wait(check)) for number, call, pending in waiting]
    return [
        (_rank(number, call.host, record, addresses[number]), call)
        for number, call, record in gated
    ]


def _gated(call: RemoteAgent) -> Mapping[str, Any]:
    deadline = Deadline(GATE_TIMEOUT_S)
    call.handshake(deadline)
    while True:
        record = call.record(deadline)
        if record.get("event") == "gated":
            return record


def _rank(number: int, host: str, record: Mapping[str, Any], at: str) -> Rank:
    return Rank(
        number=number,
        host=host,
        pid=int(record["pid"]),
        start_time=str(record["start_time"]),
        at=at,
    )


def _others(entry: Entry) -> List[Tuple[int, str]]:
    """(rank, ssh name) of all but the first."""
    return [(number, host) for number, (host, _) in enumerate(hosts(entry)) if number]


def _description(entry: Entry, port: int, at: str) -> Dict[str, Any]:
    plain = {key: value for key, value in entry.fields.items() if key != "process"}
    return {"name": entry.name, "entry": plain, "port": port, "at": at}


def environment(state_dir: str, name: str, number: int, addresses: Sequence[str]) -> Dict[str, str]:
    """MLX's protocol: the number of this rank, and a file with the addresses of all."""
    path = os.path.join(run_folder(state_dir, name), "ring.json")
    text = hostfile(addresses)
    if _text(path) != text:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
    return {"MLX_RANK": str(number), "MLX_HOSTFILE": path}


def _text(path: str) -> str:
    """The file's present text: writing it again would need disk space."""
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def require_local_address(at: str) -> None:
    """Raise Failed unless it is an address of this host."""
    address = at.rpartition(":")[0]
    try:
        socket.create_server((address, 0)).close()
    except OSError as exc:
        text = "%s is not an address of this host: %s" % (address, exc.strerror)
        raise Failed(text, "correct the entry's hosts") from exc


def check_hosts(
    ctx: Context, entry: Entry, port: int, runtime: Runtime, complete: bool, force: bool
) -> None:
    """Ask every host whether it could start its rank; raise the first reason why one could not."""
    if not complete:
        text = "%s is incomplete on this host; a model on several hosts must be on all of them"
        hint = "on each host: hf download %s" % entry.repo_id
        raise Failed(text % entry.name, hint, entry=entry.name)
    if completeness.has_stale_index(entry.cache_path):
        text = "the index of %s does not match its files; it decides how the model is divided"
        hint = "download the model again, or write a new %s" % INDEX
        raise Failed(text % entry.name, hint, entry=entry.name)
    require_able_runtime(entry, runtime)
    weights = cache.weights_bytes(entry.cache_path)
    addresses = ring_addresses(entry, port)
    require_local_address(addresses[0])
    requests = [
        (host, {"do": "check", **_description(entry, port, addresses[n])})
        for n, host in _others(entry)
    ]
    with ask_all(ctx.site, requests, CHECK_TIMEOUT_S) as replies:
        for (host, _), one in zip(requests, replies):
            available_bytes = one.answer.wait(ctx.client.check)["available_bytes"]
            require_memory(host, memory_needed(entry, weights)[host], available_bytes, force)


def memory_needed(entry: Entry, weights: Optional[int]) -> Dict[str, int]:
    """Bytes of memory by host; one host may run several ranks."""
    names = [host for _, host in _others(entry)]
    return {
        host: int((weights or 0) / shard_count(entry) * HEADROOM) * names.count(host)
        for host in names
    }


def require_memory(host: str, need: int, left: int, force: bool) -> None:
    """Raise NotEnoughMemory if a host's ranks need more than it has available."""
    if need > left and not force:
        text = "%s has %.1f GiB of memory available; its part of the model needs %.1f GiB"
        raise NotEnoughMemory(
            text % (host, left / 2**30, need / 2**30),
            "unload something there, or use --force",
            peer=host,
        )


def stop_ranks(
    ctx: Context,
    ranks: Sequence[Rank],
    port: int,
    grace_s: float,
    hurried: Callable[[], bool] = lambda: False,
) -> None:
    """All of them gone, with proof; NotStopped names those that are not. Once `hurried`, a host
    that says nothing is waited for no longer."""
    requests = [(rank.host, _end(rank, port, grace_s)) for rank in ranks]
    with ask_all(ctx.site, requests, grace_s + STOP_TIMEOUT_S) as replies:
        hurry = _Hurry(hurried)
        outcomes = [
            (rank, _error(one.answer, partial(hurry.mind, one)))
            for rank, one in zip(ranks, replies)
        ]
    survivors = [(rank, error) for rank, error in outcomes if error]
    if survivors:
        message = "; ".join(
            "could not confirm that pid %d on %s is gone: %s" % (r.pid, r.host, error)
            for r, error in survivors
        )
        raise NotStopped(message, "mlxops unload %d, once that host answers" % port, port=port)


def _end(rank: Rank, port: int, grace_s: float) -> Dict[str, Any]:
    return {"do": "stop", "port": port, "grace_s": grace_s, **rank._asdict()}


class _Hurry:
    """From when on there is no time any more to wait for a host of which nothing is heard."""

    def __init__(self, hurried: Callable[[], bool]) -> None:
        self._hurried = hurried
        self._since: Optional[float] = None

    def mind(self, reply: PendingReply) -> None:
        if self._hurried():
            self._since = self._since or time.monotonic()
            if reply.silent(self._since, CANCEL_WAIT_S):
                raise Interrupted("no answer from the host; stopped waiting")


def _error(answer: BackgroundCall[Any], check: Check) -> str:
    try:
        answer.wait(check)
    except Exception as exc:  # whatever it is, this rank's end is not proven
        return to_mlxops_error(exc).message
    return ""
