"""The command line that restarts a server: only from sources proven to be this user's.

Anyone can write a command line, into a process of their own or into a shared registry. So the
program is always the host's own for that runtime, found now, never one from a record or a process.
Its options are those that mlxops started this process with, else those of a load of its entry. If
other accounts can write the registry, its record of the process is not used. A process without an
entry is restarted with its own options, and only if it runs the host's program."""

from __future__ import annotations

import os
from typing import Dict, NamedTuple, Optional, Sequence, Tuple, Union

from ..context import Context
from ..errors import MlxopsError
from ..models import cache as hfcache
from ..models.options import choose_options
from ..ports.evidence import Server
from ..programs import find as programs
from ..programs.installed import Installed, require_installed
from ..registry.entries import Entry
from ..registry.sharing import others_write
from ..runtimes import table as runtimes
from ..runtimes.commandline import base
from ..runtimes.launch import launch_of, template_text, write_template_copy
from ..runtimes.table import Invocation, Runtime
from ..servers.start import ServerSpec
from ..site import Site

MAX_VALUE_LENGTH = 80


class Unrestartable(NamedTuple):
    """Why a server could not be restarted."""

    reason: str


def restart_spec(
    ctx: Context, port: int, server: Server, entry: Optional[Entry]
) -> Union[ServerSpec, Unrestartable]:
    """The spec that restarts a running server as it is; `entry`: the one assigned to the port.

    A restart changes nothing about what is wanted."""
    spec = _restart_spec(ctx, port, server, entry)
    if isinstance(spec, Unrestartable) or entry is None:
        return spec
    return spec._replace(keep=entry.wanted == port)


def _restart_spec(
    ctx: Context, port: int, server: Server, entry: Optional[Entry]
) -> Union[ServerSpec, Unrestartable]:
    runtime = server.invocation.runtime
    try:
        command = programs.require_command(ctx.site, runtime)
    except MlxopsError as exc:
        return Unrestartable(exc.message)
    argv = _recorded_command(entry, server, command) if not others_write(ctx.site.registry) else ()
    if not argv and entry is not None and _serves_entry(server, entry):
        return _spec_of_entry(ctx, port, entry)
    argv = argv or _own_command(server, command)
    if not argv:
        text = "pid %d runs %s, which is not this host's %s"
        return Unrestartable(text % (server.process.pid, _program(server), runtime.name))
    listed = server.invocation.served_name
    return ServerSpec(
        port=port,
        entry=entry,
        runtime=runtime,
        argv=argv,
        listed_name=listed,
        chat_name=runtime.client_model or listed or server.invocation.model or "",
    )


def _program(server: Server) -> str:
    return " ".join(server.process.argv[:2])


def _serves_entry(server: Server, entry: Entry) -> bool:
    return server.invocation.model in (entry.cache_path, entry.repo_id, entry.model_id)


def _recorded_command(
    entry: Optional[Entry], server: Server, command: Sequence[str]
) -> Tuple[str, ...]:
    """The host's program with the recorded options of this process. () if the record is of another
    or an adopted process, or contradicts the process."""
    record = (entry.process or {}) if entry else {}
    recorded, runtime = record.get("argv"), server.invocation.runtime
    same = (record.get("pid"), record.get("start_time")) == (
        server.launcher.pid,
        server.launcher.start_time,
    )
    argv = (
        [word for word in recorded if isinstance(word, str)] if isinstance(recorded, list) else []
    )
    if not same or not argv or argv != recorded or record.get("launched_by") == "adopted":
        return ()
    extra = _extra_options(argv, command, runtime)
    agrees = _option_words(argv, runtime) == _option_words(server.process.argv, runtime)
    proven = _runs_host_program(server, command) or argv[: len(command)] == [*command]
    return (*command, *extra) if agrees and proven and extra is not None else ()


def _option_words(argv: Sequence[str], runtime: Runtime) -> Sequence[str]:
    """The options split at blanks: macOS may show one word with blanks as several."""
    return " ".join(_options(argv, runtime) or ()).split()


def _own_command(server: Server, command: Sequence[str]) -> Tuple[str, ...]:
    """The host's program with the options of the process; () if the process runs another one."""
    extra = _extra_options(server.process.argv, command, server.invocation.runtime)
    return (*command, *extra) if _runs_host_program(server, command) and extra is not None else ()


def _runs_host_program(server: Server, command: Sequence[str]) -> bool:
    """Whether it runs the program of the host's command."""
    runtime = server.invocation.runtime
    return _same_program(server.process.argv, command, runtime) or _same_words(
        server.launcher.argv, command
    )


