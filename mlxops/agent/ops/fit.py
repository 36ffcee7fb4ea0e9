"""fit: what a model would take of memory, and what the host can give; before any download, and without a change."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple

from .. import memory, programs
from ..command import Command
from ..errors import Failed, MlxopsError, Usage
from ..estimate import LONGEST_CONTEXT
from ..order import Order
from ..preflight import asked_of, entry_meant, remote_of
from ..runtimes import Runtime


def fit(command: Command, args: Mapping[str, Any]) -> Dict[str, Any]:
    tokens, wanted = _tokens(args.get("context")), args.get("port")
    port = None if wanted is None else command.site.need_port(wanted)
    revision = str(args["revision"]) if args.get("revision") else None
    order = Order.from_wire({"model": args["model"], "port": 0, "revision": revision})
    entry = entry_meant(command, command.store.read(), order)
    runtime = command.site.runtime_named(entry.text("runtime"))
    remote = remote_of(command, entry, _words(command, runtime))
    asked = asked_of(entry, remote, runtime.name, port or entry.port)
    if asked is None:
        raise Failed("the weights of %s cannot be read" % entry.name, "mlxops list", entry=entry.name)
    found = memory.fit(command, asked._replace(context=tokens))
    return {
        "entry": entry.name,
        "repo_id": entry.repo_id,
        "port": asked.port,
        "source": "hub" if remote else "disk",
        **found.record(),
        "refused": None if found.fits else memory.refusal(found).to_wire(),
    }


def _tokens(wanted: Any) -> Optional[int]:
    if wanted is not None and not (type(wanted) is int and 0 < wanted <= LONGEST_CONTEXT):
        raise Usage("%r is no number of tokens" % (wanted,), "1 to %d" % LONGEST_CONTEXT)
    return wanted


def _words(command: Command, runtime: Runtime) -> Tuple[str, ...]:
    """The runtime's command, whose environment may have what talks to the Hub; it need not be there for an estimate."""
    try:
        return programs.command(command.site, runtime)
    except MlxopsError:
        return ()
