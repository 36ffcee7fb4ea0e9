"""load: the model onto the port, and the one before it back if that fails."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional

from ..context import Context
from ..errors import MlxopsError, NotReady, NotStopped, as_error
from ..hub import download as fetch
from ..hub.checks import size_text
from ..jobs.begin import begin, cut_off
from ..jobs.disk_room import LOAD_EDITS, DiskRoom, disk_room, rehearsal
from ..jobs.job import Job
from ..jobs.reservations import refuse_taken
from ..load import buildable, entrance, evict
from ..load.actions import actions
from ..load.memory import refuse_promised
from ..load.preflight import check_assignment, prepare
from ..load.request import Order, Preparation, no_way_back
from ..load.restart import Lost
from ..memory import fit as memory
from ..models import cache as hfcache
from ..models import harmony
from ..models.flags import choose
from ..models.suggest import Installed
from ..procs import Unseen
from ..programs.environment import packages
from ..registry.entries import Entry
from ..runtimes import table as runtimes
from ..runtimes.launch import launch_of, template_text
from ..servers.pace import Pace, gives_up, pace
from ..servers.prefetch import head_start
from ..servers.start import Served, Service, Way, bring_back, bring_up, clear_gone
from ..servers.unrecorded import note
from ..servers.vacate import vacated
from ..site import log_path


def load(ctx: Context, args: Mapping[str, Any]) -> Dict[str, Any]:
    began = time.monotonic()
    order = Order.from_wire(args)
    evicted: List[Dict[str, Any]] = []
    ctx.say("checking %s for port %d" % (order.model, order.port))
    if not order.dry_run:
        note(ctx, [ctx.site.need_port(order.port)])
    prepared = prepare(ctx, order, own_lock=False)
    prepared = entrance.checked(ctx, prepared) if order.dry_run else prepared
    served = None
    # A port that serves this already still has to forget the load that was cut off there.
    if not order.dry_run and (not prepared.done or cut_off(ctx, order.port)):
        naming = partial(evict.naming, evicted)
        # The job's log hears of it, and whoever is told that the job itself could not be ended.
        with naming(), begin(ctx, order.port, _why(order), again=order.again) as job, naming():
            # What was seen before the port was ours informs; what decides is seen again.
            prepared = prepare(ctx, order, own_lock=True)
            if not prepared.done:
                with disk_room(ctx) as room:
                    served = _load(ctx, job, prepared, room, evicted)
    return {
        **_result(ctx, prepared, time.monotonic() - began, served),
        **_room(ctx, prepared),
        "evicted": evicted,
    }


def _load(
    ctx: Context, job: Job, prepared: Preparation, room: DiskRoom, evicted: List[Dict[str, Any]]
) -> Served:
    _reserve(ctx, job, prepared)
    room.take(prepared.order.port, LOAD_EDITS, servers=2)
    room.take_log_of_job(job.log)
    prepared = entrance.checked(ctx, prepared)
    entry = _download(ctx, job, prepared)
    service = _service(ctx, job, prepared, entry)
    with evict.Room(ctx, job, prepared, partial(_restore, ctx, room), evicted, room):
        return _swap(ctx, job, prepared, service, room)


def _why(order: Order) -> str:
    return "load %s %d" % (order.model, order.port)


def _reserve(ctx: Context, job: Job, prepared: Preparation) -> None:
    """From here to the end the entry is nobody else's, nor is the one that may have to come back:
    refused in time, another load of it stops nothing."""
    entry, order = prepared.entry, prepared.order
    names = [entry.name, *(e.name for e in prepared.ground.entries if order.rollback)]
    with ctx.store.locked(_why(order)):
        refuse_taken(ctx, names, order.port)
        check_assignment(ctx.store.read().entries.get(entry.name, entry), order)
        refuse_promised(ctx, prepared.fit, order)
        job.reserve(names, prepared.fit.sum.need_bytes if prepared.fit else None)


def _download(ctx: Context, job: Job, prepared: Preparation) -> Entry:
    """The entry with its snapshot on disk."""
    remote = prepared.remote
    for warning in prepared.warnings:
        job.warn(warning)
    if remote is None:
        return prepared.entry
    job.phase("download", "downloading %s, %s" % (remote.repo_id, size_text(remote.missing_bytes)))

    def progress(done: int, total: int, file: str) -> None:
        job.emit("progress", phase="download", done=done, total=total, file=file)

    python = fetch.interpreter(ctx.site, prepared.words)
    path = fetch.download(
        python, remote, ctx.site.cache_root, progress, lambda: ctx.client.cancelled
    )
    return prepared.entry.with_fields(cache_path=path)


def _service(ctx: Context, job: Job, prepared: Preparation, entry: Entry) -> Service:
    port, runtime = prepared.order.port, prepared.runtime
    # A download may have taken hours.
    again = prepared.remote is not None and entrance.stops(prepared)
    flags = entrance.asked(ctx, runtime, prepared.words, again)
    if prepared.remote:
        # Only now is there a model to choose flags for; nothing has been stopped yet.
        there = Installed(runtime, flags, tuple(packages(prepared.words)))
        entry, notes = choose(ctx.site, entry, there, prepared.order.force)
        for note in notes:
            job.warn(note)
        buildable.check(ctx, entry, prepared)
    launch = launch_of(entry, port, ctx.site.bind, ctx.site.served_name(port, entry.name))
    argv = runtimes.argv(runtime, prepared.words, launch, flags, template_text(runtime, entry))
    listed = launch.served_name if runtime.served_name in flags else None
    name = runtime.client_model or listed or entry.cache_path
    return Service(
        port=port,
        entry=entry,
        runtime=runtime,
        argv=argv,
        listed=listed,
        chat_name=name,
        clean=harmony.parsed(entry, runtime),
    )


def _swap(
    ctx: Context, job: Job, prepared: Preparation, service: Service, room: DiskRoom
) -> Served:
    ground = prepared.ground
    allowed = _ahead(ctx, job, prepared, service)
    previous = prepared.previous if isinstance(prepared.previous, Service) else None
    # A download may have taken hours: no server is stopped for a model that was assigned elsewhere
    # meanwhile.
    check_assignment(
        ctx.store.read().entries.get(prepared.entry.name, prepared.entry), prepared.order
    )
    room.check()
    taken = vacated(ctx, job, ground, prepared.order.grace_s)
    back = previous if prepared.order.rollback else None
    moves = back is not None and back.entry is not None
    try:
        if taken is not None:
            raise taken
        ctx.client.check()
        entrance.refuse_held(ctx, service.port)
        served = bring_up(ctx, job, service, Way(allowed, ctx.client.check, room, clears=not moves))
    except Exception as exc:  # whatever it was, the previous model comes back first
        error = as_error(exc)
        lost = partial(clear_gone, ctx, job, service) if moves else _nothing
        outcome = _undone(ctx, job, room, error, back, lost)
        error.message += "; " + outcome
        error.fields["rollback"] = outcome
        raise error from exc
    for doubt in _doubts(served):
        job.warn(doubt)
    return served


def _doubts(served: Optional[Served]) -> List[str]:
    """What the first answer shows to be wrong: to be told, no reason to undo a load."""
    faults = served.proof.faults if served else ()
    return [
        "it serves, but %s: %s; mlxops verify tells more" % (fault.check, fault.detail)
        for fault in faults
    ]


def _nothing() -> None:
    return


def _undone(
    ctx: Context,
    job: Job,
    room: DiskRoom,
    error: MlxopsError,
    previous: Optional[Service],
    lost: Callable[[], None],
) -> str:
    """What stands on the port after a failure, in words."""
    if isinstance(error, NotStopped) and not error.fields.get("gone"):
        return "it still holds the port"
    if previous is None:
        return _standing(ctx, job)
    log = log_path(ctx.site.state_dir, previous.port)
    failed = _identity(log)
    outcome = _restore(ctx, room, job, previous, lost)
    if isinstance(error, NotReady) and failed and failed == _identity(log + ".1"):
        # The previous model's server writes to the port's log now.
        error.hint = "for the whole log of what failed: mlxops logs %d --previous" % previous.port
    return outcome


def _standing(ctx: Context, job: Job) -> str:
    """Whether the port is empty now: another registry's load may have taken it."""
    port = job.port
    try:
        if ctx.procs.free(port, ctx.site.bind):
            return "the port is empty"
        pids = sorted({str(ln.pid) for ln in ctx.procs.listeners([port]) if ln.pid})
    except (Unseen, OSError):
        return "what is on the port cannot be seen; mlxops status %d" % port
    return "the port is held by %s" % ("pid " + ", ".join(pids) if pids else "another process")


