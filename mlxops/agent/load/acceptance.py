"""Why a load of an entry would be refused, according to the runtimes installed on this host."""

from __future__ import annotations

import os
from typing import Dict, List, Optional, Union

from ..context import Context
from ..errors import Failed, Interrupted, MlxopsError, ModelMissing, mlxops_command
from ..models import cache as hfcache
from ..models.cautions import Caution
from ..models.defaults import KEYS
from ..models.files import config
from ..models.kinds import kind_of
from ..models.options import (
    find_installed,
    launch_options,
    require_buildable,
    require_servable,
)
from ..programs.find import find_command
from ..programs.installed import Installed, require_installed
from ..ranks import other_hosts
from ..registry.entries import Entry
from ..runtimes.table import Runtime
from . import options, references

# The fields of an entry that a runtime may refuse.
CHECKED = (*KEYS, "runtime", "hosts")


def require_acceptable(ctx: Context, before: Optional[Entry], after: Entry) -> None:
    """Raise if a load would refuse the options of an entry; only warn of a fault that it had
    before."""
    runtime = ctx.site.runtime_named(after.text("runtime"))
    if _is_absent(ctx, runtime):
        if after.text("runtime"):
            text = "%s is not installed on %s; until it is, the entry cannot be loaded"
            ctx.client.emit("warning", message=text % (runtime.name, ctx.site.name))
        _require_template(after)
        return
    fault = _refusal(ctx, after)
    if fault is None:
        return
    earlier = _refusal(ctx, before) if before is not None else None
    if earlier is None or earlier.message != fault.message:
        if not isinstance(fault, ModelMissing):
            look = ("show", after.name) if before is not None else ("list",)
            fault.hint = "nothing was changed: %s" % mlxops_command(*look)
        raise fault
    ctx.client.emit("warning", message="a load would still be refused: %s" % fault.message)


def _is_absent(ctx: Context, runtime: Runtime) -> bool:
    """Whether the runtime is not installed. A command that cannot be read is the host's fault and
    not the entry's; `find_installed` warns of it."""
    try:
        return not find_command(ctx.site, runtime)[0]
    except Failed:
        return False


def _require_template(entry: Entry) -> None:
    path = entry.text("chat_template")
    if path and not os.path.isfile(path):
        text = "there is no file %s on the host" % path
        raise Failed(text, "give a path on the host", chat_template=path)


def _refusal(ctx: Context, entry: Entry) -> Optional[MlxopsError]:
    """Why a load would refuse the options of an entry; None if it would not, or if unknown."""
    try:
        installed = find_installed(ctx, entry.text("runtime"))
        other_hosts.require_able_runtime(entry, installed.runtime)
        if installed.flags is None:
            _require_template(entry)
        else:
            port = entry.port or entry.slot or 0
            chosen = launch_options(ctx.site, entry, installed).entry
            options.check(ctx, chosen, port, installed)
            references.check(ctx, installed.runtime, chosen, port)
    except Interrupted:
        raise
    except MlxopsError as exc:
        return exc
    return None


class Acceptance:
    """Checks entries; asks each runtime for its help once."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._installed: Dict[str, Union[Installed, MlxopsError]] = {}

    def reasons(self, entry: Entry) -> List[str]:
        """One sentence per reason; [] if the entry can be started, as far as is known. A model that
        is not downloaded yet is not checked."""
        site = self._ctx.site
        installed = self._runtime(entry.text("runtime") or site.runtime)
        if isinstance(installed, MlxopsError):
            return [installed.message]
        chosen = launch_options(site, entry, installed)
        missing = references.rejections(self._ctx, installed.runtime, entry, entry.port or 0)
        reasons = [*chosen.problems, *(one.reason for one in missing)]
        kind = self._kind(entry)
        if kind:
            return ["it is %s" % kind]
        if reasons or not hfcache.is_complete(entry.cache_path):
            return reasons
        try:
            require_servable(site, chosen, installed)
        except Failed as exc:
            return ["%s (%s)" % (exc.message, exc.hint)]
        return []

    def cautions(self, entry: Entry) -> List[Caution]:
        """What a person has to decide about the entry's model, if that is on disk."""
        installed = self._runtime(entry.text("runtime") or self._ctx.site.runtime)
        if isinstance(installed, MlxopsError) or not hfcache.is_complete(entry.cache_path):
            return []
        return list(launch_options(self._ctx.site, entry, installed).cautions)

    def fix(self, entry: Entry) -> str:
        """The command that makes an entry with reasons acceptable, or shows what is wrong."""
        site = self._ctx.site
        installed = self._runtime(entry.text("runtime") or site.runtime)
        if isinstance(installed, MlxopsError):
            return mlxops_command(
                *(("set", entry.name, "runtime=") if entry.text("runtime") else ("hosts",))
            )
        if self._kind(entry) or self._unbuildable(entry, installed):
            return mlxops_command("remove", entry.name)
        chosen = launch_options(site, entry, installed).options
        fields = [key for key in KEYS if chosen[key].problem]
        if references.rejections(self._ctx, installed.runtime, entry, entry.port or 0):
            fields.append("args")
        resets = ["%s=" % field for field in dict.fromkeys(fields)]
        fatal = [one.command for one in self.cautions(entry) if one.fatal]
        if fatal and not resets:
            return fatal[0]
        return mlxops_command(*(("set", entry.name, *resets) if resets else ("show", entry.name)))

    def _kind(self, entry: Entry) -> str:
        """What the model of an entry is, if it is not for chats; "" if it is, or is not here. One
        that a server has loaded is not judged."""
        path = entry.cache_path
        if entry.port is not None or entry.fields.get("start_s") or not os.path.isdir(path):
            return ""
        return kind_of(path, entry.repo_id or path.rstrip("/")).reason

    def _unbuildable(self, entry: Entry, installed: Installed) -> bool:
        settings = config(entry.cache_path) if entry.cache_path else {}
        try:
            chosen = launch_options(self._ctx.site, entry, installed).entry
            require_buildable(chosen, installed, settings)
        except Failed:
            return bool(settings)
        return False

    def lacks_host_runtime(self, entry: Entry) -> bool:
        """Whether the host's own runtime, which the entry uses, cannot be used: then the host file
        is what is wrong."""
        own = self._ctx.site.runtime
        return not entry.text("runtime") and isinstance(self._runtime(own), MlxopsError)

    def _runtime(self, name: str) -> Union[Installed, MlxopsError]:
        """The runtime, or why it cannot be used."""
        if name not in self._installed:
            ctx = self._ctx
            try:
                outcome: Union[Installed, MlxopsError] = require_installed(
                    ctx.site, name, ctx.report, ctx.client.check
                )
            except MlxopsError as exc:
                outcome = exc
            self._installed[name] = outcome
        return self._installed[name]
