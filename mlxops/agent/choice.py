"""The flags an entry will be started with: its own, and what is suggested where nobody has said anything."""

from __future__ import annotations

import os
from typing import NamedTuple, Optional, Tuple

from . import harmony, programs, suggest
from .command import Command
from .errors import MlxopsError
from .registry import Entry
from .runtimes import Offered, Runtime
from .site import Site


class Choice(NamedTuple):
    """The entry with all that is chosen for it, and one sentence for each thing that cannot be had."""

    entry: Entry
    notes: Tuple[str, ...]


def choose(site: Site, entry: Entry, runtime: Runtime, flags: Offered) -> Choice:
    """For an entry whose snapshot is on disk; Failed where its model could not serve."""
    found = suggest.suggestion(runtime, flags, entry, site.templates)
    chosen = suggest.filled(entry, found)
    warnings = harmony.check(chosen, found, runtime, flags, site.templates or "", {**os.environ, **site.env})
    return Choice(chosen, (*_taken(entry, chosen), *_lacking(entry, found), *warnings))


def _taken(entry: Entry, chosen: Entry) -> Tuple[str, ...]:
    """What an entry that is registered already gets now: it will behave in another way than before."""
    new = ["%s %s" % (key, chosen.text(key)) for key in suggest.KEYS if chosen.text(key) != entry.text(key)]
    return ("%s is run with %s, as its model's family suggests" % (entry.name, ", ".join(new)),) if new else ()


def _lacking(entry: Entry, found: suggest.Suggestion) -> Tuple[str, ...]:
    """What cannot be had matters where the parsers are left to us."""
    return found.notes if set(suggest.PARSERS) & set(suggest.unsaid(entry.fields)) else ()


def offered(command: Command, entry: Entry) -> Tuple[Runtime, Optional[Offered]]:
    """The entry's runtime and the help of its installed version; None for one that does not answer."""
    runtime = command.site.runtime_named(entry.text("runtime"))
    try:
        return runtime, programs.help_flags(runtime, programs.command(command.site, runtime), command.site.state_dir)
    except MlxopsError:
        return runtime, None