def _spec_of_entry(ctx: Context, port: int, entry: Entry) -> Union[ServerSpec, Unrestartable]:
    """The spec that a load of the entry would use."""
    if not hfcache.is_complete(entry.cache_path):
        return Unrestartable("%s is incomplete at %s" % (entry.name, entry.cache_path))
    try:
        return _built_spec(ctx, port, entry)
    except (MlxopsError, OSError) as exc:
        return Unrestartable("%s cannot be started: %s" % (entry.name, exc))


def _built_spec(ctx: Context, port: int, entry: Entry) -> ServerSpec:
    installed = require_installed(ctx.site, entry.text("runtime"))
    chosen = choose_options(ctx.site, entry, installed, force=True).entry
    write_template_copy(ctx.site.state_dir, installed.runtime, chosen)
    return spec_of_entry(ctx.site, chosen, port, installed)._replace(entry=entry)


def spec_of_entry(site: Site, entry: Entry, port: int, installed: Installed) -> ServerSpec:
    """The server that an entry's own options give on a port."""
    runtime, flags = installed.runtime, installed.flags or {}
    name = site.served_name(port, entry.name)
    launch = launch_of(entry, port, site.bind, name, state_dir=site.state_dir)
    template = template_text(runtime, entry)
    argv = runtimes.argv(runtime, installed.command, launch, flags, template)
    listed = launch.served_name if runtime.served_name in flags else None
    return ServerSpec(
        port=port,
        entry=entry,
        runtime=runtime,
        argv=argv,
        listed_name=listed,
        chat_name=runtime.client_model or listed or entry.cache_path,
    )


def flag_changes(old: Invocation, spec: ServerSpec) -> Tuple[str, ...]:
    """How the flags of a new server differ from those of a running one, a phrase each."""
    new = runtimes.recognise(spec.argv, {spec.runtime.name: spec.runtime})
    if new is None or old.runtime.name != new.runtime.name:
        return ("%s -> %s" % (old.runtime.name, spec.runtime.name),)
    was, now = _comparable(old), _comparable(new)
    return tuple(
        "%s %s -> %s" % (flag, _shown(was.get(flag)), _shown(now.get(flag)))
        for flag in {**was, **now}
        if was.get(flag) != now.get(flag)
    )


def _comparable(call: Invocation) -> Dict[str, str]:
    """flag -> the first word of its value: macOS may show one word with blanks as several."""
    flags = {**call.flags, **({} if call.runtime.model else {"model": call.first})}
    return {flag: " ".join(value.split()[:1]) for flag, value in flags.items()}


def _shown(value: Optional[str]) -> str:
    return "not set" if value is None else value[:MAX_VALUE_LENGTH] or "set"


def _names(runtime: Runtime) -> Tuple[str, ...]:
    return tuple(form[0] for form in runtime.forms)


def _extra_options(
    argv: Sequence[str], command: Sequence[str], runtime: Runtime
) -> Optional[Tuple[str, ...]]:
    """The options that the host's command does not already have; None if there is no program."""
    extra, prefix = _options(argv, runtime), _options(command, runtime) or ()
    return extra[len(prefix) :] if extra is not None and extra[: len(prefix)] == prefix else extra


def _options(argv: Sequence[str], runtime: Runtime) -> Optional[Tuple[str, ...]]:
    """The words after the program; None if there is no program."""
    for at in range(len(argv)):
        for form in (*runtime.forms, *runtime.modules):
            if (base(argv[at]), *argv[at + 1 : at + len(form)]) == form:
                return tuple(argv[at + len(form) :])
    return None


def _same_program(argv: Sequence[str], other: Sequence[str], runtime: Runtime) -> bool:
    """Whether two command lines run the runtime from the same environment: a folder with programs
    and interpreter. A relative path proves nothing."""
    one, two = _environment(argv, runtime), _environment(other, runtime)
    return bool(one) and one == two


def _environment(argv: Sequence[str], runtime: Runtime) -> str:
    named = next((word for word in argv if base(word) in _names(runtime)), "")
    if os.path.isabs(named):
        return os.path.dirname(os.path.realpath(named))
    # `python -m`: the interpreter is a link out of its environment.
    runs_module = any(word == "-m" for word in argv) and os.path.isabs(argv[0])
    return os.path.realpath(os.path.dirname(argv[0])) if runs_module else ""


def _same_words(argv: Sequence[str], command: Sequence[str]) -> bool:
    """For launchers that find the program, such as `uv run --project P NAME`."""
    return (
        base(argv[0]) == base(command[0])
        and tuple(argv[1 : len(command)]) == tuple(command[1:])
        and len(command) > 1
    )
