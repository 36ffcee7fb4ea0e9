"""Check that a runtime accepts the options of an entry, before anything is stopped."""

from __future__ import annotations

import os
from typing import Iterable, List, Tuple

from ..context import Context
from ..errors import Failed, mlxops_command
from ..models.rejections import Rejection, find_rejections
from ..programs import dryparse
from ..programs.installed import Installed
from ..registry.entries import Entry
from ..registry.sharing import others_write
from ..runtimes import table as runtimes
from ..runtimes.launch import launch_of, template_text
from ..runtimes.table import Runtime
from ..site import Site
from ..wire.slots import no_slot_warning

# Linux takes 128 KiB for one word of a command line (MAX_ARG_STRLEN), macOS 1 MiB for all of them
# (ARG_MAX).
MAX_WORD_BYTES = 120 << 10


def check(ctx: Context, entry: Entry, port: int, installed: Installed) -> Tuple[str, ...]:
    """Return warnings; Failed if the runtime would refuse the options."""
    runtime = installed.runtime
    _require_word_limits(entry, template_text(runtime, entry))
    _require_undisclosed_template(ctx.site, entry, runtime)
    flags, text = installed.flags or {}, installed.help_text
    refused = find_rejections(runtime, entry, flags, os.path.isfile, text)
    if not refused:
        refused = _rejected_by_program(ctx, entry, installed)
    if refused:
        raise Failed(
            "%s would reject the arguments of %s: %s"
            % (runtime.name, entry.name, "; ".join(r.reason for r in refused)),
            mlxops_command("set", entry.name, *_resets(one.field for one in refused)),
            entry=entry.name,
            reasons=[r.reason for r in refused],
        )
    launch = launch_of(entry, port, ctx.site.bind, ctx.site.served_name(port, entry.name))
    own = ctx.site.runtime_named(None)
    return (
        *_warnings(entry, runtime),
        *_name_change_warning(port, runtime, own, launch),
        *_no_slot_warning(ctx.site, port, entry, runtime),
    )


def _require_word_limits(entry: Entry, template: str) -> None:
    """Failed for a word that no command line can hold: too long, or with a NUL byte."""
    for key, word in (("chat_template", template), *(("args", word) for word in entry.args)):
        size = len(word.encode("utf-8", "surrogatepass"))
        if "\0" in word or size > MAX_WORD_BYTES:
            why = (
                "contains a NUL byte"
                if "\0" in word
                else "is too long: %d bytes, %d at most" % (size, MAX_WORD_BYTES)
            )
            text = "%s: a word of the server's command line (%s) %s" % (entry.name, key, why)
            raise Failed(text, mlxops_command("set", entry.name, *_resets([key])), entry=entry.name)


def _require_undisclosed_template(site: Site, entry: Entry, runtime: Runtime) -> None:
    """A template passed as text is visible to every user in the process list. An account that can
    write the registry could name any file of this user."""
    path = entry.text("chat_template")
    if not path or not runtime.template_inline or not others_write(site.registry):
        return
    real, folders = (
        os.path.realpath(path),
        [site.cache_root, *([site.templates] if site.templates else [])],
    )
    if not any(real.startswith(os.path.join(os.path.realpath(folder), "")) for folder in folders):
        raise Failed(
            "%s: the chat template %s is outside the model cache and the folder `templates`;"
            " %s would show its text to every user of the host, and other accounts can write the"
            " registry" % (entry.name, path, runtime.name),
            "move it into %s" % (site.templates or site.cache_root),
            entry=entry.name,
        )


def _rejected_by_program(ctx: Context, entry: Entry, installed: Installed) -> Tuple[Rejection, ...]:
    """The program's own error for the values in `args`, whose types its help may not show."""
    message = dryparse.parse_error(
        installed.help_text,
        installed.command,
        entry.args,
        ctx.site.state_dir,
        ctx.report,
        ctx.client.check,
    )
    return (Rejection("args", " ".join(entry.args), message),) if message else ()


def _resets(fields: Iterable[str]) -> List[str]:
    """KEY= of each field, which gives it its default."""
    return ["%s=" % field for field in dict.fromkeys(fields)]


def _warnings(entry: Entry, runtime: Runtime) -> Tuple[str, ...]:
    warnings: List[str] = []
    for key in ("tool_call_parser", "reasoning_parser"):
        if entry.text(key) and not getattr(runtime, key):
            warnings.append(
                "%s has no %s option: %s of %s is ignored"
                % (runtime.name, key.replace("_", "-"), entry.text(key), entry.name)
            )
    if (
        runtime.reasoning_parser
        and entry.text("reasoning_parser")
        and not entry.text("tool_call_parser")
    ):
        warnings.append(
            "a reasoning_parser without a tool_call_parser loses the content of answers that are"
            " not streamed"
        )
    return tuple(warnings)


def _name_change_warning(
    port: int, runtime: Runtime, own: Runtime, launch: runtimes.Launch
) -> Tuple[str, ...]:
    """A warning if clients must use another name than with the host's own runtime."""
    name = runtime.client_model or launch.served_name
    usual = own.client_model or launch.served_name
    if name == usual:
        return ()
    text = (
        "on port %d clients must request the model %s: %s answers to that name, and not to %s,"
        " which %s uses"
    )
    return (text % (port, name, runtime.name, usual, own.name),)


def _no_slot_warning(site: Site, port: int, entry: Entry, runtime: Runtime) -> Tuple[str, ...]:
    named = port in site.slots or runtime.client_model
    return () if named else (no_slot_warning(port, entry.name),)
