"""The flags an entry will be started with: its own, and what is suggested where nobody has said
anything."""

from __future__ import annotations

import os
from typing import Any, Mapping, NamedTuple, Tuple

from ..context import Context
from ..errors import Failed, Interrupted, MlxopsError
from ..programs import find as programs
from ..programs.environment import model_types, site_packages
from ..registry.entries import Entry
from ..registry.init_plan import format_value
from ..site import Site
from . import defaults, harmony
from .defaults import Installed
from .files import config


class LaunchOptions(NamedTuple):
    """The entry with all that is chosen for it, and one sentence for each thing that cannot be
    had."""

    entry: Entry
    notes: Tuple[str, ...]


def choose_options(
    site: Site, entry: Entry, installed: Installed, force: bool = False
) -> LaunchOptions:
    """For an entry whose snapshot is on disk; Failed where its model could not serve.

    `force`: try a model that mlx-lm does not seem to know.
    """
    found = defaults.find_defaults(installed, entry, site.templates)
    chosen = defaults.with_defaults(entry, found)
    if not force:
        require_buildable(chosen, installed, config(entry.cache_path))
    warnings = harmony.check(
        chosen, found, installed, site.templates or "", {**os.environ, **site.env}
    )
    return LaunchOptions(chosen, (*_taken(entry, chosen), *_lacking(entry, found), *warnings))


def require_buildable(entry: Entry, installed: Installed, described: Mapping[str, Any]) -> None:
    """Failed where the mlx-lm that is to build the model, by its config.json, has nothing of its
    kind."""
    model_type = defaults.model_type_of(described)
    known = model_types(installed.packages) if installed.runtime.mlx_lm else None
    args = (
        defaults.vision_args(installed, described)
        if entry.fields.get("args") is None
        else entry.args
    )
    if known is None or model_type in known or defaults.MULTIMODAL in args:
        return
    if described.get("model_file"):
        return  # it brings code of its own
    what = "of the type %s" % model_type if model_type else "whose config.json names no model_type"
    raise Failed(
        "the mlx-lm of %s cannot build a model %s" % (installed.runtime.name, what),
        "a newer mlx-lm in %s may; load with --force tries it as it is" % installed.packages[0],
        entry=entry.name,
        model_type=model_type,
    )


def _taken(entry: Entry, chosen: Entry) -> Tuple[str, ...]:
    """What an entry that is registered already gets now: it will behave in another way than
    before."""
    new = [key for key in defaults.KEYS if chosen.fields.get(key) and not entry.fields.get(key)]
    if not new:
        return ()
    taken = ", ".join("%s %s" % (key, format_value(chosen.fields[key])) for key in new)
    return ("%s is run with %s, as its model's family suggests" % (entry.name, taken),)


def _lacking(entry: Entry, found: defaults.Defaults) -> Tuple[str, ...]:
    """What cannot be had matters where the parsers are left to us."""
    return found.notes if set(defaults.PARSERS) & set(defaults.unset_keys(entry.fields)) else ()


def find_installed(ctx: Context, entry: Entry) -> Installed:
    """The entry's runtime as it is installed, if it is. What keeps it from being asked is told as a
    warning."""
    runtime = ctx.site.runtime_named(entry.text("runtime"))
    words: Tuple[str, ...] = ()
    flags = None
    try:
        words, _ = programs.find_command(ctx.site, runtime)
        if words:
            state_dir, check = ctx.site.state_dir, ctx.client.check
            flags = programs.help_flags(runtime, words, state_dir, ctx.report, check)
    except Interrupted:
        raise
    except MlxopsError as exc:
        why = "%s cannot be asked for its options: %s; %s" % (runtime.name, exc.message, exc.hint)
        ctx.client.emit("warning", message=why)
    return Installed(runtime, flags, tuple(site_packages(words)), words)
