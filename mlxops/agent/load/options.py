"""Whether a runtime takes the options of an entry, known before anything is stopped."""

from __future__ import annotations

import os
from typing import List, NamedTuple, Tuple

from ..context import Command
from ..errors import Failed, pasteable
from ..models.refusals import Refusal, refusals
from ..programs import dryparse
from ..registry.entries import Entry
from ..runtimes import table as runtimes
from ..runtimes.launch import launch_of
from ..runtimes.table import Runtime, offered


class Asked(NamedTuple):
    """A runtime, the words that start it, and its own help."""

    runtime: Runtime
    words: Tuple[str, ...]
    help_text: str


def check(command: Command, entry: Entry, port: int, asked: Asked) -> Tuple[str, ...]:
    """Warnings; Failed where the runtime would refuse what it is started with."""
    runtime = asked.runtime
    refused = refusals(runtime, entry, offered(asked.help_text), os.path.isfile, asked.help_text)
    if not refused:
        refused = _tried(command, entry, asked)
    if refused:
        raise Failed(
            "%s would refuse %s: %s" % (runtime.name, entry.name, "; ".join(r.reason for r in refused)),
            pasteable("set", entry.name, _corrected(refused[0].field)),
            entry=entry.name,
            reasons=[r.reason for r in refused],
        )
    launch = launch_of(entry, port, command.site.bind, command.site.served_name(port, entry.name))
    own = command.site.runtime_named(None)
    return _warnings(entry, runtime) + _renamed(port, runtime.client_model or launch.served_name, own, launch)


def _tried(command: Command, entry: Entry, asked: Asked) -> Tuple[Refusal, ...]:
    """What the program itself says of the values in `args`, of which its help may show no kind."""
    said = dryparse.refusal(
        asked.help_text, asked.words, entry.args, command.site.state_dir, command.say, command.client.check
    )
    return (Refusal("args", " ".join(entry.args), said),) if said else ()


def _corrected(field: str) -> str:
    return field + ("=PATH" if field == "chat_template" else "=VALUE")


def _warnings(entry: Entry, runtime: Runtime) -> Tuple[str, ...]:
    found: List[str] = []
    for key in ("tool_call_parser", "reasoning_parser"):
        if entry.text(key) and not getattr(runtime, key):
            found.append("%s has no option for %s; %s is left out" % (runtime.name, key, entry.text(key)))
    if runtime.reasoning_parser and entry.text("reasoning_parser") and not entry.text("tool_call_parser"):
        found.append("a reasoning_parser without a tool_call_parser loses the content of answers that are not streamed")
    return tuple(found)


def _renamed(port: int, name: str, own: Runtime, launch: runtimes.Launch) -> Tuple[str, ...]:
    """A warning where clients have to ask by another name than the one the host's own runtime answers to."""
    usual = own.client_model or launch.served_name
    if name == usual:
        return ()
    text = "port %d will answer to %s, not to %s as with %s: clients have to ask by that name"
    return (text % (port, name, usual, own.name),)
