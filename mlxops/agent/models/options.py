"""The options an entry is started with: for each key its value, where that comes from, and what is
wrong with it. Decided here once; load, init, register, show, verify, doctor and fit use the
result."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, Mapping, NamedTuple, Optional, Tuple

from ..context import Context
from ..errors import Failed, Interrupted, MlxopsError, mlxops_command
from ..programs.environment import has_package, model_types, site_packages
from ..programs.find import find_command
from ..programs.installed import MODEL_TYPE, MULTIMODAL, Installed, require_installed
from ..registry.entries import Entry
from ..registry.init_plan import format_value
from ..runtimes.secrets import masked
from ..runtimes.table import Runtime
from ..site import Site
from . import harmony
from .cautions import Caution, find_cautions
from .defaults import (
    KEYS,
    PARSERS,
    VISION_PACKAGE,
    Defaults,
    args_in_use,
    find_defaults,
    model_type_of,
    unset_keys,
    with_defaults,
)
from .files import config
from .kinds import is_vision
from .rejections import find_rejections


class Option(NamedTuple):
    """One option. `source` is a phrase; `proposed`: the default, if another value is set;
    `problem`: why the runtime would refuse the value, "" if it would accept it."""

    value: Any
    source: str
    proposed: Any = None
    problem: str = ""

    def to_wire(self) -> Dict[str, Any]:
        proposed = {"proposed": self.proposed} if self.proposed else {}
        value = masked(self.value) if isinstance(self.value, (list, tuple)) else self.value
        return {"value": value, "from": self.source, **proposed}


class LaunchOptions(NamedTuple):
    """`entry`: with the defaults filled in. `options`: one per key of `KEYS`, and of the runtime
    and the served name. `notes`: one sentence for each thing that is missing. `cautions`: what a
    person has to decide."""

    entry: Entry
    options: Mapping[str, Option]
    notes: Tuple[str, ...]
    defaults: Defaults
    cautions: Tuple[Caution, ...] = ()

    @property
    def problems(self) -> Tuple[str, ...]:
        return tuple(option.problem for option in self.options.values() if option.problem)


def launch_options(site: Site, entry: Entry, installed: Installed) -> LaunchOptions:
    """The options of an entry, whether or not the runtime accepts them."""
    defaults = find_defaults(installed, entry, site.templates)
    chosen, runtime = with_defaults(entry, defaults), installed.runtime
    problems: Dict[str, str] = {}
    if installed.flags is not None:
        flags, text = installed.flags, installed.help_text
        for one in find_rejections(runtime, chosen, flags, os.path.isfile, text):
            problems[one.field] = "; ".join(filter(None, (problems.get(one.field), one.reason)))
    options = {
        "runtime": Option(
            runtime.name, "set by hand" if entry.text("runtime") else "the host file"
        ),
        **{
            key: _option(key, entry, runtime, defaults)._replace(problem=problems.get(key, ""))
            for key in KEYS
        },
        "served_name": _served_name(site, entry, runtime),
    }
    missing = defaults.notes if set(PARSERS) & set(unset_keys(entry.fields)) else ()
    return LaunchOptions(
        entry=chosen,
        options=options,
        notes=(*_new_defaults(entry, chosen), *missing),
        defaults=defaults,
        cautions=find_cautions(chosen, installed, defaults),
    )


def choose_options(
    site: Site, entry: Entry, installed: Installed, force: bool = False
) -> LaunchOptions:
    """The options of an entry whose snapshot is on disk; Failed if its model could not serve."""
    return require_servable(site, launch_options(site, entry, installed), installed, force)


def require_servable(
    site: Site, chosen: LaunchOptions, installed: Installed, force: bool = False
) -> LaunchOptions:
    """The options, with the warnings about the model added; Failed if the model could not serve.

    `force`: accept a model type that mlx-lm does not list."""
    entry, env = chosen.entry, {**os.environ, **site.env}
    if not force:
        require_buildable(entry, installed, config(entry.cache_path))
        _require_no_fatal(entry, chosen.cautions)
    warnings = harmony.check(entry, chosen.defaults, installed, site.templates or "", env)
    cautions = ("%s: %s" % (entry.name, one.note) for one in chosen.cautions)
    return chosen._replace(notes=(*chosen.notes, *warnings, *cautions))


def _require_no_fatal(entry: Entry, cautions: Iterable[Caution]) -> None:
    for one in cautions:
        if one.fatal:
            text = "%s cannot serve: %s" % (entry.name, one.text)
            raise Failed(text, one.command + ", or load with --force", entry=entry.name)


def require_buildable(entry: Entry, installed: Installed, settings: Mapping[str, Any]) -> None:
    """Failed if the mlx-lm that would build the model does not know its type. `settings`: its
    config.json."""
    model_type = model_type_of(settings)
    known = model_types(installed.packages) if installed.runtime.mlx_lm else None
    if known is None or model_type in known:
        return
    if MULTIMODAL in args_in_use(entry, installed, settings):
        return
    if settings.get("model_file"):
        return  # it brings code of its own
    what = "of type %s" % model_type if model_type else "whose config.json has no model_type"
    update = "update mlx-lm in %s" % installed.packages[0]
    if is_vision(settings):
        what += ", a vision model"
        update = _vision_hint(entry, installed)
    raise Failed(
        "the mlx-lm of %s cannot build a model %s" % (installed.runtime.name, what),
        "%s, or load with --force to try anyway" % update,
        entry=entry.name,
        model_type=model_type,
    )


def _vision_hint(entry: Entry, installed: Installed) -> str:
    if not installed.supports_vision:
        return "use a runtime that serves images, as mlx-openai-server does with mlx-vlm"
    if not has_package(VISION_PACKAGE, installed.packages):
        return "install mlx-vlm in %s" % installed.packages[0]
    return mlxops_command("set", entry.name, "args=%s %s" % (MODEL_TYPE, MULTIMODAL))


def _new_defaults(entry: Entry, chosen: Entry) -> Tuple[str, ...]:
    """Tells which defaults a registered entry gets now: it will behave differently than before."""
    new = [key for key in KEYS if chosen.fields.get(key) and not entry.fields.get(key)]
    if not new:
        return ()
    values = ", ".join("%s %s" % (key, format_value(chosen.fields[key])) for key in new)
    return ("%s: using %s (default for this model family)" % (entry.name, values),)


def _served_name(site: Site, entry: Entry, runtime: Runtime) -> Option:
    port = entry.port or entry.slot
    if runtime.client_model:
        return Option(runtime.client_model, "%s answers to no other name" % runtime.name)
    if port is None:
        return Option(None, "the port it is loaded on")
    named = (
        "slot %d of the host file" % port
        if site.slot_name(port)
        else "the entry's name: the port has no slot"
    )
    return Option(site.served_name(port, entry.name), named)


def _option(key: str, entry: Entry, runtime: Runtime, defaults: Defaults) -> Option:
    """The origin of a value is not recorded: one that equals the default counts as the default."""
    value, proposed = entry.fields.get(key) or None, defaults.values.get(key)
    why = defaults.sources.get(key, "")
    if key != "args" and not getattr(runtime, key):
        return Option(value, "not supported by %s" % runtime.name)
    if value:
        return (
            Option(value, "the default (%s)" % why)
            if value == proposed
            else Option(value, "set by hand", proposed)
        )
    if entry.fields.get(key) is not None:
        return Option(None, "set by hand: none", proposed)
    if proposed and key not in unset_keys(entry.fields):
        return Option(
            None, "not set: the other parser was set by hand, so no default applies", proposed
        )
    if proposed:
        return Option(None, "not set: the next load uses the default (%s)" % why, proposed)
    if key == "chat_template" and defaults.template.exists:
        return Option(None, "not set: %s has one" % defaults.template.source)
    return Option(None, "not set; no default")


def find_installed(ctx: Context, name: Optional[str]) -> Installed:
    """The runtime called `name`, by default the host's own, with what can be learned about it.
    Emits a warning if it is installed but gives no help; Usage for an unknown name."""
    runtime = ctx.site.runtime_named(name)
    command: Tuple[str, ...] = ()
    try:
        command, _ = find_command(ctx.site, runtime)
        if command:
            return require_installed(ctx.site, name, ctx.report, ctx.client.check)
    except Interrupted:
        raise
    except MlxopsError as exc:
        why = "cannot list the options of %s: %s; %s" % (runtime.name, exc.message, exc.hint)
        ctx.client.emit("warning", message=why)
    return Installed(runtime, None, tuple(site_packages(command)), command)
