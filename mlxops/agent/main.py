"""Run one request: read it, perform the verb, send the last record."""

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

# verb -> module and function in ops, imported on demand
VERBS = {
    "list": "list.list_entries",
    "show": "show.show",
    "fit": "fit.fit",
    "register": "register.register",
    "set": "edit.set_fields",
    "rename": "rename.rename",
    "remove": "edit.remove",
    "init": "init.init",
    "status": "status.status",
    "watch": "watch.watch",
    "verify": "verify.verify",
    "disk": "disk.disk",
    "pull": "pull.pull",
    "load": "load.load",
    "restart": "load.restart",
    "unload": "unload.unload",
    "unload-all": "unload.unload_all",
    "plan": "apply.plan",
    "apply": "apply.apply",
    "reconcile": "reconcile.reconcile",
    "logs": "logs.logs",
    "jobs": "jobs.jobs",
    "follow": "jobs.follow",
    "cancel": "jobs.cancel",
    "lock": "jobs.lock",
    "history": "history.history",
    "undo": "undo.undo",
    "authorize": "authorize.authorize",
    "doctor": "doctor.doctor",
    "discover": "discover.discover",
    "rank": "rank.rank",
}
# The arguments that may be words for a port or for the entry on it.
WORDS = {"port": str, "ports": list, "name": str, "model": str, "what": str}
# These finish or roll back without the client; all others end with it.
OUTLIVES_CLIENT = (
    "load",
    "restart",
    "pull",
    "unload",
    "unload-all",
    "apply",
    "register",
    "set",
    "rename",
    "remove",
    "authorize",
    "undo",
)
# These read, or stop and clear: they work without a state folder.
WORKS_WITHOUT_STATE_FOLDER = (
    "list",
    "show",
    "fit",
    "disk",
    "status",
    "watch",
    "verify",
    "logs",
    "jobs",
    "follow",
    "lock",
    "cancel",
    "doctor",
    "discover",
    "history",
    "unload",
    "unload-all",
    "reconcile",
)
# These only read the state folder. If it is not safe, the others work as if there were none.
ONLY_READS_STATE_FOLDER = ("logs", "jobs", "follow", "doctor", "history")
NO_FOLDER = os.path.join(os.devnull, "mlxops")


def run(request: bytes, stdin: BinaryIO, out_fd: int, traces: bool = True) -> NoReturn:
    """Serve one request and end the process. The last record, a result or an error, is always
    sent.

    `traces`: include tracebacks, which name files of the host."""
    client = ClientLink(out_fd, stdin)
    os.umask(0o022)
    try:
        outcome = _outcome(request, client)
        client.send(outcome if traces else without_traces(outcome))
    finally:
        # Also if sending fails: the client notices that there is no last record.
        os._exit(0)


def _outcome(request: bytes, client: ClientLink) -> Dict[str, Any]:
    try:
        return wire.result(_perform(json.loads(request), client))
    except Exception as exc:  # the client gets a record of any failure
        return wire.error(to_mlxops_error(exc))


def without_traces(record: Any) -> Any:
    """The record without its traces, at any depth."""
    if isinstance(record, dict):
        return {key: without_traces(value) for key, value in record.items() if key != "trace"}
    return [without_traces(one) for one in record] if isinstance(record, list) else record


def _perform(request: Dict[str, Any], client: ClientLink) -> Any:
    verb = request["verb"]
    if request.get("protocol") != wire.PROTOCOL or verb not in VERBS:
        raise Usage("unknown verb %r or protocol %r" % (verb, request.get("protocol")))
    distrust = getattr(__spec__.loader, "distrust", "")
    if distrust and verb not in WORKS_WITHOUT_STATE_FOLDER:
        raise Failed(
            "the state folder is not safe to use: %s; nothing was changed" % distrust,
            "mlxops doctor",
        )
    _warn_if_not_cached(client, distrust)
    # Every verb pings: any of them may wait for a slow disk or a program's --help.
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
    """Warn if the agent cannot be cached: each call is slower, and a load has no place for logs."""
    unkept = distrust or getattr(__spec__.loader, "unkept", "")
    if unkept:
        message = (
            "the agent cannot be cached on the host, so it is sent with every call: %s;"
            " see mlxops doctor" % unkept
        )
        client.emit("warning", message=message)


def _with_ports(ctx: Context, verb: str, args: Any) -> Any:
    """The arguments, with names of slots and entries replaced by ports. `logs` does that itself: it
    also finds the log of an entry that is not loaded."""
    if verb == "logs" or not any(isinstance(args.get(key), kind) for key, kind in WORDS.items()):
        return args
    from .ports.portname import resolve_words

    return resolve_words(ctx, verb, args)


def _context(request: Dict[str, Any], client: ClientLink) -> Context:
    site = Site.from_wire(request["site"])
    sent = request.get("who") or {}
    who = {"who": sent.get("user", "unknown"), "from": sent.get("from", "unknown")}
    procs = local_procs()
    if any(site.hub):
        from .hub.settings import apply_settings

        apply_settings(site.hub, os.environ)
    store = Store(site.registry, who, procs.sync)
    store.on_wait = lambda holder: client.emit(
        "note", message="waiting for the registry's lock: %s" % holder
    )
    return Context(site=site, store=store, procs=procs, client=client, who=who)