def _identity(log: str) -> Optional[int]:
    """Which file it is, by its inode; None when there is none, or nothing in it."""
    try:
        was = os.stat(log)
    except OSError:
        return None
    return was.st_ino if was.st_size else None


def _restore(
    ctx: Context,
    room: DiskRoom,
    job: Job,
    previous: Service,
    lost: Callable[[], None] = _nothing,
) -> str:
    """Bring the previous model back; what became of that, in words. `lost` is called when it does
    not come."""
    name = previous.entry.name if previous.entry else previous.argv[0]
    try:
        job.rollback("starting", "starting %s again" % name)
        allowed = _pace(ctx, previous, _weights(previous), None, None)
        served = bring_back(ctx, job, previous, Way(allowed, lambda: None, room, back=True))
    except Exception as exc:  # told along with what failed first
        lost()
        return "%s could not be started again: %s" % (name, as_error(exc).message)
    if served.unnoted and previous.entry:
        text = "%s serves again, but the registry does not know it yet (%s); once that is settled: mlxops reconcile"
        return text % (name, served.unnoted)
    return "%s serves again" % name


def _ahead(ctx: Context, job: Job, prepared: Preparation, service: Service) -> Pace:
    """All that can be done for the start before anything is stopped, and how long it may then
    take."""
    path, weights = service.entry.cache_path if service.entry else "", _weights(service)
    speed = head_start(ctx, job, path, weights, prepared.ground.server is not None).bytes_per_s
    found = _pace(ctx, service, weights, prepared.order.timeout_s, speed)
    warning = gives_up(service.runtime, found, weights, speed)
    if warning:
        job.warn(warning)
    return found


