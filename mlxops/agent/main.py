"""From a request to its last record."""

from __future__ import annotations

import importlib
import json
import os
from typing import Any, BinaryIO, Dict, NoReturn

from .context import Context
from .errors import Failed, Usage, to_mlxops_error
from .procs import local_procs
from .registry.store import Store
from .site import Site
from .wire import arguments
from .wire import codec as wire
from .wire.client import ClientLink

# verb -> its module and function in ops, imported when asked for
VERBS = {
    "list": "list.list_entries",
    "show": "show.show",
    "fit": "fit.fit",
    "register": "edit.register",
    "set": "edit.set_fields",
    "remove": "edit.remove",
    "init": "init.init",
    "status": "status.status",
    "verify": "verify.verify",
    "load": "load.load",
    "unload": "unload.unload",
    "unload-all": "unload.unload_all",
    "reconcile": "reconcile.reconcile",
    "logs": "logs.logs",
    "jobs": "jobs.jobs",
    "follow": "jobs.follow",
    "cancel": "jobs.cancel",
    "lock": "jobs.lock",
    "authorize": "authorize.authorize",
    "doctor": "doctor.doctor",
    "rank": "rank.rank",
}
# These go on to their end, or undo themselves, when the client vanishes; all others end with it.
OUTLIVES_CLIENT = ("load", "unload", "unload-all", "register", "set", "remove", "authorize")
# What goes without a folder of our own: it reads, or it stops and clears.
WORKS_WITHOUT_STATE_FOLDER = (
    "list",
    "show",
    "fit",
    "status",
    "verify",
    "logs",
    "jobs",
    "follow",
    "lock",
    "cancel",
    "doctor",
    "unload",
    "unload-all",
    "reconcile",
)
# These only read what lies in such a folder; to the others it is as if there were none.
ONLY_READS_STATE_FOLDER = ("logs", "jobs", "follow", "doctor")
NO_FOLDER = os.path.join(os.devnull, "mlxops")


def run(request: bytes, stdin: BinaryIO, out_fd: int, traces: bool = True) -> NoReturn:
    """Serve one request and end the process. The last record, a result or an error, is always
    written.

    `traces`: where an error of ours came from is told too; it names files of the host."""
    client = ClientLink(out_fd, stdin)
    os.umask(0o022)
    try:
        outcome = _outcome(request, client)
        client.send(outcome if traces else without_traces(outcome))
    finally:
        # A defect in sending, too, ends without a traceback: that there is no last record says
        # enough.
        os._exit(0)


def _outcome(request: bytes, client: ClientLink) -> Dict[str, Any]:
    try:
        return wire.result(_perform(json.loads(request), client))
    except Exception as exc:  # the last stop: whatever it is, the client gets a record of it
        return wire.error(to_mlxops_error(exc))


def without_traces(record: Any) -> Any:
    """A record without any trace in it, however deep."""
    if isinstance(record, dict):
        return {key: without_traces(value) for key, value in record.items() if key != "trace"}
    return [without_traces(one) for one in record] if isinstance(record, list) else record


def _perform(request: Dict[str, Any], client: ClientLink) -> Any:
    verb = request["verb"]
    if request.get("protocol") != wire.PROTOCOL or verb not in VERBS:
        raise Usage("the agent knows no verb %r of protocol %r" % (verb, request.get("protocol")))
    distrust = getattr(__spec__.loader, "distrust", "")
    if distrust and verb not in WORKS_WITHOUT_STATE_FOLDER:
        raise Failed(
            "the state folder is not safe to use: %s; nothing was changed" % distrust,
            "mlxops doctor",
        )
    _warn_if_not_cached(client, distrust)
    # Every verb pings: any of them may meet a slow disk, or a program that takes its time to list
    # its options.
    client.watch(None if verb in OUTLIVES_CLIENT else lambda: os._exit(0))
    module, _, function = VERBS[verb].partition(".")
    perform = getattr(importlib.import_module(".ops." + module, __package__), function)
    ctx = _context(request, client)
    if distrust and verb not in ONLY_READS_STATE_FOLDER:
        ctx = ctx._replace(site=ctx.site._replace(state_dir=NO_FOLDER))
    return perform(
        ctx, _with_ports(ctx, verb, arguments.check_arguments(verb, request.get("args") or {}))
    )


def _warn_if_not_cached(client: ClientLink, distrust: str) -> None:
    """Say so where the agent cannot be kept: each call is slower for it, and a load will lack a
    place for its logs."""
    unkept = distrust or getattr(__spec__.loader, "unkept", "")
    if unkept:
        message = (
            "the agent is not kept on the host but sent with every call: %s; see mlxops doctor"
            % unkept
        )
        client.emit("warning", message=message)


def _with_ports(ctx: Context, verb: str, args: Any) -> Any:
    """The arguments with ports in place of slots' and entries' names."""
    if not (isinstance(args.get("port"), str) or isinstance(args.get("ports"), list)):
        return args
    from .ports.portname import resolve_ports

    return resolve_ports(ctx, verb, args)


def _context(request: Dict[str, Any], client: ClientLink) -> Context:
    site = Site.from_wire(request["site"])
    sent = request.get("who") or {}
    who = {"who": sent.get("user", "unknown"), "from": sent.get("from", "unknown")}
    procs = local_procs()
    return Context(
        site=site, store=Store(site.registry, who, procs.sync), procs=procs, client=client, who=who
    )
