"""The actual state of ports after a command that ended early."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, Iterable, List, Mapping

from ..context import Context
from ..errors import Interrupted, MlxopsError
from ..jobs.begin import current_job
from ..ports.diagnosis import diagnose
from ..ports.expected import expected
from ..ports.observe import observe
from ..procs import Unobservable


def current_state(ctx: Context, ports: Iterable[int]) -> Dict[int, Dict[str, Any]]:
    """port -> its entry, state and pid now; empty records if they cannot be observed."""
    numbers = tuple(ports)
    try:
        registry = ctx.store.read()
        evidence = observe(ctx.procs, registry, numbers, ctx.site, partial(current_job, ctx))
    except (MlxopsError, OSError, Unobservable):
        return {port: {} for port in numbers}
    states = {}
    for port in numbers:
        want, server = expected(ctx, registry, port), evidence[port].server
        state = diagnose(evidence[port], want).state
        name = want.entries[0].name if want.entries else None
        states[port] = {
            "entry": name,
            "state": state,
            "pid": server.process.pid if server else None,
        }
    return states


def interrupted_error(ctx: Context, rows: List[Dict[str, Any]], done_word: str) -> Interrupted:
    """The error of a command that was interrupted before all its ports were done. `done_word`:
    what becomes of a port, such as "unloaded"."""
    states = current_state(ctx, [row["port"] for row in rows if not row["ok"]])
    ports = [
        {**row, **{k: v for k, v in states.get(row["port"], {}).items() if v is not None}}
        for row in rows
    ]
    done = ", ".join(str(row["port"]) for row in ports if row["ok"] and row["changed"])
    undone = ", ".join(_words(row) for row in ports if not row["ok"])
    words = ["interrupted; not %s: %s" % (done_word, undone)]
    words += ["%s: %s" % (done_word, done)] if done else []
    return Interrupted("; ".join(words), "mlxops status", ports=ports)


def _words(row: Mapping[str, Any]) -> str:
    """8100 (amber, pid 12, ready)"""
    pid = "pid %d" % row["pid"] if row.get("pid") else None
    facts = [str(fact) for fact in (row.get("entry"), pid, row.get("state")) if fact]
    return "%d (%s)" % (row["port"], ", ".join(facts)) if facts else str(row["port"])