def _weights(service: Service) -> Optional[int]:
    return hfcache.weights_bytes(service.entry.cache_path) if service.entry else None


def _pace(
    ctx: Context,
    service: Service,
    weights: Optional[int],
    asked_s: Optional[float],
    bytes_per_s: Optional[float],
) -> Pace:
    """How long a start may take: as asked, as the host file says, else as it took before, else by
    size and disk."""
    found = pace(service.entry, service.runtime, weights, bytes_per_s)
    return found._replace(timeout_s=asked_s or ctx.site.startup_timeout_s or found.timeout_s)


def _result(
    ctx: Context, prepared: Preparation, seconds: float, served: Optional[Served]
) -> Dict[str, Any]:
    order, entry, ground = prepared.order, prepared.entry, prepared.ground
    planned = order.dry_run and not prepared.done
    name = ctx.site.served_name(order.port, entry.name)
    return {
        "port": order.port,
        "entry": entry.name,
        "state": "planned" if planned else "ready",
        "changed": not prepared.done and not order.dry_run,
        "duration_s": round(seconds, 3),
        "start_s": round(served.seconds, 3) if served else None,
        "proof": served.proof.to_wire() if served else None,
        "previous": ground.entries[0].name if ground.entries else None,
        "download": prepared.remote.record() if prepared.remote else None,
        "restarted": served is not None
        and bool(ground.server)
        and [e.name for e in ground.entries] == [entry.name],
        "served_model": prepared.runtime.client_model or name,
        "warnings": [*prepared.warnings, *_doubts(served)],
        "actions": actions(prepared) if planned else [],
    }


def _room(ctx: Context, prepared: Preparation) -> Dict[str, Any]:
    """How it fits; of a dry run also the refusal that a load would meet, for memory or disk."""
    fit, order = prepared.fit, prepared.order
    error: Optional[MlxopsError]
    spared = fit is None or fit.fits or order.force or (order.evict and fit.unload)
    error = None if fit is None or spared else memory.refusal(fit)
    if isinstance(prepared.previous, Lost) and order.rollback:
        error = error or no_way_back(prepared.previous, order)
    if order.dry_run and not prepared.done:
        error = error or rehearsal(ctx, order.port)
    told = error.to_wire() if error and order.dry_run else None
    return {"memory": fit.record() if fit else None, "refused": told}
